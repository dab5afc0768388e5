"""Exercise: WordPiece, the way in which BERT cuts a word into pieces that it knows.

Greedy longest match first, as in BERT (Devlin et al. 2019, arXiv:1810.04805) with the vocabulary idea of
Wu et al. 2016 (arXiv:1609.08144, section 4.1).
"""

from __future__ import annotations

from typing import Any

from course_lib.exercises.exercise import Answer, Case, Exercise, WrongFunction
from course_lib.exercises.values import kind, plain


def word_pieces(word: str, vocabulary: set[str]) -> list[str]:
    """Cut a word into pieces of the vocabulary, longest first; ["[UNK]"] where that cannot be done."""
    pieces: list[str] = []
    start = 0
    while start < len(word):
        mark = "##" if start > 0 else ""  # a piece that goes on a word is written with ## before it
        ends = [e for e in range(start + 1, len(word) + 1) if mark + word[start:e] in vocabulary]
        if not ends:
            return ["[UNK]"]
        pieces.append(mark + word[start : max(ends)])
        start = max(ends)
    return pieces


def _cases() -> list[Case]:
    bakery = {"bake", "baker", "##s", "##rs", "##r", "##ry", "##y", "b"}
    return [
        {"word": "bakers", "vocabulary": bakery},
        {"word": "bake", "vocabulary": bakery},
        {"word": "unreal", "vocabulary": {"un", "real", "##re", "##al", "##r"}},
        {"word": "outdoor", "vocabulary": {"out", "door"}},  # no piece that goes on a word
        {"word": "bakerq", "vocabulary": bakery},
        {"word": "qbake", "vocabulary": {*bakery, "##bake"}},
        {"word": "abc", "vocabulary": {"ab", "a", "##bc", "##b"}},  # a way exists, but not longest first
        {"word": "papapa", "vocabulary": {"pa", "##pa", "##p", "##a"}},
        {"word": "aaaaa", "vocabulary": {"a", "aa", "##a", "##aa"}},
        {"word": "cabin", "vocabulary": {"c", "##a", "##b", "##in", "##abi", "##n", "ca", "##bin", "##cabin"}},
        {"word": "ionization", "vocabulary": {"i", "##onization", "onization"}},  # one letter, then the rest
        {"word": "x", "vocabulary": {"##x", "y"}},
        {"word": "forever", "vocabulary": {"fo", "for", "##e", "##ever", "##eve", "##r", "##rever"}},
    ]


def _piece_problem(pieces: list[str], word: str, vocabulary: set[str]) -> str:
    """What is wrong with a cut that is not the expected one."""
    for piece in pieces:
        if piece not in vocabulary and piece != "[UNK]":
            return f"The piece {piece!r} is not in the vocabulary."
    joined = "".join(piece.removeprefix("##") for piece in pieces)
    if joined != word and "[UNK]" not in pieces:
        return f"Your pieces put together give {joined!r}, not {word!r}."
    return "The word is cut in another way than longest piece first."


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    pieces = plain(got)
    if not isinstance(pieces, list):
        return f"The result should be a list of pieces, but it is {kind(got)}."
    if not all(isinstance(piece, str) for piece in pieces):
        return "The result should hold strings only."
    if pieces == expected:
        return None
    if expected == ["[UNK]"]:
        return 'This word cannot be cut, longest piece first, so the whole of it is ["[UNK]"].'
    return _piece_problem(pieces, case["word"], case["vocabulary"])


def _cut(word: str, vocabulary: set[str], choose: Answer = max, *, mark: str = "##", first: str = "") -> list[str]:
    """The algorithm with one screw loose: another choice, or another mark."""
    pieces: list[str] = []
    start = 0
    while start < len(word):
        sign = mark if start > 0 else first
        ends = [e for e in range(start + 1, len(word) + 1) if sign + word[start:e] in vocabulary]
        if not ends:
            return ["[UNK]"]
        end = choose(ends)
        pieces.append(sign + word[start:end])
        start = end
    return pieces


def _shortest(word: str, vocabulary: set[str]) -> list[str]:
    return _cut(word, vocabulary, min)


def _no_mark(word: str, vocabulary: set[str]) -> list[str]:
    return _cut(word, vocabulary, mark="")


def _always_mark(word: str, vocabulary: set[str]) -> list[str]:
    return _cut(word, vocabulary, first="##")


def _mark_afterwards(word: str, vocabulary: set[str]) -> list[str]:
    pieces = _cut(word, vocabulary, mark="")
    return pieces[:1] + ["##" + piece for piece in pieces[1:]]


def _mark_forgotten_in_result(word: str, vocabulary: set[str]) -> list[str]:
    return [piece.removeprefix("##") for piece in word_pieces(word, vocabulary)]


def _whole_words_only(word: str, vocabulary: set[str]) -> list[str]:
    return [word] if word in vocabulary else ["[UNK]"]


def _keeps_pieces(word: str, vocabulary: set[str]) -> list[str]:
    for end in range(len(word), 0, -1):
        pieces = word_pieces(word[:end], vocabulary)
        if pieces != ["[UNK]"]:
            return pieces if end == len(word) else [*pieces, "[UNK]"]
    return ["[UNK]"]


def _gives_up_silently(word: str, vocabulary: set[str]) -> list[str]:
    return [piece for piece in _keeps_pieces(word, vocabulary) if piece != "[UNK]"]


def _goes_back(word: str, vocabulary: set[str]) -> list[str]:
    def ways(start: int) -> list[str] | None:
        mark = "##" if start > 0 else ""
        for end in range(len(word), start, -1):
            rest = ways(end) if mark + word[start:end] in vocabulary else None
            if rest is not None:
                return [mark + word[start:end], *rest]
        return [] if start == len(word) else None

    return ways(0) or ["[UNK]"]


def _from_the_end(word: str, vocabulary: set[str]) -> list[str]:
    pieces: list[str] = []
    end = len(word)
    while end > 0:
        starts = [s for s in range(end) if ("##" if s else "") + word[s:end] in vocabulary]
        if not starts:
            return ["[UNK]"]
        pieces.insert(0, ("##" if min(starts) else "") + word[min(starts) : end])
        end = min(starts)
    return pieces


def _text_for_unknown(word: str, vocabulary: set[str]) -> list[str] | str:
    pieces = word_pieces(word, vocabulary)
    return "[UNK]" if pieces == ["[UNK]"] else pieces


EXERCISE = Exercise(
    reference=word_pieces,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(_shortest, "You take the shortest piece that fits. Take the longest."),
        WrongFunction(
            _no_mark, 'Pieces inside a word have no "##". Look them up, and give them, with "##" before them.'
        ),
        WrongFunction(_always_mark, 'The first piece of a word has no "##". Only those after it do.'),
        WrongFunction(
            _mark_afterwards,
            'The "##" is put on after the look-up. A piece inside a word must be in the vocabulary with its "##".',
        ),
        WrongFunction(
            _mark_forgotten_in_result,
            'The cut is right, but the "##" is lost in your list. Give each piece as the vocabulary has it.',
        ),
        WrongFunction(
            _whole_words_only, "You look up whole words only. A word that is not there can have pieces that are."
        ),
        WrongFunction(
            _keeps_pieces,
            'You keep the pieces before the place where nothing fits. The whole word is then ["[UNK]"].',
        ),
        WrongFunction(
            _gives_up_silently,
            'Where nothing fits, the rest of the word is dropped without a word. Give ["[UNK]"].',
        ),
        WrongFunction(
            _goes_back,
            "You go back and try a shorter piece when the rest does not fit. WordPiece never goes back.",
        ),
        WrongFunction(_from_the_end, "You cut from the end of the word. Start at its beginning."),
        WrongFunction(_text_for_unknown, 'An unknown word gives a list with one piece, ["[UNK]"], not a bare string.'),
    ),
)
