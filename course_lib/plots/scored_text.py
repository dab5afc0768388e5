"""A text with the score of each word: by number, line and tint, readable without colours and by screen readers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from course_lib.errors import BadInput
from course_lib.plots.style import MINUS

if TYPE_CHECKING:
    from course_lib.explain import Attribution

LEVELS = 5  # steps of tint and line
FOR, AGAINST, UNSIGNED = ("#1b4f8f", "#8fbfe8"), ("#a84300", "#f5b27a"), ("#4d4d4d", "#c4c4c4")  # lines and full tints
UNSIGNED_METHODS = ("attention", "rollout")  # methods whose scores are attention weights and speak for no class
_SPACE, _LINE = " ", "<br>"


@dataclass(frozen=True, repr=False)
class HeatMap:
    """The result of `heat_map`: a notebook shows it as it is.

    Attributes:
        html: a table, with its own style.
        plain: the same as text, for outputs without HTML.
    """

    html: str
    plain: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.plain


def heat_map(attributions: Attribution | Sequence[Attribution], names: Mapping[Any, str] | None = None) -> HeatMap:
    """The words of a text with their scores, a row for each method, with the method's own error and its queries.

    Under each word is its score. The line below a word grows with the size of the score: solid and blue where the
    word speaks for the target, dashed and orange where it speaks against it; the tint behind the word grows with it. A
    title (shown by the mouse) says it in words. Attention speaks for no class: its scores have no sign and dotted grey
    lines.

    Args:
        attributions: one, or several of the same text, by any methods or for any targets.
        names: class -> what to call it.

    Raises:
        BadInput: no attribution, different texts, or scores that are not finite or do not fit the words.
    """
    rows: list[Attribution] = [attributions] if hasattr(attributions, "tokens") else list(attributions)  # type: ignore
    _check(rows)
    called = [str((names or {}).get(one.target, one.target)) for one in rows]
    alike = len({(one.target, one.output, one.value) for one in rows}) == 1
    body = "".join(_row(one, name, alike) for one, name in zip(rows, called, strict=True))
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("method", "score of each word", "error, queries"))
    html = (
        f'{_style()}<table class="heat-map" aria-label="Scores of the words, a row for each method">'
        f"<caption>{escape(_caption(rows[0], called[0], alike))}</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
    )
    plain = [_plain(one, name, alike) for one, name in zip(rows, called, strict=True)]
    head = [f"{describe_output(rows[0], called[0])}"] if alike else []
    return HeatMap(html, "\n".join([*head, *plain]))


def describe_output(attribution: Attribution, name: str) -> str:
    """What is explained, in words: "probability of positive: 0.971"."""
    return f"{attribution.output} of {_printable(name)}: " + f"{attribution.value:.3f}".replace("-", MINUS)


def describe_error(attribution: Attribution) -> str:
    """A method's own error, as words with its unit."""
    error, kind = attribution.error, attribution.error_kind
    if kind == "none":
        return "no error stated"
    if math.isnan(error):
        return f"{kind} not known"
    if kind == "standard error":
        return f"standard error at most {error:.2g}" if error else "no sampling error"
    if kind == "1 - R2":
        return f"1 {MINUS} R² = {error:.2g}"
    if not math.isfinite(error):
        return f"{kind} undefined: the output does not change"
    return f"{kind} {100 * error:.2g}%" if error < 0.995 else f"{kind} {error:,.2f} times the change"


def format_signed(score: float, digits: int = 2) -> str:
    """A score with its sign; what rounds to nothing has none."""
    text = f"{score:+.{digits}f}" if digits <= 4 else f"{score:+.1e}"
    return (text if text.strip("+-0.") else text[1:]).replace("-", MINUS)


def is_signed(attribution: Attribution) -> bool:
    """Whether the signs of the scores mean for and against the target."""
    return attribution.method not in UNSIGNED_METHODS


def format_score(attribution: Attribution, score: float, digits: int) -> str:
    """A score of this explanation: with its sign, where signs mean something."""
    text = format_signed(score, digits)
    return text if is_signed(attribution) else text.removeprefix("+")


def decimals(scores: Iterable[float]) -> int:
    """Decimals that leave the largest score two figures, at least 2; above 4 `format_signed` writes powers of ten."""
    largest = max((abs(score) for score in scores), default=0.0)
    return 2 if largest == 0 else max(2, 1 - math.floor(math.log10(largest)))


def _check(rows: Sequence[Attribution]) -> None:
    if not rows:
        raise BadInput("there is no attribution", "pass one, or a list of them")
    texts = list(dict.fromkeys(one.text for one in rows))
    if len(texts) > 1:
        raise BadInput(f"the texts differ: {texts[0][:40]!r} and {texts[1][:40]!r}", "draw one text at a time")
    for one in rows:
        check_scores(one)


def check_scores(one: Attribution) -> None:
    """Raises BadInput unless there is a finite score for each word."""
    scores = [float(score) for score in one.scores]
    if len(scores) != len(one.tokens):
        raise BadInput(
            f"{one.method} has {len(scores)} scores for {len(one.tokens)} words", "take both from explain(...)"
        )
    if not all(map(math.isfinite, scores)):
        raise BadInput(f"{one.method} has scores that are not finite", "explain the text again")


def _caption(one: Attribution, name: str, alike: bool) -> str:
    first = f"Explained: {describe_output(one, name)}. " if alike else ""
    return (
        f"{first}Words with + and a solid line raise the output, words with {MINUS} and a dashed line lower it. "
        "Line and tint grow with the score, relative to the largest score of each method."
    )


def _row(one: Attribution, name: str, alike: bool) -> str:
    what = "" if alike else f"<small>{escape(describe_output(one, name))}</small>"
    end = f"{escape(describe_error(one))}<br>{_queries(one.queries)}"
    if one.spread is not None and len(one.spread):
        end += f"<br>spread over seeds at most {max(one.spread):.2g}"
    if not is_signed(one):
        end += "<br>attention weights, for no class"
    words = "".join(_words(one, name)) if one.tokens else "<i>there is no word to explain</i>"
    return f'<tr><th scope="row">{escape(one.method)}{what}</th><td>{words}</td><td><small>{end}</small></td></tr>'


def _queries(number: int) -> str:
    return "1 query" if number == 1 else f"{number:,} queries"


def _words(one: Attribution, name: str) -> Iterable[str]:
    """The text as HTML: what is between two white spaces stays on one line."""
    largest = max(map(abs, one.scores.tolist()))
    digits = decimals(one.scores.tolist())
    line = ""
    for gap, at in _gaps_and_words(one):
        before, *rest = _lines_of(gap)
        line += before
        for space, more in zip(rest[::2], rest[1::2], strict=True):
            yield _unbroken(line) + space
            line = more
        if at is not None:
            line += _word(one, at, name, largest, digits)
    yield _unbroken(line)


def _gaps_and_words(one: Attribution) -> Iterable[tuple[str, int | None]]:
    """The gap before each word and the word's number; at last the gap after them all, and None."""
    end = 0
    for start, stop, at in sorted((*span, at) for at, token in enumerate(one.tokens) for span in token.spans):
        yield one.text[end:start], at
        end = stop
    yield one.text[end:], None


def _lines_of(gap: str) -> list[str]:
    """A gap as HTML: signs, white space, signs, ..., signs; line ends are kept."""
    parts, space = [""], ""
    for sign in gap:
        if sign.isspace():
            space = _LINE if sign == "\n" or space == _LINE else _SPACE
            continue
        if space:
            parts, space = [*parts, space, ""], ""
        parts[-1] += escape(_printable(sign))
    return [*parts, space, ""] if space else parts


def _unbroken(line: str) -> str:
    return f'<span class="k">{line}</span>' if line else ""


def _word(one: Attribution, at: int, name: str, largest: float, digits: int) -> str:
    score, word = float(one.scores[at]), _printable(one.tokens[at].text)
    level = min(LEVELS, round(LEVELS * abs(score) / largest)) if largest else 0
    sides = is_signed(one)
    side = ("a" if not sides else "p" if score > 0 else "n") if level else "z"
    text = f"“{word}” {format_score(one, score, digits + 1)}"
    if score and sides:
        text += f": {'for' if score > 0 else 'against'} {_printable(name)}"
    if one.spread is not None:
        text += f", ± {one.spread[at]:.2g} over seeds"
    return (
        f'<span class="w" title="{escape(text)}"><b class="{side}{level or ""}">{escape(word)}</b>'
        f"<small>{format_score(one, score, digits)}</small></span>"
    )


def _plain(one: Attribution, name: str, alike: bool) -> str:
    digits = decimals(one.scores.tolist())
    text = "".join(
        _printable(gap)
        + (
            ""
            if at is None
            else f"{_printable(one.tokens[at].text)}[{format_score(one, float(one.scores[at]), digits)}]"
        )
        for gap, at in _gaps_and_words(one)
    )
    what = "" if alike else f", {describe_output(one, name)}"
    return f"{one.method}{what}: {text} ({describe_error(one)}, {_queries(one.queries)})"


def _printable(text: str) -> str:
    """Without halves of characters, which no page can hold."""
    return text.encode("utf-8", "replace").decode()


def _style() -> str:
    tints = []
    for side, (line, full), kind in (("p", FOR, "solid"), ("n", AGAINST, "dashed"), ("a", UNSIGNED, "dotted")):
        for level in range(1, LEVELS + 1):
            tints.append(
                f".heat-map b.{side}{level}{{background:{_mixed(full, level / LEVELS)};"
                f"border-bottom:{level}px {kind} {line};padding-bottom:{LEVELS - level}px}}"
            )
    return (
        "<style>.heat-map{border-collapse:collapse;background:#fff;color:#222;width:100%;max-width:60em}"
        ".heat-map caption{text-align:left;caption-side:top;background:#fff;color:#222;padding:6px 8px}"
        ".heat-map th,.heat-map td{text-align:left!important;vertical-align:top;padding:5px 8px;border:1px solid #ddd;"
        "background:#fff!important;color:#222;line-height:1.5;white-space:normal;overflow-wrap:break-word}"
        ".heat-map th small{display:block;font-weight:normal}.heat-map td:last-child{width:11em}"
        ".heat-map .k{white-space:nowrap}"
        ".heat-map .w{display:inline-flex;flex-direction:column;align-items:center;margin:1px 1px 4px}"
        ".heat-map .w b{font-weight:normal;padding:0 3px 5px;white-space:normal;overflow-wrap:anywhere}"
        ".heat-map .w small{font-size:.75em;line-height:1.3;font-variant-numeric:tabular-nums}"
        f"{''.join(tints)}</style>"
    )


def _mixed(colour: str, fraction: float) -> str:
    """White mixed with this fraction of a colour."""
    parts = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(255 + fraction * (part - 255)):02x}" for part in parts)
