"""Questions and translations: what a small decoder can and cannot do, measured on items of our own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from course_lib.errors import BadInput
from course_lib.evaluation import wilson_interval
from course_lib.experiments import Run, experiment
from course_lib.generation.decoding import generate
from course_lib.generation.pretrained import CausalLM
from course_lib.generation.question_answering import contains_answer, course_data

TASKS = ("common facts", "less common facts", "arithmetic", "French words", "French sentences", "reading")
PROMPTS = ("plain", "instruction", "few-shot")
_KINDS = {task: "translation" if "French" in task else task if task == "reading" else "question" for task in TASKS}
_INSTRUCTIONS = {
    "question": "Answer with one word or one number only.\n{}",
    "translation": "Translate into French. Write only the translation.\n{}",
    "reading": "Answer the question with a few words from the text.\n\n{}",
}
_PLAIN = {"question": "{}", "translation": 'How do you say "{}" in French?', "reading": "{}"}
# Chosen on the validation items: most right answers, and for translations, of which none was right, the highest chrF.
CHOSEN = {"question": "plain", "translation": "few-shot", "reading": "few-shot"}
_MOST_TOKENS = {"arithmetic": 60}  # this model explains before it names the number; 30 for other tasks

ABILITY_CONFIGS = [{"task": task, "prompt": CHOSEN[_KINDS[task]], "part": "test"} for task in TASKS]


def items(task: str, part: str) -> list[tuple[str, list[str]]]:
    """(question, accepted answers) of a task; `part` is `test`, or `validation`, with which the prompts were chosen."""
    rows = course_data("abilities")["items"]
    return [(row["question"], row["answers"]) for row in rows if (row["task"], row["part"]) == (task, part)]


def messages(task: str, prompt: str, part: str, question: str) -> list[dict[str, str]]:
    """The conversation that ends with a question."""
    kind, data = _KINDS[task], course_data("abilities")
    asked = f"{data['paragraphs'][part]}\n\n{question}" if kind == "reading" else question
    form = (_PLAIN if prompt == "plain" else _INSTRUCTIONS)[kind]
    turns = []
    for example, answer in data["examples"][kind] if prompt == "few-shot" else ():
        turns += [
            {"role": "user", "content": form.format(example)},
            {"role": "assistant", "content": answer},
        ]
    return [*turns, {"role": "user", "content": form.format(asked)}]


def normalize_answer(text: str) -> str:
    """Lower case, without punctuation and without an article at the beginning (as SQuAD's evaluation does).

    Rajpurkar et al. 2016, arXiv:1606.05250, section 6.1; the articles here are English and French.
    """
    words = re.sub(r"[^\w\s]", " ", text.lower().replace("’", "'")).split()
    return " ".join(words[1:] if len(words) > 1 and words[0] in _ARTICLES else words)


_ARTICLES = {"a", "an", "the", "le", "la", "les", "l", "un", "une", "des", "du"}


def is_right(task: str, text: str, accepted: Sequence[str]) -> bool:
    """Whether an output counts as right.

    A translation must equal an accepted one. Another answer must contain an accepted one in its first sentence: a
    model that goes on names many things. In arithmetic the last number of the output counts, since the
    numbers of the question are often repeated.
    """
    if task == "arithmetic":
        return re.findall(r"\d+", text.replace(",", ""))[-1:] == [accepted[0]]
    if "French" in task:
        return normalize_answer(text) in [normalize_answer(one) for one in accepted]
    return contains_answer(re.split(r"(?<=[.!?])\s|\n", text.strip())[0], accepted)


def chrf(text: str, accepted: Sequence[str]) -> float:
    """chrF of a translation, from 0 to 1: F-score of its character n-grams, n from 1 to 6 (Popović 2015, W15-3049).

    Precision and recall are means over n; recall counts four times as much (beta = 2). The best accepted translation
    counts. Case, punctuation and spaces do not count.

    Raises:
        BadInput: there is no accepted translation.
    """
    if not accepted:
        raise BadInput("there is no accepted translation", "give at least one")
    return max(_chrf(_letters(text), _letters(one)) for one in accepted)


def _letters(text: str) -> str:
    return normalize_answer(text).replace(" ", "")


def _chrf(found: str, wanted: str) -> float:
    rates = []
    for n in range(1, min(6, len(wanted)) + 1):
        ours, theirs = (Counter(text[at : at + n] for at in range(len(text) - n + 1)) for text in (found, wanted))
        common = (ours & theirs).total()
        rates.append((common / max(1, ours.total()), common / theirs.total()))
    precision, recall = np.mean(rates, 0) if rates else (0.0, 0.0)
    weighted = 4 * precision + recall
    return float(5 * precision * recall / weighted) if weighted else 0.0


def _ability_rows(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a run: task, prompt, part, items, right, accuracy with its 95 % Wilson interval, chrf, chrf_of_copy."""
    rows = []
    for run in runs:
        right = run.result["right"]
        interval = wilson_interval(sum(right), len(right))
        scores = {name: float(np.mean(run.result[name] or [np.nan])) for name in ("chrf", "chrf_of_copy")}
        counts = {"items": len(right), "right": sum(right), "accuracy": interval.estimate}
        rows.append({**run.config, **counts, "low": interval.low, "high": interval.high, **scores})
    return pd.DataFrame(rows)


@experiment(
    "ability_study",
    cost=lambda config: len(items(config["task"], config["part"])),
    table=_ability_rows,
    tolerance={"right": 2, "accuracy": 0.26, "low": 0.26, "high": 0.26, "chrf": 0.1},  # near-ties: two items may change
    data=("smollm2",),
)
def ability_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Greedy outputs of the course's decoder for the items of a task, with the verdict on each.

    `config`: `task` (one of `TASKS`), `prompt` (one of `PROMPTS`), `part` (`test` or `validation`). `chrf_of_copy` is
    what the untranslated English scores.
    """
    task, rows = config["task"], items(config["task"], config["part"])
    lm = CausalLM.from_pretrained()
    asked = [lm.chat_ids(messages(task, config["prompt"], config["part"], question)) for question, _ in rows]
    written = [one.text.strip() for one in generate(lm, asked, max_new_tokens=_MOST_TOKENS.get(task, 30))]
    french = list(zip(written, rows, strict=True)) if "French" in task else []
    return {
        "questions": [question for question, _ in rows],
        "outputs": written,
        "right": [int(is_right(task, text, accepted)) for text, (_, accepted) in zip(written, rows, strict=True)],
        "chrf": [round(chrf(text, accepted), 4) for text, (_, accepted) in french],
        "chrf_of_copy": [round(chrf(question, accepted), 4) for _, (question, accepted) in french],
    }
