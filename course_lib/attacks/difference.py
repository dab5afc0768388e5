"""What an attack changed, as HTML for eyes and screen readers, and as plain text."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from html import escape
from typing import NamedTuple

from course_lib.text.document import Document

ALIKE = 0.5  # of difflib's ratio; words less alike are another word, whose single characters say nothing

_STYLE = (
    "<style>.text-difference{border-collapse:collapse;background:#fff;color:#222;table-layout:fixed;width:100%}"
    ".text-difference th,.text-difference td{text-align:left!important;vertical-align:top;padding:4px 8px;"
    "border:1px solid #ddd;white-space:pre-wrap;overflow-wrap:anywhere;background:#fff;color:#222}"
    ".text-difference del,.text-difference ins{color:#222;padding:0 2px;border-radius:2px}"
    ".text-difference del{background:#f6dcd8;text-decoration:line-through}"
    ".text-difference ins{background:#d3e6f5;text-decoration:underline}"
    ".text-difference del b{background:#e3a49b}.text-difference ins b{background:#8dbde3}</style>"
)


class Piece(NamedTuple):
    """A stretch of both texts; where the two differ, it was changed."""

    original: str
    adversarial: str


def pieces(original: str, adversarial: str) -> list[Piece]:
    """Both texts cut at the same places: words, and what is between them; joined, they are the texts again."""
    old, new = Document.of(original), Document.of(adversarial)
    found = []
    for a, b, c, d in _blocks(old.words, new.words):
        before, left, right = Piece("", ""), _stretch(old, a, b), _stretch(new, c, d)
        if a < b and c < d:
            before = Piece(old.gaps[a], new.gaps[c])
        elif a < b:  # words were left out, and with them the gap before them
            left = old.gaps[a] + left
        else:
            right = new.gaps[c] + right
        found += [before, Piece(left, right)]
    found.append(Piece(old.gaps[-1], new.gaps[-1]))
    return [piece for piece in found if any(piece)]


def marked(original: str, adversarial: str) -> str:
    """The text with its changes in brackets, for outputs without colours: `a [good->goood] film`.

    Invisible characters, and characters beyond ASCII that were put in, are named by their code.
    """
    return "".join(
        f"[{_shown(piece.original)}->{_with_codes(piece)}]" if _is_change(piece) else piece.original
        for piece in pieces(original, adversarial)
    )


def inline(original: str, adversarial: str) -> str:
    """The text as HTML, each change as the old words (`<del>`) and the new ones (`<ins>`)."""
    parts = [_left(piece) + (_right(piece) if _is_change(piece) else "") for piece in pieces(original, adversarial)]
    return f'{_STYLE}<span class="text-difference" style="white-space:pre-wrap">{"".join(parts)}</span>'


def side_by_side(pairs: Iterable[tuple[str, str]]) -> str:
    """Originals and adversarial texts beside each other as HTML; what was changed is struck out left, underlined right.

    Changed words carry a title that says what became what. Inside them the changed characters are bold and darker,
    unless the whole word is another.

    Args:
        pairs: of original and adversarial text.
    """
    rows = list(pairs)
    if not rows:
        return "<p>There is no pair of texts to show.</p>"
    head = "".join(f'<th scope="col">{name}</th>' for name in ("original", "adversarial"))
    body = "".join(f"<tr>{_cells(*row)}</tr>" for row in rows)
    return f'{_STYLE}<table class="text-difference"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _cells(original: str, adversarial: str) -> str:
    """Two cells of the table."""
    cut = pieces(original, adversarial)
    new = "".join(map(_right, cut)) if original != adversarial else "<i>nothing was changed</i>"
    return f"<td>{''.join(map(_left, cut))}</td><td>{new}</td>"


def _is_change(piece: Piece) -> bool:
    return piece.original != piece.adversarial


def _left(piece: Piece) -> str:
    """The original's side as HTML, struck out where it was changed."""
    return _element("del", piece, 0) if _is_change(piece) else escape(piece.original)


def _right(piece: Piece) -> str:
    """The adversarial text's side as HTML, underlined where it was changed."""
    return _element("ins", piece, 1) if _is_change(piece) else escape(piece.adversarial)


def _element(name: str, piece: Piece, side: int) -> str:
    return f'<{name} title="{escape(description(piece))}">{_characters(piece)[side]}</{name}>' if piece[side] else ""


def description(piece: Piece) -> str:
    """A change in words, with the names of characters beyond ASCII that were put in."""
    old, new = f"“{_shown(piece.original)}”", f"“{_shown(piece.adversarial)}”"
    if not piece.adversarial:
        return f"{old} was left out"
    names = ", ".join(f"{_code(c)} {unicodedata.name(c, 'without a name')}" for c in _foreign(piece))
    change = f"{old} became {new}" if piece.original else f"{new} was put in"
    return f"{change} ({names})" if names else change


def _characters(piece: Piece) -> tuple[str, str]:
    """Both sides of a changed piece as HTML, the changed characters bold."""
    matcher = SequenceMatcher(None, *piece, autojunk=False)
    if matcher.ratio() < ALIKE:
        return escape(_shown(piece.original)), escape(_shown(piece.adversarial))
    old: list[str] = []
    new: list[str] = []
    for name, a, b, c, d in matcher.get_opcodes():
        for part, out in ((piece.original[a:b], old), (piece.adversarial[c:d], new)):
            text = escape(_shown(part))
            out.append(f"<b>{text}</b>" if name != "equal" and part else text)
    return "".join(old), "".join(new)


def _blocks(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int, int, int]]:
    """(a, b, c, d), one after another: words a to b of the original became words c to d, ends not included.

    Texts of equally many words are compared position by position, others by the longest matching stretches (difflib).
    """
    if len(old) == len(new):
        return [(at, at + 1, at, at + 1) for at in range(len(old))]
    blocks = []
    for name, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        blocks += [(a + k, a + k + 1, c + k, c + k + 1) for k in range(b - a)] if name == "equal" else [(a, b, c, d)]
    return blocks


def _stretch(document: Document, start: int, end: int) -> str:
    """Words from start to end with the gaps between them, without those around."""
    between = (*document.gaps[start + 1 : end], "")
    return "".join(word + gap for word, gap in zip(document.words[start:end], between, strict=False))


def _shown(text: str) -> str:
    """The text with a code in place of each character that cannot be seen, such as a space of no width."""
    return "".join(_code(c) if _is_invisible(c) else c for c in text)


def _with_codes(piece: Piece) -> str:
    codes = [_code(c) for c in _foreign(piece) if not _is_invisible(c)]
    return " ".join([_shown(piece.adversarial), *codes])


def _foreign(piece: Piece) -> list[str]:
    """Characters beyond ASCII that only the adversarial side has, each once."""
    return [c for c in dict.fromkeys(piece.adversarial) if not c.isascii() and c not in piece.original]


def _is_invisible(character: str) -> bool:
    if character in " \n\t":
        return False
    return unicodedata.category(character) in ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs")


def _code(character: str) -> str:
    return f"U+{ord(character):04X}"
