"""Credit risk: tables as in their cards, models that agree with references, the surprises on fresh seeds."""

from __future__ import annotations

import json
import re
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import make_classification
from sklearn.metrics import roc_auc_score

from course_lib import assets, evaluation
from course_lib.cases import credit
from course_lib.classifier.tabular import FTTransformerClassifier
from course_lib.encoder import FeatureTokenizer, FTTransformer
from course_lib.errors import BadInput, CourseError
from course_lib.evaluation import auc, correct_prior, event_calibration, paired_auc
from course_lib.explain.tabular import tree_log_odds


def card(name: str) -> str:
    return (assets.data_folder() / "cards" / f"{name}.md").read_text(encoding="utf-8").replace(",", "")


@pytest.fixture(scope="module")
def clients() -> pd.DataFrame:
    return credit.taiwan_clients()


# ---------------------------------------------------------------- data


def test_the_clients_are_those_of_the_card(clients: pd.DataFrame) -> None:
    parts = credit.split_clients(clients)
    groups = [clients, clients[clients["SEX"] == 1], clients[clients["SEX"] == 0], *parts.values()]
    for rows in groups:
        line = f"| {len(rows)} | {rows[credit.TARGET].sum()} | {100 * rows[credit.TARGET].mean():.1f} % |"
        assert line in card("taiwan_credit")
    duplicated = clients.duplicated(keep=False)
    bills = clients.loc[duplicated, [f"BILL_AMT{month}" for month in range(1, 7)]]
    counts = [
        clients.duplicated().sum(),
        (bills == 0).all(axis=1).sum(),
        duplicated.sum(),
        (clients["PAY_2"] == 1).sum(),
    ]
    counts += [clients["EDUCATION"].isin([0, 5, 6]).sum(), (clients["MARRIAGE"] == 0).sum()]
    counts += [clients["PAY_0"].isin([-2, 0]).sum(), (clients["BILL_AMT1"] < 0).sum()]
    assert counts == [35, 60, 70, 28, 345, 54, 17496, 590]
    assert {*map(str, counts)} <= {*re.findall(r"\d+", card("taiwan_credit"))}


def test_the_parts_share_no_client_and_do_not_change(clients: pd.DataFrame) -> None:
    parts = credit.split_clients(clients)
    assert sorted(np.concatenate([part.index for part in parts.values()])) == list(range(30_000))
    assert parts["test"].index[:3].tolist() == credit.split_clients(clients)["test"].index[:3].tolist()


def test_the_other_tables_are_those_of_their_cards() -> None:
    loans, sites = credit.mortgages(), credit.phishing_sites()
    for rows in (loans, loans[loans["afam"] == 1], loans[loans["afam"] == 0]):
        assert f"| {len(rows)} | {rows['deny'].sum()} |" in card("mortgage_applications")
    assert (loans["insurance"].sum(), loans.loc[loans["insurance"] == 1, "deny"].sum()) == (48, 44)
    traits = [*sites.columns[:-1]]
    both = sites.groupby(traits)["is_phishing"].transform("nunique") == 2
    counts = len(sites), sites["is_phishing"].sum(), len(sites.drop_duplicates(traits)), both.sum()
    assert counts == (1250, 548, 625, 110) and all(f"| {count} |" in card("phishing") for count in counts)


# ---------------------------------------------------------------- models


def test_tokens_are_those_by_hand() -> None:
    torch.manual_seed(0)
    tokenizer = FeatureTokenizer(2, [3], hidden_size=4)
    tokens = tokenizer(torch.tensor([[0.5, -2.0]]), torch.tensor([[2]]))[0]
    by_hand = [tokenizer.cls[0], *(x * tokenizer.weight[j] + tokenizer.bias[j] for j, x in enumerate((0.5, -2.0)))]
    torch.testing.assert_close(tokens, torch.stack([*by_hand, tokenizer.tables[0].weight[2]]))


def test_a_row_is_read_by_itself_through_the_encoder() -> None:
    model = FTTransformer(3, [2], hidden_size=16, n_layers=1).eval()
    numbers, codes = torch.randn(4, 3), torch.tensor([[0], [1], [0], [1]])
    states = model.encoder(inputs_embeds=model.tokenizer(numbers, codes), by_hand=True)
    torch.testing.assert_close(model(numbers, codes), model.head(states[:, 0].relu())[:, 0])
    changed = numbers.clone()
    changed[0, 2] += 1
    difference = (model(numbers, codes) - model(changed, codes)).abs()
    assert difference[0] > 0 and difference[1:].max() < 1e-6, "a client's columns reach its own logit alone"


def test_the_transformer_learns_an_interaction_that_a_line_cannot() -> None:
    random = np.random.default_rng(0)
    rows = pd.DataFrame(
        {"a": random.normal(size=3000), "b": random.normal(size=3000), "c": random.integers(0, 2, 3000)}
    )
    labels = ((rows["a"] * rows["b"] > 0) ^ (rows["c"] == 1)).astype(int)
    model = FTTransformerClassifier(["a", "b"], {"c": 2}, epochs=10).fit(rows[:2400], labels[:2400])
    assert roc_auc_score(labels[2400:], model.predict_proba(rows[2400:])[:, 1]) > 0.9
    state = torch.get_rng_state()
    short = [FTTransformerClassifier(["a", "b"], {"c": 2}, epochs=1).fit(rows[:300], labels[:300]) for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), state), "the caller's random numbers are left alone"
    np.testing.assert_array_equal(*(one.predict_proba(rows[300:400]) for one in short))


def test_contributions_of_trees_add_up() -> None:
    x, y = make_classification(400, 5, random_state=0)
    rows = pd.DataFrame(x)
    for name in ("boosting", "LightGBM"):
        model = credit.MODELS[name](0).fit(rows, y)
        base, contributions = tree_log_odds(model, rows[:50])
        risk = model.predict_proba(rows[:50])[:, 1]
        np.testing.assert_allclose(base + contributions.sum(axis=1), np.log(risk / (1 - risk)), atol=1e-5)


# ---------------------------------------------------------------- measures


def test_auc_is_that_of_scikit_learn_and_the_pair_is_their_difference() -> None:
    random = np.random.default_rng(1)
    labels = random.integers(0, 2, 300)
    a, b = (labels + random.normal(size=300).round(1) * spread for spread in (1.5, 3.0))
    assert auc(a, labels).estimate == pytest.approx(roc_auc_score(labels, a))
    pair = paired_auc(a, b, labels)
    assert pair.estimate == pytest.approx(roc_auc_score(labels, a) - roc_auc_score(labels, b))
    draws = [random.integers(0, 300, 300) for _ in range(300)]
    resampled = [roc_auc_score(labels[d], a[d]) - roc_auc_score(labels[d], b[d]) for d in draws]
    assert np.quantile(resampled, [0.025, 0.975]) == pytest.approx([pair.low, pair.high], abs=0.03)
    assert paired_auc(a, 3 * a + 1, labels).high == 0, "the same order"


def test_the_error_of_a_probability_does_not_cancel_between_classes() -> None:
    risk, outcome = np.r_[np.full(500, 0.4), np.full(500, 0.6)], np.tile([1, 0, 1, 0, 1, 0, 1, 0, 0, 0], 100)
    assert event_calibration(risk, outcome).ece == pytest.approx(0.1)
    assert event_calibration(np.full(1000, 0.4), outcome).ece == pytest.approx(0)
    assert event_calibration(risk, outcome).table["count"].tolist() == [500, 500]


def test_the_best_threshold_is_that_of_the_formula() -> None:
    random = np.random.default_rng(0)
    risk = random.random(200_000)
    bad = random.random(200_000) < risk
    costs = {at: credit.cost_per_client(risk, bad, at, 4.0) for at in (0.05, 0.1, 0.2, 0.3, 0.5)}
    assert min(costs, key=lambda at: costs[at]) == 0.2
    assert credit.cost_per_client([0.1, 0.9, 0.9], [1, 0, 1], 0.5, 5.0, 2.0) == pytest.approx(7 / 3)


# ---------------------------------------------------------------- bad input


def test_bad_input_is_named(clients: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="'AGE' is missing"):
        credit.split_clients(clients.drop(columns="AGE"))
    with pytest.raises(BadInput, match="lacks 1 values"):
        credit.split_clients(clients.assign(AGE=clients["AGE"].astype(float).where(clients.index != 7)))
    with pytest.raises(BadInput, match="code outside 0 to 1"):
        FTTransformerClassifier(["AGE"], {"SEX": 2}).fit(clients[:9].assign(SEX=2), np.ones(9))
    with pytest.raises(BadInput, match="labels hold 2"):
        auc([0.1, 0.2, 0.3], [0, 1, 2])
    with pytest.raises(BadInput, match="1 of 3 labels"):
        auc([0.1, 0.2, 0.3], [0, 1, 0])
    with pytest.raises(BadInput, match="other values than 0 and 1"):
        event_calibration([0.5, 0.5], [0, 2])
    with pytest.raises(BadInput, match="method is 'smote'"):
        credit.rebalanced_risk("boosting", "smote", {"train": clients})
    with pytest.raises(BadInput, match="the costs are -1"):
        credit.cost_per_client([0.1], [0], 0.5, -1.0)
    with pytest.raises(BadInput, match="model is 'svm'"):
        credit.rebalanced_risk("svm", "none", {"train": clients})
    with pytest.raises(BadInput, match="no test part"):
        credit.fitted_risk(credit.MODELS["boosting"](0), {"train": clients})
    with pytest.raises(BadInput, match="1 of 3 labels are 1"):
        credit.out_of_fold(clients[["AGE"]][:3], [0, 1, 0])
    with pytest.raises(BadInput, match=r"risks go from 0\.2 to 3"):
        credit.cost_per_client([0.2, 3.0], [0, 1], 0.5, 5.0)
    with pytest.raises(BadInput, match="rate is 2"):
        credit.highest([0.1, 0.2], 2)
    with pytest.raises(BadInput, match="data is 'german'"):
        credit.protected_column_study.run({"data": "german", "seed": 0}, show=False)
    with pytest.raises(BadInput, match="from -3 to 2"):
        event_calibration([-3, 2], [0, 1])
    with pytest.raises(BadInput, match="not fitted"):
        tree_log_odds(credit.MODELS["boosting"](0), clients)
    with pytest.raises(BadInput, match="is not fitted"):
        FTTransformerClassifier(["AGE"]).predict_proba(clients)
    with pytest.raises(BadInput, match=r"\(1, 3\)"):
        FeatureTokenizer(2, [3], 4)(torch.zeros(1, 3), torch.zeros(1, 1, dtype=torch.long))
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(CourseError, match="pip install lightgbm"):
        credit.MODELS["LightGBM"](0)


# ---------------------------------------------------------------- the surprises, on fresh seeds


def test_rebalancing_buys_no_ranking_and_ruins_the_probabilities(clients: pd.DataFrame) -> None:
    seed = 11
    parts = credit.split_clients(clients, seed)
    outcome, rate = parts["test"][credit.TARGET].to_numpy(), parts["train"][credit.TARGET].mean()
    plain, weighted = (credit.rebalanced_risk("boosting", method, parts, seed) for method in credit.REBALANCING[:2])
    assert abs(paired_auc(weighted, plain, outcome).estimate) < 0.006
    both = np.column_stack([1 - weighted, weighted])
    corrected = correct_prior(both, [0.5, 0.5], [1 - rate, rate])[:, 1]
    errors = [event_calibration(risk, outcome).ece for risk in (plain, weighted, corrected)]
    assert errors[0] < 0.03 and errors[1] > 0.15 and errors[2] < 0.04
    assert evaluation.calibration(both, outcome).ece < 0.1, "the usual ECE hides most of it"


def test_deleting_the_column_leaves_most_of_the_gap() -> None:
    loans = credit.mortgages()
    bad, group, others = loans["deny"].to_numpy(), loans["afam"].to_numpy(), loans.drop(columns=["deny", "afam"])
    gaps = []
    for rows in (others.assign(afam=group), others):
        denied = credit.highest(credit.out_of_fold(rows, bad, seed=21), bad.mean())
        gaps.append(denied[group == 1].mean() - denied[group == 0].mean())
    assert gaps[0] > 0.15 and gaps[1] > 0.5 * gaps[0]
    assert auc(credit.out_of_fold(others, group, seed=21), group).low > 0.6, "race can be guessed from the rest"


def test_the_shipped_studies_are_complete() -> None:
    names = ("credit_model_study", "rebalancing_study", "protected_column_study", "reason_study")
    for name in names:
        assert json.loads((assets.data_folder() / "results" / f"{name}.json").read_text(encoding="utf-8"))
