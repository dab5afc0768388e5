"""Type a sentence and see the attention of each layer and head, with and without the causal mask."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Protocol

import ipywidgets
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from course_lib.widgets.base import control_style, error_message, live_box, sentence_line

MOST_TOKENS = 32  # a wider table does not fit beside its words
_SAMPLES = (0.0, 0.01, 0.05, 0.2, 0.5, 1.0)  # shades that the legend shows
MASKS = ("bidirectional", "causal")
_HIDDEN = "repeating-linear-gradient(45deg,#fff 0 3px,#c9c9c9 3px 4px)"
_STYLE = (
    "<style>.attention-table{border-collapse:collapse;background:#fff;color:#222;font-size:12px}"
    ".attention-table td{min-width:19px;height:19px;padding:0;border:1px solid #eee}"
    ".attention-table th{font-weight:normal;padding:1px 4px;text-align:right;white-space:nowrap;color:#222}"
    ".attention-table thead th{writing-mode:vertical-rl;transform:rotate(180deg);text-align:left}"
    ".attention-legend td{padding:0 4px}</style>"
)


class Encoder(Protocol):
    """What this widget needs of an encoder; `course_lib.encoder.BertEncoder` is one."""

    causal: bool

    @property
    def config(self) -> Any: ...
    def parameters(self) -> Iterable[Any]: ...
    def attention_maps(self, input_ids: Any) -> Any: ...


class Tokenizer(Protocol):
    """What this widget needs of a tokenizer, as transformers' have it."""

    def __call__(self, text: str, *, truncation: bool, max_length: int) -> Any: ...
    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]: ...


def watch_attention(
    encoder: Encoder, tokenizer: Tokenizer, text: str = "The cat sat on the mat because it was tired."
) -> ipywidgets.VBox:
    """A line to type in, sliders for layer and head, a switch for the causal mask, and the attention map.

    Each row of the map is a query token, each column a key token; the darker, the more. A cell shows its
    number when the mouse rests on it. It never raises: what goes wrong is shown in place of the map.

    Args:
        encoder: has `attention_maps`, `causal` and `config` (n_layers, n_heads), as `BertEncoder`.
        tokenizer: of the encoder.
        text: the sentence to begin with; of more than MOST_TOKENS tokens the first are shown.

    Returns:
        A box of the class `watch-attention`: the line (children[0]), layer and head (children[1] and [2]), the
        switch (children[3]) and the answer (children[4], HTML).
    """
    line = sentence_line(text)
    layer, head = (
        _slider(name, n) for name, n in (("Layer", encoder.config.n_layers), ("Head", encoder.config.n_heads))
    )
    mask = ipywidgets.ToggleButtons(
        options=MASKS, value=MASKS[int(encoder.causal)], description="Mask",
        style={"description_width": "4em", "button_width": "8em"},
    )  # fmt: skip
    answer, known = ipywidgets.HTML(), _LastMaps(encoder, tokenizer)

    def show(_: object = None) -> None:
        answer.value = _answer(known, line.value, layer.value, head.value, mask.value == "causal")

    return live_box("watch-attention", [line, layer, head, mask], [answer], show)


def _slider(name: str, n: int) -> ipywidgets.IntSlider:
    return ipywidgets.IntSlider(value=1, min=1, max=n, description=name, **control_style("4em", "400px"))


class _LastMaps:
    """The maps of the last sentence, so that a slider only chooses among them."""

    def __init__(self, encoder: Encoder, tokenizer: Tokenizer) -> None:
        self.encoder, self.tokenizer = encoder, tokenizer
        self._of: tuple[str, bool] | None = None
        self._tokens: list[str] = []
        self._maps: NDArray[np.float64] = np.zeros((0, 0, 0, 0))

    def __call__(self, text: str, causal: bool) -> tuple[list[str], Float[NDArray[np.float64], "layers heads seq seq"]]:
        """Tokens and maps of a sentence."""
        if self._of != (text, causal):
            ids = self.tokenizer(text, truncation=True, max_length=MOST_TOKENS)["input_ids"]
            self._tokens = self.tokenizer.convert_ids_to_tokens(list(ids))
            self._maps = _maps(self.encoder, list(ids), causal)
            self._of = text, causal
        return self._tokens, self._maps

    def is_cut(self, text: str) -> bool:
        """Whether the sentence has more tokens than are shown."""
        return len(self.tokenizer(text, truncation=True, max_length=MOST_TOKENS + 1)["input_ids"]) > MOST_TOKENS


def _maps(encoder: Encoder, ids: list[int], causal: bool) -> Float[NDArray[np.float64], "layers heads seq seq"]:
    import torch

    private = copy.copy(encoder)  # the encoder itself stays as it is
    private.causal = causal
    with torch.no_grad():
        row = torch.tensor([ids], device=next(iter(encoder.parameters())).device)
        maps = private.attention_maps(row)
    return np.asarray(maps[:, 0].double().cpu().numpy())


def _answer(known: _LastMaps, text: str, layer: int, head: int, causal: bool) -> str:
    """The HTML for a sentence: words and map, a request to type, or what went wrong."""
    if not text.strip():
        return "<p>Type a sentence.</p>"
    try:
        tokens, maps = known(text, causal)
        cut = f" Only the first {MOST_TOKENS} tokens are shown." if known.is_cut(text) else ""
        weights = maps[layer - 1, head - 1]
        sentence = f"Layer {layer}, head {head}, {MASKS[int(causal)]}. {habits(weights, tokens)}{cut}"
        return f"<p style='max-width:640px'>{escape(sentence)}</p>{table(weights, tokens, causal)}"
    except Exception as error:  # of any encoder or tokenizer, even an unfinished one: shown, not hidden
        return f"<p>The attention map cannot be shown.</p>{error_message(error)}"


def habits(weights: Float[NDArray[np.float64], "seq seq"], tokens: Sequence[str]) -> str:
    """What a head does, in words: its strongest link, and how much attention a token pays to itself, its left
    neighbour and the special tokens, on average."""
    special = np.array([token.startswith("[") and token.endswith("]") for token in tokens])
    fractions = {"itself": np.diag(weights).mean(), "special tokens": weights[:, special].sum(axis=1).mean()}
    if len(tokens) > 1:
        fractions["the token before"] = np.diag(weights, k=-1).mean()
    sentence = ", ".join(f"{fraction:.0%} to {name}" for name, fraction in fractions.items())
    words = f"On average a token gives {sentence}."
    links = weights * ~(np.eye(len(tokens), dtype=bool) | special[None, :] | special[:, None])
    if not links.any():
        return words
    query, key = divmod(int(links.argmax()), len(tokens))
    link = f"“{tokens[query]}” attends to “{tokens[key]}” ({links.max():.0%})"
    return f"Strongest link outside the special tokens: {link}. {words}"


def table(weights: Float[NDArray[np.float64], "seq seq"], tokens: Sequence[str], causal: bool) -> str:
    """An attention map as an HTML table: the darker, the larger the weight; hidden cells are hatched."""
    head = "".join(f"<th>{escape(token)}</th>" for token in tokens)
    body = "".join(
        f"<tr><th>{escape(token)}</th>{_cells(weights[row], tokens, row, causal)}</tr>"
        for row, token in enumerate(tokens)
    )
    samples = "".join(f"<td style='background:{_shade(p)}'></td><td style='border:0'>{p:.0%}</td>" for p in _SAMPLES)
    later = f"<td style='background:{_HIDDEN}'></td><td style='border:0'>hidden: later token</td>" if causal else ""
    return (
        f'{_STYLE}<div style="overflow-x:auto"><table class="attention-table"><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div><p>Rows are query tokens, columns are key tokens:</p>"
        f'<table class="attention-table attention-legend"><tr>{samples}{later}</tr></table>'
    )


def _shade(weight: float) -> str:
    """Dark blue on white, in grey as dark. The root of the weight: 5 % can still be seen beside 95 %."""
    return f"rgba(27,42,92,{max(0.0, weight) ** 0.5:.2f})"


def _cells(weights: NDArray[np.float64], tokens: Sequence[str], row: int, causal: bool) -> str:
    cells = []
    for column, weight in enumerate(weights):
        hidden = causal and column > row
        shade, said = (_HIDDEN, "hidden") if hidden else (_shade(weight), f"{weight:.1%}")
        link = escape(f"“{tokens[row]}” attends to “{tokens[column]}”: {said}")
        cells.append(f'<td title="{link}" style="background:{shade}" aria-label="{said}"></td>')
    return "".join(cells)
