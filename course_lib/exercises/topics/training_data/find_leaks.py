"""Exercise: texts of the test set that the model has already seen in training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from course_lib.exercises.exercise import Case, Exercise, WrongFunction
from course_lib.exercises.values import as_whole_numbers, brief, kind


def find_leaks(train_texts: list[str], test_texts: list[str]) -> list[int]:
    """Positions, in growing order, of the test texts whose words also stand in a training text."""

    def words_of(text: str) -> str:
        letters = [c if c.isalnum() else " " for c in text.lower()]
        return " ".join("".join(letters).split())

    seen = {words_of(text) for text in train_texts}
    return [position for position, text in enumerate(test_texts) if words_of(text) in seen]


def _case(train: list[str], test: list[str]) -> Case:
    return {"train_texts": train, "test_texts": test}


def _cases() -> list[Case]:
    return [
        _case(["A fine film."], ["A dull film.", "A fine film."]),
        _case(["A fine film."], ["a FINE film.", "nothing else"]),
        _case(["Fine"], ["  fine\n", "f ine"]),
        _case(["What a mess"], ["fine", "  What   a\tmess\n"]),
        _case(["What a mess"], ["What a mess!!!", '"What, a mess"', "what a mess"]),
        _case(["A well-made film", "wow...what a ride"], ["a well made film", "wow what a ride", "wowwhat a ride"]),
        _case(["a wellmade film"], ["a well-made film"]),
        _case(["good", "man bites dog"], ["not good at all", "dog bites man", "a good man", "goo", "man bites"]),
        _case(["not good at all"], ["good", "all", "at"]),
        _case(["b", "d", "a", "c"], ["x", "a", "y", "z", "d", "w"]),  # other positions here than there
        _case(["one", "two"], ["three", "Three!", "two", "four", "two?"]),  # twice in test is no leak
        _case(["rated 10 of 10"], ["rated 9 of 10", "Rated 10 of 10!", "rated of"]),
        _case(["bad bad film"], ["bad film", "bad bad film"]),
        _case(["caf\u00e9 noir"], ["Caf\u00c9 Noir.", "caf noir"]),
        _case(["fine, really"], ["\u201cFine\u201d \u2014 really\u2026", "fine"]),  # signs outside ASCII
        _case(["yes"], ["no", "maybe"]),
        _case([], ["yes"]),
    ]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    positions = as_whole_numbers(got)
    if positions is None:
        return f"The result should be a list of positions (whole numbers), but it is {kind(got)}: {brief(got)}."
    if missed := [p for p in expected if p not in positions]:
        return f"Test text {missed[0]}, {case['test_texts'][missed[0]]!r}, is a leak that you miss."
    if wrong := [p for p in positions if p not in expected]:
        return f"You list {wrong[0]}, but there is no leak at that position of the test texts."
    return None if positions == expected else "The right positions, but not each once and in growing order."


def _words(text: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


def _by(change: Callable[[str], Any], train: list[str], test: list[str]) -> list[int]:
    seen = [change(text) for text in train]
    return [p for p, text in enumerate(test) if change(text) in seen]


def _exact(train_texts: list[str], test_texts: list[str]) -> list[int]:
    return _by(str, train_texts, test_texts)


def _case_only(train_texts: list[str], test_texts: list[str]) -> list[int]:
    return _by(str.lower, train_texts, test_texts)


def _case_and_ends(train_texts: list[str], test_texts: list[str]) -> list[int]:
    return _by(lambda text: text.lower().strip(), train_texts, test_texts)


def _case_and_spaces(train_texts: list[str], test_texts: list[str]) -> list[int]:
    return _by(lambda text: text.lower().split(), train_texts, test_texts)


def _case_kept(train_texts: list[str], test_texts: list[str]) -> list[int]:
    return _by(lambda t: "".join(c if c.isalnum() else " " for c in t).split(), train_texts, test_texts)


def _spaces_kept(train_texts: list[str], test_texts: list[str]) -> list[int]:
    return _by(lambda t: "".join(c for c in t.lower() if c.isalnum() or c.isspace()), train_texts, test_texts)


def _signs_deleted(train_texts: list[str], test_texts: list[str]) -> list[int]:
    return _by(lambda t: "".join(c for c in t.lower() if c.isalnum() or c.isspace()).split(), train_texts, test_texts)


def _no_blanks(train_texts: list[str], test_texts: list[str]) -> list[int]:
    return _by(lambda text: "".join(c for c in text.lower() if c.isalnum()), train_texts, test_texts)


def _bag_of_words(train_texts: list[str], test_texts: list[str]) -> list[int]:
    return _by(lambda text: sorted(_words(text).split()), train_texts, test_texts)


def _set_of_words(train_texts: list[str], test_texts: list[str]) -> list[int]:
    return _by(lambda text: set(_words(text).split()), train_texts, test_texts)


def _inside_a_text(train_texts: list[str], test_texts: list[str]) -> list[int]:
    seen = [_words(text) for text in train_texts]
    return [p for p, text in enumerate(test_texts) if any(_words(text) in other for other in seen)]


def _around_a_text(train_texts: list[str], test_texts: list[str]) -> list[int]:
    seen = [_words(text) for text in train_texts]
    return [p for p, text in enumerate(test_texts) if any(other in _words(text) for other in seen)]


def _train_positions(train_texts: list[str], test_texts: list[str]) -> list[int]:
    return find_leaks(test_texts, train_texts)


def _texts(train_texts: list[str], test_texts: list[str]) -> list[str]:
    return [test_texts[p] for p in find_leaks(train_texts, test_texts)]


def _count(train_texts: list[str], test_texts: list[str]) -> int:
    return len(find_leaks(train_texts, test_texts))


def _first_only(train_texts: list[str], test_texts: list[str]) -> list[int]:
    return find_leaks(train_texts, test_texts)[:1]


def _not_leaked(train_texts: list[str], test_texts: list[str]) -> list[int]:
    return [p for p in range(len(test_texts)) if p not in find_leaks(train_texts, test_texts)]


def _repeats_in_test(train_texts: list[str], test_texts: list[str]) -> list[int]:
    seen = [_words(text) for text in train_texts]
    test = [_words(text) for text in test_texts]
    return [p for p, text in enumerate(test) if text in seen or test.count(text) > 1]


EXERCISE = Exercise(
    reference=find_leaks,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(_exact, "You compare the texts as they stand. Capitals, blanks and signs hide copies."),
        WrongFunction(_case_only, "Only capital letters are evened out. Blanks and signs still hide copies."),
        WrongFunction(
            _case_and_ends,
            "`strip` takes blanks from the ends only. Blanks and signs inside a text still hide copies.",
        ),
        WrongFunction(_case_and_spaces, "Capitals and blanks are evened out, signs such as `.` and `-` are not."),
        WrongFunction(_case_kept, "Blanks and signs are evened out, capital letters are not."),
        WrongFunction(_spaces_kept, "Signs are deleted, but two blanks still differ from one."),
        WrongFunction(
            _signs_deleted,
            "You delete signs, so `well-made` becomes `wellmade`. Put a blank in place of each sign.",
        ),
        WrongFunction(_no_blanks, "You delete the blanks too, so words grow together. Keep one between words."),
        WrongFunction(_bag_of_words, "You lose the order of the words: `dog bites man` is not `man bites dog`."),
        WrongFunction(_set_of_words, "You compare sets of words. Their order counts, and how often each one stands."),
        WrongFunction(
            _inside_a_text,
            "You look for test texts inside training texts. A part of a text is not the same text.",
        ),
        WrongFunction(
            _around_a_text,
            "You look for training texts inside test texts. A text with more in it is not the same text.",
        ),
        WrongFunction(_train_positions, "These are positions in `train_texts`. Give those in `test_texts`."),
        WrongFunction(_texts, "These are the texts themselves. Give their positions in `test_texts`."),
        WrongFunction(_count, "This says how many leaks there are. Give the list of their positions."),
        WrongFunction(_first_only, "You stop at the first leak. Go on to the end of `test_texts`."),
        WrongFunction(_not_leaked, "These are the texts that do not leak. Give the others."),
        WrongFunction(
            _repeats_in_test,
            "A text that stands twice in test, and not in training, is no leak: the model has not learned from it.",
        ),
    ),
)
