"""The `lime` and `shap` packages' own explainers, asking through our batches: the reference for ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from course_lib.errors import BadInput
from course_lib.explain.attribution import Attribution, Floats, relative_gap
from course_lib.explain.game import MOST_SEED, Game, check_seed
from course_lib.explain.shapley import of_one_word
from course_lib.explain.words import WORD, Coalitions, Players

SHAP_ALGORITHMS = ("partition", "permutation")


def lime_package(game: Game, *, samples: int = 1000, seed: int = 0) -> list[Attribution]:
    """`lime.lime_text.LimeTextExplainer` on every text, with all words as features; its error is 1 - R2.

    Its words are ours (emoji included), its numbers its own. The package holds all perturbed texts at once, so its
    memory grows with samples.

    Args:
        game: classifier and texts; `together` becomes the package's `bow`, and decides what a removed word leaves.
        samples: perturbations of a text.
        seed: the package's `random_state`.

    Raises:
        BadInput: fewer than 2 samples, a seed of 2^32 or more; words that are removed together and masked, which the
            package cannot do.
    """
    from lime.lime_text import LimeTextExplainer

    if samples < 2:
        raise BadInput(f"samples is {samples}", "use 2 or more; 1000 is usual")
    check_seed(seed, MOST_SEED)
    found = []
    for text, players in enumerate(game.players):
        if not len(players):
            found.append(game.nothing_to_say(text, "lime-package", "1 - R2"))
            continue
        bow = len(players) < len(players.pieces)
        if bow and players.replacement:
            raise BadInput("the lime package masks no words together", "use removal='delete', or together=False")
        explainer = LimeTextExplainer(
            bow=bow, mask_string=players.replacement, split_expression=WORD.findall, random_state=seed
        )
        said = explainer.explain_instance(
            game.texts[text], _two_columns(game, text), labels=(1,), num_features=len(players), num_samples=samples
        )
        scores = np.zeros(len(players))
        for word, score in said.local_exp[1]:
            scores[word] = score
        base, error = float(said.intercept[1]), 1 - float(said.score)
        found.append(game.attribution(text, scores, base, "lime-package", error, "1 - R2"))
    return found


def _two_columns(game: Game, text: int) -> Callable[[list[str]], Floats]:
    """What the package asks: (m, 2), the output stands in column 1."""

    def ask(texts: list[str]) -> Floats:
        values = game.values(text, texts)
        return np.column_stack([1 - values, values])

    return ask


class WordMasker:
    """A text's words for the `shap` package: what is masked, how large it is, and which words belong together.

    Args:
        players: of the text that is explained.
        tree: words share credit with their neighbours. The package's Permutation explainer, too, heeds a tree where
            there is one, and then gives no Shapley values.
    """

    immutable_outputs = True

    def __init__(self, players: Players, tree: bool) -> None:
        self.players = players
        self.clustering = self.word_tree if tree else None

    def __call__(self, mask: Coalitions, _: str) -> tuple[Any]:
        """The text with the words of a mask (n,)."""
        return (np.array(self.players.render(np.asarray(mask, bool)[None]), dtype=object),)

    def shape(self, _: str) -> tuple[int, int]:
        """One masked text a mask, n words."""
        return 1, len(self.players)

    def mask_shapes(self, _: str) -> list[tuple[int]]:
        """(n,)."""
        return [(len(self.players),)]

    def feature_names(self, _: str) -> list[list[str]]:
        """The words."""
        return [[word.text for word in self.players.words]]

    def word_tree(self, _: str) -> Floats:
        """(n - 1, 4), the package's own tree of neighbouring words, as its masker of texts makes it."""
        from shap.maskers._text import partition_tree

        tree: Floats = partition_tree([word.text for word in self.players.words], [])
        tree[:, 2] = tree[:, 3] / tree[:, 3].max()
        return tree


def shap_package(
    game: Game, *, samples: int | None = None, seed: int = 0, algorithm: str = "partition"
) -> list[Attribution]:
    """The `shap` package's explainers on every text. The error is the efficiency gap, which both keep near 0.

    Args:
        game: classifier and texts.
        samples: coalitions asked of a text (`max_evals`); when left out, n^2 but at most 500 for `partition`, as in the
            package, and ten orders there and back for `permutation`.
        seed: of the package's random numbers; the caller's own stay as they are.
        algorithm: `partition` gives Owen values: words share credit with their neighbours in a tree of the text.
            `permutation` estimates Shapley values.

    Raises:
        BadInput: an unknown algorithm, a seed of 2^32 or more, or too few samples for one order there and back:
            2 n + 1.
    """
    import shap

    if algorithm not in SHAP_ALGORITHMS:
        raise BadInput(f"algorithm is {algorithm!r}", f"use one of {', '.join(SHAP_ALGORITHMS)}")
    check_seed(seed, MOST_SEED)
    make = shap.explainers.Partition if algorithm == "partition" else shap.explainers.Permutation
    name, empty, found = f"shap-package {algorithm}", game.empty, []
    state = np.random.get_state()
    try:
        for text, players in enumerate(game.players):
            if len(players) < 2:
                found.append(of_one_word(game, text, name))
                continue
            np.random.seed(seed)
            asked = _evaluations(algorithm, len(players), samples)
            explainer = make(
                _asked(game, text), WordMasker(players, algorithm == "partition"), **_seeded(algorithm, seed)
            )
            said = explainer([game.texts[text]], max_evals=asked, batch_size=max(asked, 2), silent=True)
            scores = np.asarray(said.values[0], np.float64)
            change = float(game.full[text] - empty[text])
            error = relative_gap(change - float(scores.sum()), change)
            found.append(game.attribution(text, scores, empty[text], name, error, "efficiency gap"))
    finally:
        np.random.set_state(state)
    return found


def _asked(game: Game, text: int) -> Callable[[Any], Floats]:
    return lambda texts: game.values(text, [str(one) for one in texts])


def _seeded(algorithm: str, seed: int) -> dict[str, int]:
    return {"seed": seed} if algorithm == "permutation" else {}


def _evaluations(algorithm: str, words: int, samples: int | None) -> int:
    if algorithm == "permutation" and samples is not None and samples < 2 * words + 1:
        raise BadInput(f"samples is {samples} for a text of {words} words", f"use {2 * words + 1} or more, or None")
    if samples is not None:
        return samples
    return min(500, words**2) if algorithm == "partition" else 10 * (2 * words + 1)
