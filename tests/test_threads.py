"""Many threads use one classifier at once, as in a server: each gets what it would get alone."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from course_lib import attacks
from course_lib.classifier import TextClassifier
from course_lib.explain import METHODS, explain

TEXTS = ["a good but long film", "a dull story", "not bad at all"]
RECIPES = ["deepwordbug", "gradient-synonyms", "hotflip"]
THREADS = 8


def predictions(classifier):
    return [classifier.predict_proba([f"{text} number {i}" for text in TEXTS for i in range(8)])]


def explanations(classifier, method):
    sampled = {"samples": 100} if "samples" in METHODS[method].settings else {}
    return [one.scores for one in explain(classifier, TEXTS, method, **sampled)]


def attacked(classifier, recipe):
    report = attacks.recipe(recipe).run(classifier, TEXTS[:2], [1, 0])
    return [np.array([one.adversarial, str(one.queries)]) for one in report.results]


def pgd(classifier):
    report = attacks.PGD(steps=3).run(classifier, TEXTS, [1, 0, 1])
    return [report.loss_before, report.loss_after, report.sizes]


TASKS = [
    ("predict_proba", predictions, ()),
    *((f"explain {method}", explanations, (method,)) for method in METHODS if not method.endswith("package")),
    *((f"attack {recipe}", attacked, (recipe,)) for recipe in RECIPES),
    ("pgd", pgd, ()),
]


def same(one, other, exact: bool) -> bool:
    """Whether two results are equal; numbers to the bit, or within rounding."""
    return all(
        np.array_equal(a, b) if exact or a.dtype.kind == "U" else np.allclose(a, b, atol=1e-4)
        for a, b in zip(one, other, strict=True)
    )


@pytest.fixture(scope="module")
def classifier():
    return TextClassifier.from_pretrained("sentiment")


def test_eight_threads_get_what_one_thread_gets(classifier):
    alone = {name: function(classifier, *more) for name, function, more in TASKS}
    exact = {name: same(alone[name], function(classifier, *more), exact=True) for name, function, more in TASKS}
    start, wrong = threading.Barrier(THREADS), list[str]()

    def work(number: int) -> None:
        start.wait()
        for at in range(len(TASKS)):
            name, function, more = TASKS[(at + number * 5) % len(TASKS)]
            if not same(alone[name], function(classifier, *more), exact[name]):
                wrong.append(name)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    assert not wrong, sorted(set(wrong))
