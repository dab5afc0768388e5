"""The quiz of a notebook, to click or to answer by keyboard."""

from __future__ import annotations

from typing import Any

import anywidget
import traitlets

from course_lib.exercises import catalogue, cells, progress
from course_lib.exercises.markdown import to_html, to_inline_html
from course_lib.exercises.texts import LETTERS, Question

# Buttons, not radio buttons: the arrow keys would choose every option on their way.
_FORM = """
function element(name, html, attributes = {}) {
  const one = document.createElement(name);
  one.innerHTML = html;
  Object.entries(attributes).forEach(([key, value]) => one.setAttribute(key, value));
  return one;
}
function render({ model, el }) {
  el.dataset.lmSuppressShortcuts = "true";  // keys belong to the buttons, not to JupyterLab
  const total = element("p", "", { role: "status" });
  const parts = model.get("questions").map((question, place) => {
    const number = String(place + 1), id = `${model.get("name")}-${number}`;
    const heading = element("div", question.text, { id, class: "question" });
    heading.prepend(element("b", `Question ${number}.`));
    const because = element("p", "", { role: "status" });
    const buttons = question.options.map(option => {
      const button = element("button", `<b>${option.letter})</b> ${option.text}`, { type: "button" });
      button.onclick = () => {
        const before = model.get("answers")[number] || "";
        model.set("answers", { ...model.get("answers"), [number]: before + option.letter });
        model.save_changes();
      };
      return button;
    });
    const group = element("div", "", { role: "group", "aria-labelledby": id });
    group.append(heading, ...buttons, because);
    el.append(group);
    return { number, question, buttons, because };
  });
  function show() {
    const answers = model.get("answers");
    let right = 0;
    parts.forEach(({ number, question, buttons, because }) => {
      const given = answers[number] || "", last = given.slice(-1);
      right += question.options.some(option => option.right && given[0] === option.letter);
      question.options.forEach((option, place) => {
        const chosen = given.includes(option.letter), mark = !chosen ? "" : option.right ? "right" : "wrong";
        buttons[place].className = mark;
        buttons[place].setAttribute("aria-pressed", String(option.letter === last));
        if (option.letter === last) {
          const html = `<b>${option.letter}) ${option.right ? "✓ Right" : "✗ Wrong"}:</b> ${option.because}`;
          if (because.innerHTML !== html) because.innerHTML = html;
        }
      });
    });
    const answered = parts.filter(({ number }) => answers[number]).length;
    total.textContent = `${answered} of ${parts.length} questions answered, ${right} right at the first answer.`;
  }
  model.on("change:answers", show);
  el.append(total);
  show();
}
export default { render };
"""

_STYLE = """
.course-quiz {
  max-width: 60em; color: var(--jp-ui-font-color1, inherit); font-size: var(--jp-content-font-size1, 14px) }
.course-quiz > div { margin: 1em 0 1.6em }
.course-quiz .question > b { margin-right: 0.4em }
.course-quiz .question > p:first-of-type { display: inline }
.course-quiz button {
  display: block; width: 100%; margin: 0.3em 0; padding: 0.4em 0.8em; text-align: left; font: inherit; color: inherit;
  background: transparent; border: 1px solid #767676; border-left-width: 6px; border-radius: 3px; cursor: pointer }
.course-quiz button:hover { background: rgba(128, 128, 128, 0.15) }
.course-quiz button:focus-visible { outline: 3px solid #2f6fb0; outline-offset: 1px }
.course-quiz button.right { border-color: #2e8540 }
.course-quiz button.wrong { border-color: #c0392b; border-style: dashed; border-left-style: solid }
.course-quiz button.right::after { content: " ✓" / "" }
.course-quiz button.wrong::after { content: " ✗" / "" }
"""


class Quiz(anywidget.AnyWidget):
    """Questions with buttons. `answers`: number of a question -> the letters that were chosen, in their order."""

    _esm = _FORM
    _css = _STYLE
    name = traitlets.Unicode().tag(sync=True)
    questions = traitlets.List(traitlets.Dict()).tag(sync=True)
    answers = traitlets.Dict(value_trait=traitlets.Unicode(), key_trait=traitlets.Unicode()).tag(sync=True)

    def __init__(self, notebook: str) -> None:
        texts = catalogue.questions_of(notebook)
        super().__init__(
            name=f"quiz-{notebook}",
            questions=[_shown(question) for question in texts],
            answers={str(number): letters for number, letters in progress.answered(notebook).items()},
        )
        self._notebook = notebook
        self.add_class("course-quiz")
        self.observe(self._record, names="answers")

    def _record(self, change: Any) -> None:
        for number, letters in change.new.items():
            for letter in letters[len(change.old.get(number, "")) :]:
                progress.record_question(self._notebook, int(number), letter)

    def _repr_mimebundle_(self, **arguments: Any) -> Any:
        """Where no kernel runs, the questions are shown as text, each answer folded."""
        data, metadata = super()._repr_mimebundle_(**arguments) or ({}, {})
        words = f"Quiz of notebook {self._notebook}: {len(self.questions)} questions"
        return {**(data or {}), "text/plain": words, "text/markdown": cells.quiz_text(self._notebook)}, metadata


def _shown(question: Question) -> dict[str, Any]:
    options = [
        {
            "letter": letter,
            "text": to_inline_html(option.text),
            "because": to_inline_html(option.because),
            "right": option.right,
        }
        for letter, option in zip(LETTERS, question.options, strict=False)
    ]
    return {"text": to_html(question.text), "options": options}


def quiz(notebook: str) -> Quiz:
    """The quiz of a notebook ("03"): each option gives its reason when it is chosen, as often as you like.

    Raises:
        BadInput: the notebook has no quiz.
    """
    return Quiz(notebook)
