"""Repairing one text, and telling when two texts are the same."""

from __future__ import annotations

import html
import re
import unicodedata
from html.entities import html5

from course_lib.errors import BadInput

_WORD = re.compile(r"\w+")
# "&amp;", "&#39;", "&#x27;" and their double escapes "&amp;amp;". The semicolon is required: "R&D" and
# "?a=1&copy=2" are not entities.
_ENTITY = re.compile(
    r"&(?:(?:amp|AMP|#0*38|#[xX]0*26);)*(?P<name>#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{0,31});"
)
# Control characters but tab and the line ends; the byte-order mark; halves of surrogate pairs.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ufeff\ud800-\udfff]")

# UTF-8 read as Windows-1252 ("mojibake"): the characters that bytes 0x80-0xBF turn into, and their bytes.
_BYTE_OF = {chr(byte): byte for byte in range(0x80, 0xC0)}
_BYTE_OF |= {
    bytes([byte]).decode("cp1252"): byte
    for byte in range(0x80, 0xC0)
    if byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)  # not assigned in Windows-1252
}
_LATER = "[" + re.escape("".join(_BYTE_OF)) + "]"
_BYTE_OF |= {lead: ord(lead) for lead in "ÂÃâð"}
# Only runs that begin like accented letters (C2, C3), punctuation (E2) or emoji (F0), with no such character
# beside them: in any other run a real "É™" or "Ã" is as likely.
_MOJIBAKE = re.compile(rf"(?<![ÂÃâð])(?:[ÂÃ]{_LATER}|â{_LATER}{{2}}|ð{_LATER}{{3}})+(?!{_LATER})")


def normalise(text: str) -> str:
    """What two texts must share to count as the same: NFKC, case folded, its words with one blank between.

    A text without a word (":-)", "...") is itself, stripped.
    """
    words = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return " ".join(words) or text.strip()


def clean_text(text: str) -> str:
    """The text without damage: entities unescaped, mojibake repaired, control characters gone, NFC, '' -> ",
    one blank for any white space. clean_text(clean_text(x)) == clean_text(x).

    Raises BadInput when text is not a string.
    """
    if not isinstance(text, str):
        raise BadInput(f"A text is {text!r:.80} ({type(text).__name__}).", "give a string.")
    if _is_plain(text):
        return " ".join(text.split())
    # One repair can reveal another ("&am\x00p;", mojibake of mojibake). Repairs shorten a text, so this
    # ends; real texts need one or two rounds.
    while (repaired := _clean_once(text)) != text:
        text = repaired
    return text


def _is_plain(text: str) -> bool:
    """Nothing to repair but white space: true for most texts, and fast."""
    return text.isascii() and "&" not in text and "''" not in text and not _CONTROL.search(text)


def _clean_once(text: str) -> str:
    text = repair(unescape(unicodedata.normalize("NFC", text)))
    return " ".join(text.replace("''", '"').split())


def unescape(text: str) -> str:
    return _ENTITY.sub(_entity, text) if "&" in text else text


def _entity(match: re.Match[str]) -> str:
    name = match["name"] + ";"
    return html.unescape("&" + name) if name.startswith("#") else html5.get(name, "&" + name)


def repair(text: str) -> str:
    return _CONTROL.sub("", text if text.isascii() else _MOJIBAKE.sub(_decode, text))


def _decode(match: re.Match[str]) -> str:
    try:
        return bytes(_BYTE_OF[character] for character in match[0]).decode("utf-8")
    except UnicodeDecodeError:  # not UTF-8 after all: the characters were meant
        return match[0]
