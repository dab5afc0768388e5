"""Type the beginning of a text and see how likely each next token is, and what temperature and filters make of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets
import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.generation import CausalLM, Sampling, generate
from course_lib.widgets.base import bar, control_style, error_message, live_box, message

MOST_BARS = 8
MOST_TOKENS = 256  # that are read, from the end of the text: a prediction after every letter must be quick
AT_ONCE = 20  # tokens that the second button writes
KEPT, REMOVED = "#2f6fb0", "#b5b5b5"


def watch_next_token(lm: CausalLM, text: str = "The movie was", seed: int = 0) -> ipywidgets.VBox:
    """A text, sliders for the sampling, the likeliest next tokens before and after, and buttons that write.

    It never raises: what goes wrong is shown in place of the bars. Of a long text the last MOST_TOKENS tokens are read.

    Args:
        lm: the model. It continues the text as it is, without a chat template.
        text: to begin with.
        seed: of the draws; the same clicks write the same text.

    Returns:
        A box of the class `watch-next-token`: the text (children[0]), temperature, top-p and top-k (children[1] to
        children[3]), the buttons (children[4]: "Draw a token", "Write 20 tokens", "Start again") and the bars
        (children[5], HTML).
    """
    return _NextToken(lm, text, seed).box


class _NextToken:
    """The controls, and the scores of the text that was read last."""

    def __init__(self, lm: CausalLM, text: str, seed: int) -> None:
        self.lm, self.start, self.seed, self.draws, self.note = lm, text, seed, 0, ""
        self.read: dict[str, Float[Tensor, "vocab"]] = {}
        self.text = ipywidgets.Textarea(
            value=text, description="Your text", placeholder="type the beginning of a text", rows=4,
            continuous_update=True, **control_style(width="640px"),
        )  # fmt: skip
        self.temperature = _slider("Temperature", 1.0, 0.0, 2.0, 0.1, "0 always takes the likeliest token")
        self.top_p = _slider("Top-p", 1.0, 0.05, 1.0, 0.05, "the likeliest tokens that together reach it")
        self.top_k = ipywidgets.IntSlider(
            value=0, max=50, description="Top-k", tooltip="the k likeliest tokens; 0: all", **control_style("7em")
        )
        buttons = ipywidgets.HBox([
            _button("Draw a token", lambda _: self.write(1)),
            _button(f"Write {AT_ONCE} tokens", lambda _: self.write(AT_ONCE)),
            _button("Start again", lambda _: self.restart()),
        ], layout={"flex_flow": "row wrap"})  # fmt: skip
        self.answer = ipywidgets.HTML(layout={"width": "min(100%, 900px)"})
        controls = [self.text, self.temperature, self.top_p, self.top_k]
        self.box = live_box("watch-next-token", controls, [buttons, self.answer], self.show)

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.temperature.value, self.top_k.value, self.top_p.value)

    def show(self, _: object = None) -> None:
        """Fills the bars for the text and the settings as they are."""
        note, self.note = self.note, ""
        if not self.text.value.strip():
            self.answer.value = message("Type the beginning of a text.")
            return
        try:
            logits = self.logits(self.text.value)
            self.answer.value = message(note) * bool(note) + next_token_bars(self.lm, logits, self.sampling)
        except Exception as error:  # of any model, even an unfinished one: shown, not hidden
            self.answer.value = message("There is no prediction.") + error_message(error)

    def write(self, tokens: int) -> None:
        """Appends tokens that the model draws."""
        try:
            ids = self.lm.encode(self.text.value)[-MOST_TOKENS:]
            (new,) = generate(
                self.lm, ids, max_new_tokens=tokens, sampling=self.sampling, seed=self.seed + 1000 * self.draws
            )
        except Exception as error:  # of any model, even an unfinished one: shown, not hidden
            self.answer.value = message("Nothing was written.") + error_message(error)
            return
        self.draws += 1
        self.note = "The model ended its text: it drew the end token." if new.finish_reason == "end" else ""
        if new.text:
            self.text.value += new.text  # shows the bars
        else:
            self.show()

    def restart(self) -> None:
        """The first text and the first seed again."""
        self.draws = 0
        self.text.value = self.start

    def logits(self, text: str) -> Float[Tensor, "vocab"]:
        """Scores of the next token; those of the last text are kept for when a slider moves."""
        if text not in self.read:
            ids = torch.tensor([self.lm.encode(text)[-MOST_TOKENS:]], device=self.lm.device)
            with torch.inference_mode():
                self.read = {text: self.lm.model.logits(self.lm.model(ids)[0, -1]).float().cpu()}
        return self.read[text]


def next_token_bars(lm: CausalLM, logits: Float[Tensor, "vocab"], sampling: Sampling) -> str:
    """The HTML of the likeliest next tokens before and after the sampling's settings, side by side."""
    before, after = logits.softmax(-1), sampling.probabilities(logits)
    top = before.topk(min(MOST_BARS, len(before))).indices.tolist()
    kept = int((after > 0).sum())
    words = f"{token_name(lm, top[0])} is the likeliest next token ({before[top[0]]:.1%}). "
    drawn = "All" if kept == len(after) else f"{kept:,} of"
    words += f"{drawn} {len(after):,} tokens can be drawn." if kept > 1 else "It is always taken."
    columns = [("The model's probabilities", before), ("The probabilities that are drawn from", after)]
    bars = "".join(
        f'<div style="flex:1 1 24em"><b>{title}</b>'
        + "".join(_token_bar(token_name(lm, token), float(p[token]), float(after[token])) for token in top)
        + "</div>"
        for title, p in columns
    )
    legend = "<p>Grey, “removed”: the settings leave the token no probability.</p>"
    return f'{message(words)}<div style="display:flex;flex-wrap:wrap;gap:1.5em">{bars}</div>{legend}'


def _token_bar(name: str, probability: float, after: float) -> str:
    number = f"{probability:.1%}" if after or probability else "removed"
    return bar(name, probability, number, colour=KEPT if after else REMOVED)


def token_name(lm: CausalLM, token: int) -> str:
    """A token in quotation marks: many begin with a space. Special tokens, such as the end token, by their own name."""
    text = lm.decode([token])
    return f"“{text}”".replace("\n", "↵") if text else str(lm.tokenizer.convert_ids_to_tokens(token))


def _slider(name: str, value: float, low: float, high: float, step: float, tooltip: str) -> ipywidgets.FloatSlider:
    return ipywidgets.FloatSlider(
        value=value, min=low, max=high, step=step, description=name, tooltip=tooltip, **control_style("7em")
    )


def _button(name: str, click: Callable[[Any], None]) -> ipywidgets.Button:
    button = ipywidgets.Button(description=name, layout={"width": "auto"})
    button.on_click(click)
    return button
