"""Recommendation: MovieLens 100K, the last film of each person held out, and models that rank all 1,682 films.

A recommender is a function: histories in, one score for each person and film out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from course_lib import assets
from course_lib.cases.item_sequences import Films, Scores, train_item_sequences
from course_lib.corpora import read_table_file
from course_lib.errors import BadInput, CourseError
from course_lib.evaluation.ranking import TargetRanks, target_ranks
from course_lib.experiments import Run, experiment

Recommender = Callable[[Sequence[Films]], Scores]


# ---- data ----------------------------------------------------------------------------------------------------------


def load_films() -> pd.DataFrame:
    """The 1,682 films, row number = film number: title, year (words: two are no years), genres (a list of words)."""
    names = {"item_id:token": "id", "movie_title:token_seq": "title", "release_year:token": "year"}
    frame = read_table_file(_file("item"), [*names, "class:token_seq"], separator="\t").rename(columns=names)
    frame["genres"] = frame.pop("class:token_seq").str.split()
    return frame.sort_values("id", ignore_index=True).drop(columns="id")


def load_ratings() -> pd.DataFrame:
    """100,000 ratings: person and film (numbers from 0), rating (1 to 5), timestamp (s); by person, then time.

    Ratings of one second stay in the order of the file, which is random.
    """
    names = {"user_id:token": "person", "item_id:token": "film", "rating:float": "rating", "timestamp:float": "time"}
    frame = read_table_file(_file("inter"), list(names), separator="\t").rename(columns=names).astype(int)
    frame[["person", "film"]] -= 1
    return frame.sort_values(["person", "time"], kind="stable", ignore_index=True)


def _file(kind: str) -> Path:
    return assets.path("movielens") / f"ml-100k.{kind}"


@dataclass(frozen=True)
class LeaveLastOut:
    """What is known of each person, and the film that they rated next.

    Attributes:
        histories: one array of films for each person, oldest first.
        targets: (people,) the next film.
        earlier: (people,) how many films of the history were rated before the second of the target.
    """

    histories: list[Films]
    targets: Films
    earlier: Films

    def other_seconds(self) -> list[Films]:
        """The histories without the films that were rated in the same second as the target."""
        return [films[:count] for films, count in zip(self.histories, self.earlier, strict=True)]


def leave_last_out(ratings: pd.DataFrame, back: int = 1) -> LeaveLastOut:
    """Holds out the last film of each person (`back=1`, the test), or the one before it (`back=2`, for validation).

    The ratings are as from `load_ratings`, in its order. Films after the target are dropped.

    Raises:
        BadInput: a person with too few films.
    """
    rows = [group[["film", "time"]].to_numpy() for _, group in ratings.groupby("person", sort=True)]
    if back < 1 or min(map(len, rows)) <= back:
        raise BadInput(f"a person has {min(map(len, rows))} films, back is {back}", "each needs a film before it")
    earlier = [int((one[:-back, 1] < one[-back, 1]).sum()) for one in rows]
    targets = [one[-back, 0] for one in rows]
    return LeaveLastOut([one[:-back, 0] for one in rows], np.array(targets), np.array(earlier))


def shuffled(histories: Sequence[Films], seed: int) -> list[Films]:
    """The same films of each person in random order."""
    random = np.random.default_rng(seed)
    return [random.permutation(one) for one in histories]


def seen_matrix(histories: Sequence[Films], n_films: int) -> Scores:
    """1 where a person has rated a film, else 0: (people, films).

    Raises:
        BadInput: no history, or a film that has no column.
    """
    if not histories:
        raise BadInput("there is no history", "give one array of film numbers for each person")
    matrix = np.zeros((len(histories), n_films))
    for person, (row, films) in enumerate(zip(matrix, histories, strict=True)):
        if len(films) and not 0 <= np.min(films) <= np.max(films) < n_films:
            what = f"the films of person {person} go from {np.min(films)} to {np.max(films)}"
            raise BadInput(what, f"use numbers from 0 to {n_films - 1}")
        row[films] = 1
    return matrix


# ---- recommenders --------------------------------------------------------------------------------------------------


def popularity(histories: Sequence[Films], n_films: int) -> Recommender:
    """The same scores for everybody: how many people rated the film."""
    counts = seen_matrix(histories, n_films).sum(axis=0)
    return lambda some: np.tile(counts, (len(some), 1))


def markov_chain(histories: Sequence[Films], n_films: int) -> Recommender:
    """How often a film came directly after a person's latest film; equal counts are ranked by popularity.

    Raises:
        BadInput: the recommender is given a history without a film.
    """
    counts = np.tile(seen_matrix(histories, n_films).mean(axis=0) / 2, (n_films, 1))
    for films in histories:
        np.add.at(counts, (films[:-1], films[1:]), 1)

    def recommend(some: Sequence[Films]) -> Scores:
        if not all(map(len, some)):
            raise BadInput("a history has no film", "a Markov chain needs the latest film of each person")
        return np.asarray(counts[[films[-1] for films in some]])

    return recommend


def ease(histories: Sequence[Films], n_films: int, l2: float = 100.0) -> Recommender:
    """EASE: each film's column of the 0/1 matrix from all other columns, by ridge regression.

    Steck (2019), Embarrassingly Shallow Autoencoders for Sparse Data (arXiv:1905.03375), equation 8.

    Raises:
        BadInput: `l2` is not above 0.
    """
    if not l2 > 0:
        raise BadInput(f"l2 is {l2}", "use a number above 0, such as 100")
    seen = seen_matrix(histories, n_films)
    inverse = np.linalg.inv(seen.T @ seen + l2 * np.eye(n_films))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return lambda some: seen_matrix(some, n_films) @ weights


def implicit_scores(kind: str, histories: Sequence[Films], n_films: int, seed: int = 0) -> Scores:
    """Scores of the package implicit: matrix factorization by `als` (Hu et al. 2008) or `bpr` (Rendle et al. 2009).

    Raises:
        CourseError: implicit is not installed.
    """
    try:
        from implicit.als import AlternatingLeastSquares
        from implicit.bpr import BayesianPersonalizedRanking
    except ImportError as error:
        raise CourseError("the peer implicit is not installed", "pip install implicit") from error
    shared = {"num_threads": 1, "random_state": seed}
    model = (
        AlternatingLeastSquares(factors=32, regularization=0.1, alpha=4.0, iterations=20, **shared)
        if kind == "als"
        else BayesianPersonalizedRanking(factors=64, iterations=200, **shared)
    )
    model.fit(csr_matrix(seen_matrix(histories, n_films).astype(np.float32)), show_progress=False)
    return np.asarray(model.user_factors @ model.item_factors.T, dtype=np.float64)


# ---- measures and experiments --------------------------------------------------------------------------------------


def ranks_of(scores: Scores, split: LeaveLastOut) -> TargetRanks:
    """Ranks of the targets among all films that are not in the person's history."""
    seen = seen_matrix(split.histories, scores.shape[1]) > 0
    return target_ranks(np.where(seen, -np.inf, scores), split.targets)


def sampled_ranks(scores: Scores, split: LeaveLastOut, seed: int = 0, negatives: int = 100) -> TargetRanks:
    """Ranks of the targets among so many films that the person has never rated, drawn at random.

    Raises:
        BadInput: somebody has fewer such films than `negatives`.
    """
    random = np.random.default_rng(seed)
    unseen = 1 - seen_matrix(split.histories, scores.shape[1])
    unseen[np.arange(len(unseen)), split.targets] = 0
    if (fewest := int(unseen.sum(axis=1).min())) < negatives:
        raise BadInput(f"somebody has {fewest} unrated films, and negatives is {negatives}", "draw fewer")
    drawn = [random.choice(np.flatnonzero(row), negatives, replace=False) for row in unseen]
    columns = np.column_stack([split.targets, drawn])
    return target_ranks(np.take_along_axis(scores, columns, axis=1), np.zeros(len(scores), dtype=int))


def fit(name: str, histories: Sequence[Films], n_films: int, seed: int) -> Recommender:
    """The recommender of that name (of `MODELS`), trained; the last film but one of each person chose the settings.

    Raises:
        CourseError: a peer is not installed.
    """
    if name in TRANSFORMERS:
        return train_item_sequences(histories, n_films, seed=seed, **TRANSFORMERS[name]).recommend
    if name in SIMPLE:
        return SIMPLE[name](histories, n_films)
    scores = implicit_scores(name[-3:].lower(), histories, n_films, seed)
    return lambda some: scores  # of the people of its training, whatever their histories


SIMPLE: dict[str, Callable[..., Recommender]] = {"popularity": popularity, "Markov chain": markov_chain, "EASE": ease}
TRANSFORMERS: dict[str, dict[str, Any]] = {
    "SASRec": {"causal": True, "epochs": 12, "batch_size": 16, "learning_rate": 2e-3},
    "BERT4Rec": {"causal": False, "epochs": 24, "batch_size": 64, "learning_rate": 3e-3},
}
MODELS = (*SIMPLE, "implicit ALS", "implicit BPR", *TRANSFORMERS)


def _rows(runs: Sequence[Run]) -> pd.DataFrame:
    """A row for each model: its name, the configuration, and the mean of each list of its result."""
    rows = [
        {"model": name, **run.config} | {what: float(np.mean(values)) for what, values in measured.items()}
        for run in runs
        for name, measured in run.result.items()
    ]
    return pd.DataFrame(rows).drop(columns="models", errors="ignore")


@experiment(
    "recommender_study",
    cost=lambda config: sum(30.0 if name in TRANSFORMERS else 1.0 for name in config["models"]),
    table=_rows,
    tolerance={name: 0.03 for name in ("HR@10", "NDCG@10", "sampled", "shuffled", "other seconds")},
    data=("movielens",),
)
def recommender_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Trains and tests recommenders on one split.

    Args:
        config: `models` (of `MODELS`), `seed`, `training` (`ordered`, or `shuffled`: each history in random order).
        folder: not used.

    Returns:
        model -> lists with a number for each person: `HR@10` and `NDCG@10` among all films, `sampled` (HR@10 among 100
        others), and HR@10 from other histories: `shuffled`, or of `other seconds` than the target's.

    Raises:
        BadInput: an unknown model or training.
    """
    if unknown := [name for name in config["models"] if name not in MODELS]:
        raise BadInput(f"there is no recommender {unknown[0]!r}", f"use one of {', '.join(MODELS)}")
    if config["training"] not in ("ordered", "shuffled"):
        raise BadInput(f"training is {config['training']!r}", "use 'ordered' or 'shuffled'")
    split, n_films = leave_last_out(load_ratings()), len(load_films())
    mixed = shuffled(split.histories, seed=config["seed"] + 1000)
    known = split.histories if config["training"] == "ordered" else shuffled(split.histories, seed=config["seed"])
    results: dict[str, Any] = {}
    for name in config["models"]:
        recommend = fit(name, known, n_films, config["seed"])
        scores = recommend(split.histories)
        ranks = ranks_of(scores, split)
        measured = {
            "HR@10": ranks.hits(10),
            "NDCG@10": ranks.gains(10),
            "sampled": sampled_ranks(scores, split).hits(10),
            "shuffled": ranks_of(recommend(mixed), split).hits(10),
            "other seconds": ranks_of(recommend(split.other_seconds()), split).hits(10),
        }
        results[name] = {what: values.round(4).tolist() for what, values in measured.items()}
    return results


RUNS: list[dict[str, Any]] = [
    {"models": [name for name in MODELS if name != "SASRec"], "training": "ordered", "seed": 0},
    {"models": ["SASRec"], "training": "ordered", "seed": 0},
    {"models": ["SASRec"], "training": "shuffled", "seed": 0},
    {"models": ["SASRec"], "training": "ordered", "seed": 1},
]
