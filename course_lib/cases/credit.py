"""Credit risk: three tables, the models that rank their rows, and what rebalancing, groups and reasons come to.

The target is always "1 is bad": a default, a denied mortgage, a phishing site.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, StratifiedKFold, cross_val_predict, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, QuantileTransformer, StandardScaler

from course_lib.baselines import lightgbm
from course_lib.classifier.tabular import FTTransformerClassifier
from course_lib.corpora import read_table, reject_missing
from course_lib.errors import BadInput, CorruptAsset
from course_lib.evaluation import Interval, auc, correct_prior, event_calibration, paired_auc, wilson_interval
from course_lib.evaluation.drift import mean_difference
from course_lib.evaluation.inputs import numbers
from course_lib.experiments import entries_of, experiment
from course_lib.explain.tabular import tree_log_odds

Floats = NDArray[np.float64]
DELAYS = ("PAY_0", *(f"PAY_{month}" for month in range(2, 7)))  # months of delay; -2, -1 and 0 are no delay
NUMBERS = ("LIMIT_BAL", "AGE", *DELAYS, *(f"{kind}_AMT{month}" for kind in ("BILL", "PAY") for month in range(1, 7)))
CATEGORIES = {"SEX": 2, "EDUCATION": 7, "MARRIAGE": 4}  # name -> number of codes; SEX is 1 for women
FEATURES = (*NUMBERS, *CATEGORIES)
TARGET = "default"
GROUPS = {"taiwan_credit": "SEX", "mortgage_applications": "afam"}
REFUSED = 1 / 6  # the risk from which a client is refused if a default costs five times a refused good client
REBALANCING = ("none", "class weights", "oversampling")
_RAW_TARGET = "default-payment-next-month"

# ---------------- data


def taiwan_clients() -> pd.DataFrame:
    """The 30,000 clients of `taiwan_credit`: `FEATURES`, and `default` (1: no payment in October 2005).

    The file's one-hot columns of education and marriage become one code each; amounts are in Taiwan dollars.

    Raises:
        CorruptAsset: the file is not the expected one.
    """
    hot = {name: [f"{name}_{code}" for code in range(n)] for name, n in CATEGORIES.items() if name != "SEX"}
    raw = read_table("taiwan_credit", [*NUMBERS, "SEX", *hot["EDUCATION"], *hot["MARRIAGE"], _RAW_TARGET])
    if any((raw[columns].sum(axis=1) != 1).any() for columns in hot.values()):
        raise CorruptAsset("a client has no education or marriage, or several", "fetch the file again")
    codes = {name: raw[columns].to_numpy().argmax(axis=1) for name, columns in hot.items()}
    return raw[[*NUMBERS, "SEX"]].assign(**codes, **{TARGET: raw[_RAW_TARGET]})


def mortgages() -> pd.DataFrame:
    """The 2,380 applications of `mortgage_applications`; yes and no become 1 and 0, and `deny` is the target."""
    numbers = ["pirat", "hirat", "lvrat", "chist", "mhist", "unemp"]
    flags = ["phist", "selfemp", "insurance", "condomin", "afam", "single", "hschool", "deny"]
    raw = read_table("mortgage_applications", [*numbers, *flags])
    return raw[numbers].assign(**{name: (raw[name] == "yes").astype(int) for name in flags})


def phishing_sites() -> pd.DataFrame:
    """The 1,250 sites of `phishing`: nine traits with two or three values each, and `is_phishing`."""
    traits = [
        "empty_server_form_handler", "popup_window", "https", "request_from_other_domain", "anchor_from_other_domain",
        "is_popular", "long_url", "age_of_domain", "ip_in_url",
    ]  # fmt: skip
    return read_table("phishing", [*traits, "is_phishing"])


def split_clients(clients: pd.DataFrame, seed: int = 0) -> dict[str, pd.DataFrame]:
    """60 % train, 10 % validation and 30 % test, each with the same rate of defaults. The seed 0 is the course's.

    Raises:
        BadInput: a column of `FEATURES` or the target is missing or has gaps, or there are too few clients of a class.
    """
    if not isinstance(clients, pd.DataFrame):
        raise BadInput(f"clients is of type {type(clients).__name__}", "pass the table of taiwan_clients()")
    if lacking := [name for name in (*FEATURES, TARGET) if name not in clients]:
        raise BadInput(f"column {lacking[0]!r} is missing", "pass the table of taiwan_clients()")
    reject_missing(clients, [*FEATURES, TARGET])
    _check_labels(clients[TARGET], len(clients), fewest=10)
    rest, test = train_test_split(clients, test_size=0.3, stratify=clients[TARGET], random_state=seed)
    fitted, validation = train_test_split(rest, test_size=1 / 7, stratify=rest[TARGET], random_state=seed)
    return {"train": fitted, "validation": validation, "test": test}


def _check_labels(labels: ArrayLike, n_rows: int, fewest: int) -> None:
    """Raises BadInput unless there is a 0 or 1 for each row, and at least `fewest` of each."""
    found = np.asarray(labels)
    if found.shape != (n_rows,) or not np.isin(found, (0, 1)).all():
        raise BadInput(
            f"{found.shape} labels for {n_rows} rows, or other values than 0 and 1", "pass 0 or 1 for each row"
        )
    if min((found == 0).sum(), (found == 1).sum()) < fewest:
        raise BadInput(f"{(found == 1).sum()} of {n_rows} labels are 1", f"pass at least {fewest} rows of each class")


def _check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    if value not in choices:
        raise BadInput(f"{name} is {value!r}", f"use one of {', '.join(choices)}")


# ---------------- models


def _columns(of_numbers: Any) -> ColumnTransformer:
    one_hot = OneHotEncoder(handle_unknown="ignore")
    return ColumnTransformer([("numbers", of_numbers, [*NUMBERS]), ("categories", one_hot, [*CATEGORIES])])


def _pay_0(seed: int) -> Any:
    last = ColumnTransformer([("last delay", OneHotEncoder(handle_unknown="ignore"), ["PAY_0"])])
    return make_pipeline(last, LogisticRegression())


def _logistic(seed: int, **settings: Any) -> Any:
    return make_pipeline(_columns(StandardScaler()), LogisticRegression(max_iter=1000, **settings))


def _scorecard(seed: int) -> Any:
    bins = KBinsDiscretizer(10, encode="onehot", strategy="quantile", quantile_method="averaged_inverted_cdf")
    return make_pipeline(_columns(bins), LogisticRegression(C=0.1, max_iter=1000))


def _mlp(seed: int) -> Any:
    quantiles = QuantileTransformer(output_distribution="normal", random_state=0)
    return make_pipeline(_columns(quantiles), MLPClassifier((128, 64), early_stopping=True, random_state=seed))


def _boosting(seed: int, **settings: Any) -> Any:
    return HistGradientBoostingClassifier(random_state=seed, **settings)


MODELS: Mapping[str, Callable[..., Any]] = {  # name -> a function of the seed that makes a scikit-learn classifier
    "majority": lambda seed: DummyClassifier(strategy="prior"),
    "PAY_0 alone": _pay_0,
    "logistic regression": _logistic,
    "scorecard": _scorecard,
    "MLP": _mlp,
    "boosting": _boosting,
    "LightGBM": lightgbm,
    "FT-Transformer": lambda seed: FTTransformerClassifier(NUMBERS, CATEGORIES, seed=seed),
}


def fitted_risk(model: Any, parts: Mapping[str, pd.DataFrame]) -> Floats:
    """Fits a model on the training clients; its probabilities of a default (n,) for the test clients.

    Raises:
        BadInput: the training or the test part is missing.
    """
    if not isinstance(parts, Mapping) or not {"train", "test"} <= {*parts}:
        raise BadInput("there is no training part or no test part", "pass the parts of split_clients")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Bins whose width")  # many amounts are 0, so that quantiles coincide
        model.fit(parts["train"][[*FEATURES]], parts["train"][TARGET])
    return np.asarray(model.predict_proba(parts["test"][[*FEATURES]])[:, 1], dtype=np.float64)


def rebalanced_risk(model: str, method: str, parts: Mapping[str, pd.DataFrame], seed: int = 0) -> Floats:
    """`fitted_risk` of boosting or logistic regression after training with one method of `REBALANCING`.

    Raises:
        BadInput: another model or method.
    """
    _check_choice("method", method, REBALANCING)
    _check_choice("model", model, ("boosting", "logistic regression"))
    rows, settings = parts["train"], {"class_weight": "balanced"} if method == "class weights" else {}
    if method == "oversampling":
        few, many = rows[rows[TARGET] == 1], rows[rows[TARGET] == 0]
        rows = pd.concat([many, few.sample(len(many), replace=True, random_state=seed)])
    return fitted_risk(MODELS[model](seed, **settings), {**parts, "train": rows})


def out_of_fold(rows: pd.DataFrame, labels: ArrayLike, seed: int = 0, groups: ArrayLike | None = None) -> Floats:
    """Boosting's probabilities (n,) of label 1 in five folds: each from a model that has not seen the row, or group.

    Raises:
        BadInput: not a 0 or 1 for each row, or fewer than five of each.
    """
    _check_labels(labels, len(rows), fewest=5)
    folds = (StratifiedKFold if groups is None else GroupKFold)(5, shuffle=True, random_state=seed)
    found = cross_val_predict(_boosting(seed), rows, labels, groups=groups, cv=folds, method="predict_proba")
    return np.asarray(found[:, 1], dtype=np.float64)


def cost_per_client(
    risk: ArrayLike, defaulted: ArrayLike, threshold: float, cost_default: float, cost_refusal: float = 1.0
) -> float:
    """Mean cost of a client if those with a risk above the threshold are refused, in the unit of the two costs.

    An approved client who defaults costs `cost_default`, a refused one who would have repaid `cost_refusal`.

    Raises:
        BadInput: a cost below 0, both 0, lengths that differ, no clients, or a risk or threshold outside [0, 1].
    """
    risks, outcomes = (numbers(one, name, "one number for each client")
                       for one, name in ((risk, "risk"), (defaulted, "defaulted")))  # fmt: skip
    refused, bad = risks > threshold, outcomes == 1
    if not (min(cost_default, cost_refusal) >= 0 and cost_default + cost_refusal > 0 and refused.shape == bad.shape):
        found = f"the costs are {cost_default} and {cost_refusal}, for {len(refused)} risks and {len(bad)} clients"
        raise BadInput(found, "use costs of 0 or more, one of them above 0, and one risk for each client")
    if not (0 <= threshold <= 1 and risks.min() >= 0 and risks.max() <= 1 and np.isin(outcomes, (0, 1)).all()):
        found = f"the threshold is {threshold}, the risks go from {risks.min():.3g} to {risks.max():.3g}"
        raise BadInput(found, "use a threshold and probabilities from 0 to 1, and outcomes of 0 or 1")
    return float((cost_default * (bad & ~refused) + cost_refusal * (refused & ~bad)).mean())


def highest(risk: ArrayLike, rate: float) -> NDArray[np.bool_]:
    """True for the fraction `rate` of the rows with the highest risk; of equal ones the first.

    Raises:
        BadInput: a rate outside [0, 1], or risks that are no finite numbers.
    """
    risk = numbers(risk, "risk", "one number for each row")
    if not 0 <= rate <= 1:
        raise BadInput(f"rate is {rate}", "use a fraction from 0 to 1")
    chosen = np.zeros(len(risk), dtype=bool)
    chosen[np.argsort(-risk, kind="stable")[: round(rate * len(risk))]] = True
    return chosen


# ---------------- studies


def _interval(name: str, found: Interval) -> dict[str, float]:
    return {name: found.estimate, f"{name}_low": found.low, f"{name}_high": found.high}


def _within(tolerance: float, *names: str) -> dict[str, float]:
    return {f"{name}{end}": tolerance for name in names for end in ("", "_low", "_high")}


@experiment(
    "credit_model_study", cost=lambda config: 1.0, table=entries_of("rows"), data=("taiwan_credit",),
    tolerance=_within(0.012, "auc", "gain", "ece", "accuracy", "brier") | {"seconds": np.inf},
)  # fmt: skip
def credit_model_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """All `MODELS` on the course's split, in one process; `seed` is that of the models.

    A row for each model: AUC, its gain over boosting (paired), ECE of the probability of a default, Brier score,
    accuracy at 0.5, and seconds of fitting and predicting. `risk` has boosting's test probabilities.
    """
    parts, risks, seconds = split_clients(taiwan_clients()), {}, {}
    for name, make in MODELS.items():
        start = time.perf_counter()
        risks[name] = fitted_risk(make(config["seed"]), parts)
        seconds[name] = time.perf_counter() - start
    outcome = parts["test"][TARGET].to_numpy()
    rows = [
        {
            "model": name, **_interval("auc", auc(risk, outcome)),
            **_interval("gain", paired_auc(risk, risks["boosting"], outcome)),
            "ece": event_calibration(risk, outcome).ece, "brier": float(((risk - outcome) ** 2).mean()),
            "accuracy": float(((risk > 0.5) == outcome).mean()), "seconds": seconds[name],
        }
        for name, risk in risks.items()
    ]  # fmt: skip
    return {"rows": rows, "risk": risks["boosting"].round(4).tolist()}


@experiment(
    "rebalancing_study", cost=lambda config: 1.0, table=entries_of("rows"), data=("taiwan_credit",),
    tolerance=_within(0.006, "auc", "gain") | _within(0.01, "ece", "ece_corrected", "mean_risk"),
)  # fmt: skip
def rebalancing_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What rebalancing does to ranking and probabilities: `model` (boosting, logistic regression) and `seed` (of all).

    A row for each method of `REBALANCING`; `ece_corrected` is the ECE after `correct_prior`.
    """
    _check_choice("model", config.get("model"), ("boosting", "logistic regression"))
    parts = split_clients(taiwan_clients(), config["seed"])
    outcome, rate = parts["test"][TARGET].to_numpy(), parts["train"][TARGET].mean()
    risks = {method: rebalanced_risk(config["model"], method, parts, config["seed"]) for method in REBALANCING}
    rows = []
    for method, risk in risks.items():
        prior = [1 - rate, rate]
        both = np.column_stack([1 - risk, risk])
        corrected = correct_prior(both, prior if method == "none" else [0.5, 0.5], prior)[:, 1]
        rows.append({
            "rebalancing": method, "auc": auc(risk, outcome).estimate, "mean_risk": float(risk.mean()),
            **_interval("gain", paired_auc(risk, risks["none"], outcome)),
            "ece": event_calibration(risk, outcome).ece, "ece_corrected": event_calibration(corrected, outcome).ece,
        })  # fmt: skip
    return {"rows": rows}


@experiment(
    "protected_column_study", cost=lambda config: 1.0, table=entries_of("rows"), data=tuple(GROUPS),
    tolerance=_within(0.02, "refused_0", "refused_1", "gap", "change", "opportunity", "accuracy", "column_auc"),
)  # fmt: skip
def protected_column_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Refusals of two groups with and without the column that names the group: `data`, a key of `GROUPS`, and `seed`.

    As many rows are refused as are bad, by `out_of_fold` risks. `gap` is the refusal rate of group 1 minus that of
    group 0, `opportunity` the same among rows that were good, `change` what deleting the column adds to the gap
    (paired), and `column_auc` how well the other columns tell the groups apart. "group thresholds" refuses the same
    rate of each group, for which it needs the column.
    """
    _check_choice("data", config.get("data"), [*GROUPS])
    column = GROUPS[config["data"]]
    table, target = (taiwan_clients(), TARGET) if config["data"] == "taiwan_credit" else (mortgages(), "deny")
    bad, group, others = table[target].to_numpy(), table[column].to_numpy(), table.drop(columns=[target, column])
    risk = out_of_fold(table.drop(columns=target), bad, config["seed"])
    by_group = np.zeros(len(table), dtype=bool)
    for one in (0, 1):
        by_group[group == one] = highest(risk[group == one], bad.mean())
    refused = {
        "with": highest(risk, bad.mean()),
        "without": highest(out_of_fold(others, bad, config["seed"]), bad.mean()),
        "group thresholds": by_group,
    }
    guessed, good, rows = auc(out_of_fold(others, group, config["seed"]), group), bad == 0, []
    for name, no in refused.items():
        rows.append({
            "column": name, **{f"refused_{one}": float(no[group == one].mean()) for one in (0, 1)},
            **_interval("gap", _gap(no, group)), **_interval("opportunity", _gap(no[good], group[good])),
            **_interval("change", _gap(no.astype(float) - refused["with"], group)),
            "accuracy": float((no == bad).mean()), **_interval("column_auc", guessed),
        })  # fmt: skip
    return {"rows": rows}


def _gap(values: ArrayLike, group: NDArray[Any]) -> Interval:
    numbers = np.asarray(values, dtype=np.float64)
    return mean_difference(numbers[group == 0], numbers[group == 1])


@experiment(
    "reason_study", cost=lambda config: 1.0, data=("taiwan_credit",),
    tolerance={"worst_gap": 1e-4}
    | _within(0.03, "agree", "agree_refused", "agree_likely", "largest_speaks_for", "refused"),
)  # fmt: skip
def reason_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Do two models give the same main reason for a client? `other`: LightGBM, or boosting on a resample; `seed`.

    The main reason is the column that raises the risk most. `agree` counts all test clients, `agree_refused` those
    with a risk above `REFUSED`, `agree_likely` those above 0.5, and `largest_speaks_for` the refused clients whose
    largest contribution in size lowers the risk. `worst_gap` is the largest distance of base value plus contributions
    from the log-odds.
    """
    _check_choice("other", config.get("other"), ("LightGBM", "boosting"))
    parts, seed = split_clients(taiwan_clients()), config["seed"]
    rows, test = parts["train"], parts["test"][[*FEATURES]]
    drawn = rows if config["other"] == "LightGBM" else rows.sample(frac=1, replace=True, random_state=seed)
    models = [MODELS["boosting"](0).fit(rows[[*FEATURES]], rows[TARGET])]
    models.append(MODELS[config["other"]](seed).fit(drawn[[*FEATURES]], drawn[TARGET]))
    (base, first), (_, second) = (tree_log_odds(model, test) for model in models)
    risk = models[0].predict_proba(test)[:, 1]
    same, refused = first.argmax(axis=1) == second.argmax(axis=1), risk > REFUSED
    largest = np.take_along_axis(first, np.abs(first).argmax(axis=1)[:, None], axis=1)[:, 0]
    chosen = {"agree": risk >= 0, "agree_refused": refused, "agree_likely": risk > 0.5}
    rates = {name: wilson_interval(int(same[some].sum()), int(some.sum())) for name, some in chosen.items()}
    rates["largest_speaks_for"] = wilson_interval(int((largest[refused] < 0).sum()), int(refused.sum()))
    worst = float(np.abs(base + first.sum(axis=1) - np.log(risk / (1 - risk))).max())
    merged = {name: value for key, found in rates.items() for name, value in _interval(key, found).items()}
    return {**merged, "refused": float(refused.mean()), "worst_gap": worst}
