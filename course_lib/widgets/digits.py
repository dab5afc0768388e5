"""A digit that you draw, what a model reads in it, and what it reads after an attack."""

from __future__ import annotations

import anywidget
import ipywidgets
import torch
import traitlets
from torch import Tensor, nn

from course_lib import plots
from course_lib.attacks.pgd import PGD
from course_lib.cases.images import Digits, check_digits, predict
from course_lib.errors import BadInput
from course_lib.widgets.base import control_style, live_box, message

_SIDE = 28

_DRAW = """
function render({ model, el }) {
  const canvas = document.createElement("canvas"), small = document.createElement("canvas");
  canvas.width = canvas.height = 280; small.width = small.height = 28;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "Draw a digit here with a mouse or a finger, or use the button Example digit");
  canvas.style.cssText = "border:1px solid #888; background:white; touch-action:none; max-width:100%";
  const pen = canvas.getContext("2d"), reader = small.getContext("2d", { willReadFrequently: true });
  function clear() { pen.fillStyle = "white"; pen.fillRect(0, 0, 280, 280); }
  function paint() {
    clear();
    model.get("pixels").forEach((value, i) => {
      const grey = Math.round(255 * (1 - value));
      pen.fillStyle = `rgb(${grey},${grey},${grey})`;
      pen.fillRect(10 * (i % 28), 10 * Math.floor(i / 28), 10, 10);
    });
  }
  let drawing = false, own = false;
  function at(event) {
    const frame = canvas.getBoundingClientRect(), scale = 280 / frame.width;
    return [(event.clientX - frame.left) * scale, (event.clientY - frame.top) * scale];
  }
  canvas.onpointerdown = event => {
    drawing = true; canvas.setPointerCapture(event.pointerId);
    pen.lineWidth = 22; pen.lineCap = pen.lineJoin = "round"; pen.strokeStyle = "black";
    pen.beginPath(); pen.moveTo(...at(event));
  };
  canvas.onpointermove = event => { if (drawing) { pen.lineTo(...at(event)); pen.stroke(); } };
  canvas.onpointerup = () => {
    drawing = false; reader.drawImage(canvas, 0, 0, 28, 28);
    const data = reader.getImageData(0, 0, 28, 28).data;
    own = true; model.set("pixels", Array.from({ length: 784 }, (_, i) => 1 - data[4 * i] / 255));
    model.save_changes(); own = false;
  };
  model.on("change:pixels", () => { if (!own) paint(); });
  paint(); el.append(canvas);
}
export default { render };
"""


class DigitPad(anywidget.AnyWidget):
    """A canvas; `pixels` are the 784 grey values of its 28 x 28 pixels, row by row, 1 for ink."""

    _esm = _DRAW
    pixels = traitlets.List(traitlets.Float(), [0.0] * _SIDE**2, minlen=_SIDE**2, maxlen=_SIDE**2).tag(sync=True)


def draw_digit(models: dict[str, nn.Module], examples: Digits) -> ipywidgets.VBox:
    """A canvas to draw a digit on, the model's prediction, and a PGD attack on it with the epsilon of a slider.

    Args:
        models: by name; each maps images (n, 28, 28) to logits.
        examples: digits that the button "Example digit" puts on the canvas in turn.

    Returns:
        A box of the class `draw-digit`: the pad (children[0]; set its `pixels`), the buttons Example digit and Clear
        (children[1]), model, epsilon, words and picture (children[2:]).

    Raises:
        BadInput: no model, or examples that are not digits of 28 x 28 pixels from 0 to 1.
    """
    check_digits(examples)
    if not isinstance(models, dict) or not models or examples.images.shape[1:] != (_SIDE, _SIDE):
        found = f"models {list(models)!r:.60}, examples of the shape {tuple(examples.images.shape)}"
        raise BadInput(found, 'give {"CNN": model}, and images of 28 x 28')
    pad, turn = DigitPad(pixels=examples.images[0].flatten().tolist()), [0]
    names = ipywidgets.Dropdown(options=list(models), description="Model", **control_style("4em"))
    epsilon = ipywidgets.FloatSlider(
        value=0.1, min=0, max=0.3, step=0.05, description="Epsilon", **control_style("4em")
    )
    words, shown = ipywidgets.HTML(), ipywidgets.HTML()

    def show(_: object = None) -> None:
        image = centred(torch.tensor(pad.pixels).view(1, _SIDE, _SIDE).clamp(0, 1))
        words.value, shown.value = describe(models[names.value], image, epsilon.value)

    def next_example(_: object) -> None:
        turn[0] = (turn[0] + 1) % len(examples.labels)
        pad.pixels = examples.images[turn[0]].flatten().tolist()

    buttons = [ipywidgets.Button(description=label) for label in ("Example digit", "Clear")]
    buttons[0].on_click(next_example)
    buttons[1].on_click(lambda _: pad.set_trait("pixels", [0.0] * _SIDE**2))
    pad.observe(show, names="pixels")
    box = live_box("draw-digit", [names, epsilon], [words, shown], show)
    box.children = (pad, ipywidgets.HBox(buttons), *box.children)
    return box


def centred(image: Tensor) -> Tensor:
    """The image with the centre of its ink in the middle, as in MNIST; an empty one as it is."""
    if not image.sum():
        return image
    places = torch.arange(_SIDE, dtype=torch.float32)
    down, right = ((image[0].sum(axis) * places).sum() / image.sum() for axis in (1, 0))
    moves = (round(13.5 - float(down)), round(13.5 - float(right)))
    return torch.roll(image, moves, (1, 2))


def describe(module: nn.Module, image: Tensor, epsilon: float) -> tuple[str, str]:
    """The predictions in words, and the image before and after the attack, both as HTML."""
    if not image.sum():
        return message("The canvas is empty: draw a digit, or use the button."), ""
    before = predict(module, image)[0]
    attacked = PGD(epsilon, "linf", steps=10).perturb_images(module, image, before.argmax()[None])
    after = predict(module, attacked)[0]
    captions = [f"{int(one.argmax())} ({float(one.max()):.0%})" for one in (before, after)]
    images = plots.to_html(plots.image_grid(torch.cat([image, attacked]), captions, columns=6))
    said = f"The model reads <b>{captions[0]}</b>, and after the attack <b>{captions[1]}</b>."
    return message(said), images
