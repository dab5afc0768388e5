"""Medicine: other right answers pass, sly ones do not, and the references are what the library computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from answers import SEED, SIZES, Answer, Edit, Mistakes, judged
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.impute import SimpleImputer
from sklearn.model_selection import LeaveOneGroupOut

from course_lib import assets
from course_lib.cases.medicine import load_definitions
from course_lib.corpora.ontology import ancestors, parse_obo
from course_lib.evaluation import temper, threshold_for_coverage
from course_lib.exercises import reference
from course_lib.exercises.topics import medicine

# ---------------------------------------------------------------- other right answers


def folds_by_scikit(hospitals: list[str]) -> list[Any]:
    if len(set(hospitals)) < 2:
        return [([], list(range(len(hospitals))))]
    return [tuple(fold) for fold in LeaveOneGroupOut().split(hospitals, groups=hospitals)]


def powers(probabilities: np.ndarray, temperature: float) -> Any:
    return softmax(np.log(probabilities) / temperature, axis=1).tolist()


def by_imputer(values: np.ndarray, columns: list[int], train: np.ndarray) -> Any:
    filled = values.copy()
    for column in columns:
        imputer = SimpleImputer(missing_values=0.0).fit(values[train][:, [column]])
        filled[:, [column]] = imputer.transform(values[:, [column]])
    return filled


def by_library(text: str) -> dict[str, tuple[str, list[str]]]:
    return {name: (term.definition, list(term.parents)) for name, term in parse_obo(text).items()}


def downwards(parents: dict[str, list[str]], held_out: set[str]) -> list[str]:
    found = set(held_out) & set(parents)
    while new := {name for name, above in parents.items() if found & set(above)} - found:
        found |= new
    return sorted(found)


def from_the_surest(confidence: np.ndarray, correct: np.ndarray, most_wrong: float) -> float:
    good = [t for t in confidence if (~correct)[confidence >= t].sum() <= most_wrong * (confidence >= t).sum() + 1e-12]
    return float(min(good, default=np.inf))


def by_where(probabilities: np.ndarray, similarity: Any, systems: list[str], threshold: float, least: float) -> Any:
    names = np.array(systems, dtype=object)[np.asarray(probabilities).argmax(1)]
    names[np.asarray(probabilities).max(1) < threshold] = "unsure"
    names[np.asarray(similarity) < least] = "unknown"
    return names.tolist()


RIGHT: dict[str, list[Answer]] = {
    "apply_temperature": [powers, temper],
    "fill_zeros": [by_imputer],
    "hospital_folds": [folds_by_scikit],
    "parse_terms": [by_library],
    "branch_rows": [downwards],
    "risk_threshold": [from_the_surest],
    "decide": [by_where],
}
TABLE = st.builds(
    lambda random, rows: (
        random.integers(0, 3, size=(rows + 1, 3)) + np.eye(rows + 1, 3),
        [0],
        np.arange(rows + 1) < 1,
    ),
    *(SEED, SIZES),
)
DRAWN = {
    "hospital_folds": st.tuples(st.lists(st.sampled_from("ABCD"), min_size=2, max_size=12)),
    "apply_temperature": st.builds(
        lambda random, rows, t: (random.dirichlet(np.ones(3), size=rows), t), *(SEED, SIZES, st.floats(0.1, 5))
    ),
    "fill_zeros": TABLE,
    "risk_threshold": st.builds(
        lambda random, rows: (random.random(rows).round(1), random.random(rows) < 0.7, 0.2), *(SEED, SIZES)
    ),
}

# ---------------------------------------------------------------- sly answers, right on most cases

SLY: dict[str, list[Answer | Edit]] = {
    "apply_temperature": [("/ temperature", "/ max(temperature, 0.5)")],
    "fill_zeros": [("known[known != 0].mean()", "np.median(known[known != 0])")],
    "hospital_folds": [("sorted(set(hospitals))", "dict.fromkeys(hospitals)")],
    "parse_terms": [('"is_obsolete: true" in lines', 'len(lines) > 5')],
    "branch_rows": [("parents.get(name, []))", "parents.get(name, [])[:1])")],
    "risk_threshold": [('float("inf")', "1.0"), ("<= most_wrong", "< most_wrong + 1e-3 * (most_wrong > 0)")],
    "decide": [("near < least_similar", "near <= least_similar")],
}  # fmt: skip
MISTAKES: Mistakes = {
    "hospital_folds": [(lambda hospitals: 3, "a list of pairs")],
    "apply_temperature": [(lambda p, t: p ** (1 / t), "The number at [0, 0]")],
    "parse_terms": [(lambda text: [], "should be a dictionary")],
}
TestExercises = judged((*medicine.EXERCISES, *medicine.BUILD), RIGHT, SLY, MISTAKES, DRAWN)

# ---------------------------------------------------------------- texts, and the library


def test_the_worked_examples_of_the_tasks() -> None:
    assert reference.hospital_folds(["B", "A", "B"]) == [([0, 2], [1]), ([1], [0, 2])]
    np.testing.assert_allclose(reference.apply_temperature(np.array([[0.8, 0.2]]), 2.0), [[2 / 3, 1 / 3]], atol=1e-3)
    column = np.array([[200.0], [0], [300], [0]])
    for train, expected in (([1, 1, 1, 1], [200, 250, 300, 250]), ([1, 1, 0, 0], [200, 200, 300, 200])):
        assert reference.fill_zeros(column, [0], np.array(train, dtype=bool))[:, 0].tolist() == expected
    sure, right = np.array([0.9, 0.6, 0.8, 0.7]), np.array([True, False, True, True])
    assert [reference.risk_threshold(sure, right, most) for most in (0, 0.25)] == [0.7, 0.6]
    assert threshold_for_coverage(sure, 0.75) == 0.7


def test_the_stages_read_the_real_ontology_as_the_library_does() -> None:
    text = assets.path("phenotype_ontology").read_text(encoding="utf-8")
    terms, expected = reference.parse_terms(text), parse_obo(text)
    assert terms.keys() == expected.keys()
    assert {name: parents for name, (_, parents) in terms.items()} == {n: list(t.parents) for n, t in expected.items()}
    differ = [name for name, (definition, _) in terms.items() if definition != expected[name].definition]
    assert 0 < len(differ) < 40, "only definitions with quotation marks inside are cut short"
    below = reference.branch_rows({name: parents for name, (_, parents) in terms.items()}, {"HP:0001098"})
    assert set(below) == {name for name in expected if "HP:0001098" in ancestors(expected, name)}
    assert {"HP:0000479"} < set(below) and set(load_definitions()["id"]) & set(below)


@pytest.mark.parametrize("name", ["hospital_folds", "apply_temperature", "fill_zeros"])
def test_the_worst_mistakes_have_their_own_messages(name: str) -> None:
    exercise = {one.name: one for one in medicine.EXERCISES}[name]
    assert len(exercise.wrong_answers) >= 5
