"""Heart patients of four hospitals: what a model learned in one is worth in another.

The data of Janosi, Steinbrunn, Pfisterer and Detrano (1988), UCI repository. Detrano et al. (1989), American Journal of
Cardiology 64:304, took a model from Cleveland to the other three.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from course_lib.baselines import lightgbm
from course_lib.corpora import read_table
from course_lib.errors import BadInput
from course_lib.evaluation import auc
from course_lib.experiments import entries_of, experiment

HOSPITALS = ("Cleveland", "Hungary", "Switzerland", "VA Long Beach")
PROTOCOLS = ("random folds", "other hospitals", "Cleveland")  # see `heart_probabilities`
_NUMBERS = ("age", "trestbps", "chol", "fbs", "thalch", "exang", "oldpeak", "ca")
_WORDS = ("sex", "cp", "restecg", "slope", "thal")
_NEVER_ZERO = ("trestbps", "chol")  # blood pressure and cholesterol of a living person


def load_heart(zeros_missing: bool = True) -> pd.DataFrame:
    """920 patients: `hospital`, `ill` (1 where an artery is narrowed by more than half), and 13 findings as numbers.

    A finding in words has one 0/1 column for each word; where it is missing, all of them are. Patient 304 is the first
    of Hungary in the original data, and is counted there.

    Args:
        zeros_missing: a blood pressure or cholesterol of 0 is missing; otherwise it stays the number 0.
    """
    table = read_table("heart_disease", ("id", "dataset", "num", *_NUMBERS, *_WORDS))
    table.loc[table["id"] == 304, "dataset"] = "Hungary"
    frame = pd.DataFrame({"hospital": table["dataset"], "ill": (table["num"] > 0).astype(int)})
    for name in _NUMBERS:
        frame[name] = pd.to_numeric(table[name].replace({True: 1, False: 0}), errors="coerce").astype(float)
    for name in _WORDS:
        for word in sorted(table[name].dropna().unique())[1 if name == "sex" else 0 :]:
            frame[f"{name}: {word}"] = (table[name] == word).astype(float).where(table[name].notna())
    return zeros_to_missing(frame, _NEVER_ZERO) if zeros_missing else frame


def zeros_to_missing(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """A copy in which 0 is missing in these columns, and in no other.

    Raises:
        BadInput: a column that is not there, or one name instead of a list of names.
    """
    if isinstance(columns, str):
        raise BadInput(f"columns is the text {columns!r}", f"pass a list: [{columns!r}]")
    if lacking := [name for name in columns if name not in frame]:
        raise BadInput(f"there is no column {lacking[0]!r}", f"use some of {', '.join(map(str, frame))}")
    return frame.assign(**{name: frame[name].replace(0, np.nan) for name in columns})


def logistic(indicators: bool = False) -> Any:
    """Logistic regression; a missing value becomes the mean, with `indicators` also a column of its own."""
    return make_pipeline(SimpleImputer(add_indicator=indicators), StandardScaler(), LogisticRegression(max_iter=2000))


HEART_MODELS: dict[str, Callable[[], Any]] = {
    "logistic regression": logistic,
    "with missing indicators": functools.partial(logistic, True),
    "HistGradientBoosting": functools.partial(HistGradientBoostingClassifier, random_state=0),
    "LightGBM": lightgbm,
}


def heart_probabilities(make: Callable[[], Any], frame: pd.DataFrame, protocol: str) -> NDArray[np.float64]:
    """Probability of disease of each patient, (920,), by a model that was not trained on that patient.

    Args:
        make: makes an unfitted model.
        frame: of `load_heart`.
        protocol: "random folds", "other hospitals" (one hospital is left out) or "Cleveland" (trained on its patients
            alone, and there in random folds).

    Raises:
        BadInput: an unknown protocol, a model instead of a function that makes one, another table than that of
            `load_heart`, or one without two hospitals (Cleveland among them) of ten patients.
    """
    _check(make, frame, protocol)
    values, ill = frame.drop(columns=["hospital", "ill"]).to_numpy(), frame["ill"].to_numpy()
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    predict = functools.partial(cross_val_predict, method="predict_proba")
    if protocol == "random folds":
        return np.asarray(predict(make(), values, ill, cv=folds)[:, 1])
    if protocol == "other hospitals":
        return np.asarray(predict(make(), values, ill, cv=LeaveOneGroupOut(), groups=frame["hospital"])[:, 1])
    here = (frame["hospital"] == "Cleveland").to_numpy()
    found = make().fit(values[here], ill[here]).predict_proba(values)[:, 1]
    found[here] = predict(make(), values[here], ill[here], cv=folds)[:, 1]
    return np.asarray(found)


def _check(make: object, frame: pd.DataFrame, protocol: str) -> None:
    if protocol not in PROTOCOLS:
        raise BadInput(f"there is no protocol {protocol!r}", f"use one of {', '.join(PROTOCOLS)}")
    if not callable(make):
        raise BadInput(f"make is {str(make)[:40]!r}", "pass a function that makes a model, such as heart.logistic")
    if not {"hospital", "ill"} <= set(getattr(frame, "columns", ())):
        raise BadInput("the table has no columns 'hospital' and 'ill'", "use the table of heart.load_heart()")
    patients = frame["hospital"].value_counts()
    if len(patients) < 2 or patients.min() < 10 or "Cleveland" not in patients:
        raise BadInput(
            f"the table has the patients {patients.to_dict()}", "keep Cleveland and another, 10 patients each"
        )


@experiment(
    "heart_study",
    cost=lambda config: 1.0,
    table=entries_of("rows"),
    tolerance=dict.fromkeys(("auc", "low", "high", "predicted"), 0.02),
    data=("heart_disease",),
)
def heart_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Four models under three protocols: AUC with its interval, and mean probability against the fraction that is ill.

    `config`: `zeros_missing`, as for `load_heart`. A row for each protocol, model and hospital ("all": everybody).
    """
    frame, rows = load_heart(config["zeros_missing"]), []
    for protocol in PROTOCOLS:
        for model, make in HEART_MODELS.items():
            found = heart_probabilities(make, frame, protocol)
            for hospital in ("all", *HOSPITALS):
                here = (frame["hospital"] == hospital).to_numpy() | (hospital == "all")
                ill = frame["ill"].to_numpy()[here]
                area = auc(found[here], ill)
                rows.append({
                    "protocol": protocol, "model": model, "hospital": hospital, "patients": int(here.sum()),
                    "auc": area.estimate, "low": area.low, "high": area.high,
                    "predicted": float(found[here].mean()), "ill": float(ill.mean()),
                })  # fmt: skip
    return {"rows": rows}


HEART_RUNS = [{"zeros_missing": zeros_missing} for zeros_missing in (False, True)]
