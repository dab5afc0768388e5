"""Multiple-choice questions, shown as Markdown with the answers folded away."""

from __future__ import annotations

from dataclasses import dataclass

LETTERS = "abcdef"


@dataclass(frozen=True)
class Option:
    """One option of a question: its text, and why it is right or wrong."""

    text: str
    because: str


@dataclass(frozen=True)
class Question:
    """A question with one right option.

    Args:
        text: the question; Markdown.
        options: three or four.
        right: letter of the right option, "b".
    """

    text: str
    options: tuple[Option, ...]
    right: str

    def markdown(self, number: int) -> str:
        """The question, its options as a list, and below them a fold with the answer and all the reasons."""
        options = [f"- **{letter})** {o.text}" for letter, o in zip(LETTERS, self.options, strict=False)]
        reasons = [
            f"- **{letter})** {'Right' if letter == self.right else 'Wrong'}: {o.because}"
            for letter, o in zip(LETTERS, self.options, strict=False)
        ]
        fold = ["<details><summary>Answer</summary>", "", f"It is **{self.right}**.", "", *reasons, "", "</details>"]
        return "\n".join([f"**Question {number}.** {self.text}", "", *options, "", *fold])


def quiz_markdown(questions: tuple[Question, ...]) -> str:
    """A heading and all questions."""
    head = "## Quiz\n\nAnswer in your head first, then open the fold."
    return "\n\n".join([head, *(q.markdown(number) for number, q in enumerate(questions, start=1))])
