"""Recommendation: counts of the card, models against references, and the surprise on seeds of its own."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import Ridge
from sklearn.metrics import ndcg_score

from course_lib import assets
from course_lib.cases import recommendation as case
from course_lib.cases.item_sequences import (
    ItemSequenceModel,
    masked_item_loss,
    next_item_loss,
    train_item_sequences,
    windows,
)
from course_lib.errors import BadInput
from course_lib.evaluation.ranking import target_ranks
from course_lib.training import TensorBatch

HISTORIES = [np.array(films) for films in ([0, 1, 2], [1, 2], [3, 0, 2, 1], [4, 2, 1])]


@pytest.fixture(scope="module")
def ratings() -> pd.DataFrame:
    return case.load_ratings()


# ---------------------------------------------------------------- data


def test_the_card_counts_what_is_there(ratings: pd.DataFrame) -> None:
    text = (assets.data_folder() / "cards" / "movielens.md").read_text(encoding="utf-8")
    card = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", text, flags=re.MULTILINE))
    films, people = case.load_films(), ratings.groupby("person")
    again = (ratings["time"].diff() == 0) & (ratings["person"].diff() == 0)
    last = people["time"]
    sizes, minutes = people.size(), (people["time"].max() - people["time"].min()) / 60
    found = {
        "ratings": len(ratings),
        "people": len(sizes),
        "films": len(films),
        "ratings of a person: fewest, median, most": f"{sizes.min()}, {sizes.median():.0f}, {sizes.max()}",
        "films with a single rating": (ratings.groupby("film").size() == 1).sum(),
        "ratings in the same second as the person's rating before": again.sum(),
        "people whose last two ratings have the same second": (last.nth(-1).values == last.nth(-2).values).sum(),
        "minutes from first to last rating, median person": round(minutes.median()),
        "films whose title and year occur twice": films.duplicated(["title", "year"]).sum(),
        'films of genre "unknown"': (films["genres"].str[0] == "unknown").sum(),
    }  # fmt: skip
    assert {name: value if isinstance(value, str) else f"{value:,}" for name, value in found.items()} == card
    numbers = films.index[pd.to_numeric(films["year"], errors="coerce").isna()] + 1
    assert numbers.tolist() == [267, 1412] and not ratings.duplicated(["person", "film"]).any()


def test_the_split_has_nothing_of_the_future(ratings: pd.DataFrame) -> None:
    split = case.leave_last_out(ratings)
    for person, (history, target) in enumerate(zip(split.histories, split.targets, strict=True)):
        rows = ratings[ratings["person"] == person].set_index("film")["time"]
        assert rows[history].max() <= rows[target] and len(rows) == len(history) + 1
        assert (rows[history].to_numpy() < rows[target]).sum() == split.earlier[person]
    before = case.leave_last_out(ratings, back=2)
    assert all(one[-1] == two for one, two in zip(split.histories, before.targets, strict=True))
    assert [len(one) for one in split.other_seconds()] == split.earlier.tolist()


def test_a_tie_is_decided_by_the_order_of_the_file() -> None:
    table = pd.DataFrame({"person": [0] * 4, "film": [9, 3, 7, 1], "time": [1, 2, 2, 2]})
    split = case.leave_last_out(table)
    assert (split.targets.tolist(), split.histories[0].tolist(), split.earlier.tolist()) == ([1], [9, 3, 7], [1])
    with pytest.raises(BadInput, match="a person has 4 films, back is 4"):
        case.leave_last_out(table, back=4)


# ---------------------------------------------------------------- ranking


def test_ranks_against_sorting_and_scikit_learn() -> None:
    random = np.random.default_rng(0)
    scores, targets = random.normal(size=(30, 12)), random.integers(0, 12, 30)
    ranks = target_ranks(scores, targets)
    order = np.argsort(-scores, axis=1)
    np.testing.assert_array_equal(ranks.hits(4), (order[:, :4] == targets[:, None]).any(axis=1))
    assert ranks.gains(5).mean() == pytest.approx(ndcg_score(np.eye(12)[targets], scores, k=5))


def test_ties_are_counted_fairly() -> None:
    ranks = target_ranks([[1.0, 1.0, 1.0, 0.0], [2.0, 1.0, 1.0, -np.inf]], [0, 2])
    np.testing.assert_allclose(ranks.hits(1), [1 / 3, 0])
    np.testing.assert_allclose(ranks.hits(2), [2 / 3, 1 / 2])
    np.testing.assert_allclose(ranks.gains(2), [(1 + 1 / np.log2(3)) / 3, 1 / np.log2(3) / 2])
    for scores, targets, words in (
        ([[1.0, np.nan]], [0], "nan"),
        ([[1.0, 2.0]], [2], "targets go from 2 to 2"),
        ([[1.0, -np.inf]], [1], "row 0 has the score -inf"),
    ):
        with pytest.raises(BadInput, match=words):
            target_ranks(scores, targets)


# ---------------------------------------------------------------- models


def test_simple_recommenders_by_hand() -> None:
    assert case.popularity(HISTORIES, 5)(HISTORIES)[0].tolist() == [2, 4, 4, 1, 1]
    chain = case.markov_chain(HISTORIES, 5)([np.array([4, 0]), np.array([2])])
    assert chain.astype(int).tolist() == [[0, 1, 1, 0, 0], [0, 2, 0, 0, 0]]
    assert (chain % 1).max() < 0.6, "popularity only decides between equal counts"


def test_bad_input_has_a_clear_error() -> None:
    chain = case.markov_chain(HISTORIES, 5)
    study = {"models": ["popularity"], "training": "ordered", "seed": 0}
    split = case.LeaveLastOut(HISTORIES, np.array([3, 0, 4, 0]), np.zeros(4, dtype=int))
    for words, wrong in (
        ("person 2 go from 0 to 3", lambda: case.ease(HISTORIES, 3)),
        ("person 0 go from -1 to -1", lambda: case.popularity([np.array([-1])], 5)),
        ("no history", lambda: case.popularity([], 5)),
        ("no film", lambda: chain([np.array([], dtype=int)])),
        ("l2 is 0", lambda: case.ease(HISTORIES, 5, l2=0)),
        ("0 unrated films", lambda: case.sampled_ranks(np.zeros((4, 5)), split, negatives=2)),
        ("no recommender 'KNN'", lambda: case.recommender_study(study | {"models": ["KNN"]}, Path())),
        ("training is 'random'", lambda: case.recommender_study(study | {"training": "random"}, Path())),
    ):
        with pytest.raises(BadInput, match=words):
            wrong()


def test_ease_is_ridge_regression_of_each_film_on_the_others() -> None:
    seen = case.seen_matrix(HISTORIES, 5)
    scores = case.ease(HISTORIES, 5, l2=3.0)(HISTORIES)
    for film in range(5):
        others = np.delete(seen, film, axis=1)
        expected = Ridge(alpha=3.0, fit_intercept=False).fit(others, seen[:, film]).predict(others)
        np.testing.assert_allclose(scores[:, film], expected)


def test_windows_lose_no_step_and_losses_ignore_padding() -> None:
    films = np.arange(10)
    rows = windows([films, films[:2], films[:1]], 4)
    steps = [(int(a), int(b)) for row in rows for a, b in pairwise(row) if b]
    assert sorted(steps) == sorted([(film + 1, film + 2) for film in range(9)] + [(1, 2)])
    torch.manual_seed(0)
    model = ItemSequenceModel(10, causal=True, length=6, width=8).eval()
    short, long = torch.tensor([[3, 5, 2]]), torch.tensor([[3, 5, 2, 0, 0, 0]])
    losses = [next_item_loss(model, TensorBatch(torch.tensor([0]), (ids,))) for ids in (short, long)]
    by_hand = F.cross_entropy(model.logits(model(short[:, :2]))[0], torch.tensor([4, 1]))
    torch.testing.assert_close(losses[0], by_hand)
    torch.testing.assert_close(losses[0], losses[1])


def test_masked_films_are_not_seen() -> None:
    model = ItemSequenceModel(10, causal=False, length=6, width=8).eval()
    seen = []
    model.encoder.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    ids = torch.tensor([[3, 5, 2, 7, 0, 0]] * 50)
    assert masked_item_loss(model, TensorBatch(torch.arange(50), (ids,))) > 0
    assert ((seen[0] == ids) | (seen[0] == model.mask_id)).all() and not (seen[0][:, 4:] != 0).any()
    assert 0.2 < (seen[0][:, :3] == model.mask_id).float().mean() < 0.4
    scores = model.recommend([np.array([1, 4]), np.arange(10)])
    assert seen[1][0].tolist() == [2, 5, 11, 0, 0, 0] and seen[1][1].tolist() == [6, 7, 8, 9, 10, 11]
    assert scores.shape == (2, 10)
    with pytest.raises(BadInput, match="no item"):
        model.recommend([np.array([1]), np.array([], dtype=int)])


def test_a_batch_without_a_mask_has_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "rand", lambda *shape, device: torch.ones(shape[0]))
    model = ItemSequenceModel(10, causal=False, length=6, width=8)
    assert masked_item_loss(model, TensorBatch(torch.arange(1), (torch.tensor([[3, 5, 0]]),))) == 0


@pytest.mark.parametrize("causal", [True, False])
def test_training_follows_from_the_seed_alone(causal: bool) -> None:
    scores = []
    for before in (1, 2):
        torch.manual_seed(before)
        state = torch.get_rng_state()
        settings = {"epochs": 2, "batch_size": 2, "learning_rate": 1e-3, "length": 4, "width": 8}
        model = train_item_sequences(HISTORIES, 5, causal=causal, seed=3, **settings)
        assert torch.equal(torch.get_rng_state(), state), "the caller's random numbers are left alone"
        scores.append(model.recommend(HISTORIES))
    np.testing.assert_array_equal(*scores)


def test_a_causal_model_learns_an_order_that_ease_cannot() -> None:
    """Each film is followed by the next one of a circle: only the order tells which is next."""
    random = np.random.default_rng(5)
    histories = [(start + np.arange(6)) % 12 for start in random.integers(0, 12, 150)]
    known, targets = [films[:-1] for films in histories], np.array([films[-1] for films in histories])
    model = train_item_sequences(
        known, 12, causal=True, epochs=60, batch_size=64, learning_rate=3e-3, seed=5, length=5, width=16, dropout=0.0
    )
    ordered = target_ranks(model.recommend(known), targets).hits(1).mean()
    mixed = target_ranks(model.recommend(case.shuffled(known, seed=1)), targets).hits(1).mean()
    assert ordered > 0.95 and mixed < 0.7


# ---------------------------------------------------------------- the surprise, on other seeds and one model of counts


def test_the_order_of_a_page_is_what_the_last_film_tells(ratings: pd.DataFrame) -> None:
    """Half of the hits of the chain are gone in shuffled histories; EASE has no order to lose."""
    split, n_films = case.leave_last_out(ratings, back=2), 1682
    chain, ease = (fit(split.histories, n_films) for fit in (case.markov_chain, case.ease))
    hits = {seed: case.ranks_of(chain(case.shuffled(split.histories, seed)), split).hits(10).mean() for seed in (7, 8)}
    ordered = case.ranks_of(chain(split.histories), split).hits(10).mean()
    assert all(mixed < 0.75 * ordered for mixed in hits.values()), (ordered, hits)
    mixed = ease(case.shuffled(split.histories, 7))
    np.testing.assert_allclose(mixed, ease(split.histories))


def test_experiments_give_a_number_for_each_person() -> None:
    config = {"models": ["popularity", "Markov chain"], "training": "ordered", "seed": 0}
    result = case.recommender_study(config, Path())
    assert {len(values) for measured in result.values() for values in measured.values()} == {943}
    assert result["popularity"]["shuffled"] == result["popularity"]["HR@10"]
