"""Customer service: which intent a command has, whether it is our job at all, which team a review goes to.

The commands are drawn from the sentence templates of a home assistant (data/cards/voice_commands.md).
"""

from __future__ import annotations

import json
import random
import re
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from course_lib import assets, corpora
from course_lib.attacks.transformations import swap_letters
from course_lib.baselines import tfidf_logistic
from course_lib.batching import check_texts
from course_lib.classifier import sentence_vectors
from course_lib.corpora.templates import Grammar
from course_lib.errors import BadInput, CourseError
from course_lib.evaluation import nearest_similarity, threshold_for_coverage
from course_lib.experiments import Run, experiment
from course_lib.generation.question_answering import answerable, question_passages
from course_lib.generation.retrieval import BM25, Passage, PassageRanker, RankFusion, Retriever

SPLITS = ("test", "validation", "train", "train", "train")  # of the five folds
_SLOT_OR_UNIT = re.compile(r"\{[^}]*\}|hour|minute|second")


# ---- commands ------------------------------------------------------------------------------------------------------


def written_texts() -> dict[str, Any]:
    """The course's own texts (data/commands.json): `slots`, `devices`, `written` commands with intents, `outside`."""
    texts: dict[str, Any] = json.loads((assets.data_folder() / "commands.json").read_text(encoding="utf-8"))
    return texts


def voice_grammar() -> tuple[Grammar, pd.DataFrame]:
    """The grammar of the home assistant, and its templates: `intent`, `template`, `domain` (of its `{name}`).

    Raises:
        Offline, CorruptAsset: as `assets.path`.
    """
    data = json.loads((assets.path("voice_commands") / "en.json").read_text(encoding="utf-8"))
    slots: dict[str, Sequence[str]] = dict(written_texts()["slots"])
    for name, one in data["lists"].items():
        if "values" in one:
            slots[name] = [value["in"] for value in one["values"]]
        elif "range" in one:
            slots[name] = [str(n) for n in range(one["range"]["from"], one["range"]["to"] + 1)]
    rows = [
        (intent.removeprefix("Hass"), template, tuple(block.get("requires_context", {}).get("domain", ())))
        for intent, content in data["intents"].items()
        for block in content["data"]
        for template in block["sentences"]
    ]
    return Grammar(data["expansion_rules"], slots), pd.DataFrame(rows, columns=["intent", "template", "domain"])


def commands(per_template: int = 8) -> pd.DataFrame:
    """Commands to a home assistant: `text`, `intent`, `template`, `wording`.

    A text that several templates of an intent give is kept once, with the first of them. A text that templates of two
    intents give is dropped, since no classifier can be right about it. The wording is the template without its slots
    and units of time: "{n} minutes timer" and "{n} hours timer" are two templates with one wording.

    Raises:
        BadInput: `per_template` is not a whole number from 1 on.
        Offline, CorruptAsset: as `assets.path`.
    """
    return _commands(per_template).copy()


@lru_cache
def _commands(per_template: int) -> pd.DataFrame:
    grammar, templates = voice_grammar()
    devices = written_texts()["devices"]
    rows = []
    for intent, template, domain in templates.itertuples(index=False):
        names = [name for one in domain for name in devices.get(one, ())]
        here = Grammar(grammar.rules, {**grammar.slots, "name": names or devices["light"]})
        rows += [(text, intent, template) for text in here.sentences(template, per_template)]
    frame = pd.DataFrame(rows, columns=["text", "intent", "template"])
    frame["wording"] = frame["template"].str.replace(_SLOT_OR_UNIT, "...", regex=True)
    clear = frame.groupby("text")["intent"].transform("nunique") == 1
    return frame[clear].drop_duplicates("text", ignore_index=True)


def split_by(frame: pd.DataFrame, column: str, seed: int = 0) -> np.ndarray:
    """ "train", "validation" or "test" for each row (60, 20, 20 %); rows with the same value of `column` stay together.

    Raises:
        BadInput: there is no such column, or no `intent`; an intent is missing; fewer than five groups.
    """
    if lacking := {column, "intent"} - set(frame):
        raise BadInput(f"the frame has no column {lacking.pop()!r}; it has {', '.join(frame)}", "use one of these")
    if frame["intent"].isna().any() or frame[column].nunique() < len(SPLITS):
        counts = (
            f"{frame[column].nunique()} different values of {column!r}, {frame['intent'].isna().sum()} without intent"
        )
        raise BadInput(f"{len(frame)} rows with {counts}", "give five different values or more, and all intents")
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
    parts = np.empty(len(frame), dtype="<U10")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # some intents have fewer than five templates: see the card
        for name, (_, rows) in zip(SPLITS, folds.split(frame, frame["intent"], frame[column]), strict=True):
            parts[rows] = name
    return parts


# ---- intents -------------------------------------------------------------------------------------------------------

INTENT_MODELS = ("words", "characters", "encoder")
INTENT_RUNS: list[dict[str, Any]] = [
    {"split": split, "model": model, "seed": 0} for split in ("text", "template", "wording") for model in INTENT_MODELS
]
ABSTENTION_RUNS: list[dict[str, Any]] = [{"split": "wording", "seed": 0}]
_C = 8.0  # inverse regularization; 1 and 64 change the accuracy on validation templates by at most 6 and 1 points
_CHAT = 1000  # sentences of conversations that are scored; as many others train the class "none"
_DATA = ("course_encoder", "voice_commands")


def intent_pipeline(model: str) -> Pipeline:
    """An unfitted classifier of commands: `words` or `characters` (TF-IDF), or `encoder` (frozen, with mean vectors).

    Raises:
        BadInput: another name.
    """
    if model == "words":
        return tfidf_logistic()
    if model == "characters":  # pieces of 2 to 5 characters within words: a typo changes only some of them
        features: Any = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    elif model == "encoder":
        features = FunctionTransformer(command_vectors)
    else:
        raise BadInput(f"no classifier is called {model!r}", f"use one of {', '.join(INTENT_MODELS)}")
    return make_pipeline(features, LogisticRegression(C=_C, max_iter=1000))


def command_vectors(texts: Sequence[str]) -> np.ndarray:
    """The course encoder's mean vectors, (n, 384). Each text is computed once a process.

    Raises:
        BadInput: one string instead of a list, or an item that is not a string.
    """
    texts = check_texts(texts)
    missing = list(dict.fromkeys(text for text in texts if text not in _VECTORS))
    _VECTORS.update(zip(missing, sentence_vectors(missing), strict=True))
    return np.array([_VECTORS[text] for text in texts]).reshape(-1, 384)


_VECTORS: dict[str, np.ndarray] = {}


def written_commands() -> pd.DataFrame:
    """44 commands in our own words: `text`, `intent`. All intents but Respond have one."""
    return pd.DataFrame(written_texts()["written"], columns=["text", "intent"])


def with_typos(texts: Sequence[str], every_word: bool = False, seed: int = 0) -> list[str]:
    """Two neighbouring letters change places in one word of each text, or in every word, of those of 4 or more.

    Raises:
        BadInput: one string instead of a list, or an item that is not a string.
    """
    rng, changed = random.Random(seed), []
    for words in map(str.split, check_texts(texts)):
        long = [n for n, word in enumerate(words) if len(word) > 3]
        for place in long if every_word else rng.sample(long, min(1, len(long))):
            words[place] = swap_letters(words[place], rng) or words[place]
        changed.append(" ".join(words))
    return changed


@experiment(
    "intent_study",
    cost=lambda config: 20.0 if config["model"] == "encoder" else 4.0,
    tolerance={"test_accuracy": 0.01, "typo_accuracy": 0.02, "typos_accuracy": 0.03, "written_accuracy": 0.07},
    data=_DATA,
)
def intent_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Accuracy on held-out commands: `split` (by `text`, `template` or `wording`), `model` and `seed` of the split.

    `right` and `written_right` say of each test command and of each of `written_commands()` whether its intent was
    found, for paired comparisons. `typo_accuracy` and `typos_accuracy` are with one typo and with one in every word.
    """
    frame, written = commands(), written_commands()
    parts = split_by(frame, config["split"], config["seed"])
    train, test = frame[parts == "train"], frame[parts == "test"]
    model = intent_pipeline(config["model"]).fit(train["text"].tolist(), train["intent"])
    right = model.predict(test["text"].tolist()) == test["intent"]
    typos = [
        float((model.predict(with_typos(test["text"], every, config["seed"])) == test["intent"]).mean())
        for every in (False, True)
    ]
    by_hand = model.predict(written["text"].tolist()) == written["intent"]
    return {
        "test_accuracy": float(right.mean()),
        "typo_accuracy": typos[0],
        "typos_accuracy": typos[1],
        "written_accuracy": float(by_hand.mean()),
        "test_rows": len(test),
        "right": right.astype(int).tolist(),
        "written_right": by_hand.astype(int).tolist(),
    }


# ---- not our job ---------------------------------------------------------------------------------------------------


def chat_sentences() -> tuple[list[str], list[str]]:
    """Two lists of 1,000 sentences of 3 to 12 words from conversations, one each; the second is for training.

    Raises:
        Offline, CorruptAsset: as `assets.path`.
    """
    data = json.loads((assets.path("chitchat") / "dataset.json").read_text(encoding="utf-8"))
    found: list[str] = []
    for _, conversation in sorted(data.items()):  # by identifiers that were drawn at random
        texts = [" ".join(one["text"].split()) for turn in conversation["messages"] for one in turn]
        found += [text for text in texts if 3 <= len(text.split()) <= 12][-1:]  # the first ones are greetings
    found = list(dict.fromkeys(found))
    return found[:_CHAT], found[_CHAT : 2 * _CHAT]


def _abstention_rows(runs: Sequence[Run]) -> pd.DataFrame:
    """One row for each score and seed: commands_kept, accuracy_kept, chat_accepted, outside_accepted, written_kept."""
    return pd.DataFrame([{"seed": run.config["seed"], **row} for run in runs for row in run.result["rows"]])


_RATES = ("commands_kept", "accuracy_kept", "chat_accepted", "outside_accepted", "written_kept")


@experiment(
    "abstention_study",
    cost=lambda config: 1.0,
    table=_abstention_rows,
    tolerance={"threshold": 0.02, **dict.fromkeys(_RATES, 0.04)},
    data=("chitchat", *_DATA),
)
def abstention_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What four scores accept with the threshold that keeps 95 % of the validation commands; `split` and `seed`.

    The scores: `probability` (highest, of the frozen encoder with logistic regression), `none class` (1 minus the
    probability of a class trained on other chat), `word similarity` and `similarity` (cosine to the nearest training
    command, by TF-IDF and by the encoder). `scores` has those of probability and similarity for each text.
    """
    frame = commands()
    parts = split_by(frame, config["split"], config["seed"])
    train = frame[parts == "train"]
    texts = {name: frame["text"][parts == name].tolist() for name in ("validation", "test")}
    texts |= {"chat": chat_sentences()[0], "outside": written_texts()["outside"]}
    texts |= {"written": written_commands()["text"].tolist()}
    predicted, scores = _scores(train, texts)
    right = predicted == frame["intent"][parts == "test"].to_numpy()
    rows = []
    for name, one in scores.items():
        threshold = threshold_for_coverage(one["validation"], 0.95)
        kept = {part: values >= threshold for part, values in one.items()}
        rates = (kept["test"].mean(), right[kept["test"]].mean(), *(kept[p].mean() for p in ("chat", "outside")))
        rates = (*rates, kept["written"].mean())
        row = {"score": name, "threshold": threshold, **dict(zip(_RATES, map(float, rates), strict=True))}
        rows.append(row)
    shown = {
        name: {part: np.round(values, 3).tolist() for part, values in scores[name].items()}
        for name in ("probability", "similarity")
    }
    return {"rows": rows, "scores": shown, "right": right.astype(int).tolist()}


def _scores(
    train: pd.DataFrame, texts: Mapping[str, Sequence[str]]
) -> tuple[np.ndarray, dict[str, dict[str, np.ndarray]]]:
    """The intents predicted for the test texts; score -> part -> (n,) scores, higher for what should be accepted."""
    known, chat = train["text"].tolist(), chat_sentences()[1]
    model = intent_pipeline("encoder").fit(known, train["intent"])
    with_none = intent_pipeline("encoder").fit([*known, *chat], [*train["intent"], *["none"] * len(chat)])
    none = list(with_none.classes_).index("none")
    tfidf = tfidf_logistic().named_steps["tfidf"].fit(known)
    training_vectors, training_words = command_vectors(known), tfidf.transform(known)
    scores: dict[str, dict[str, np.ndarray]] = {
        "probability": {part: model.predict_proba(list(some)).max(1) for part, some in texts.items()},
        "none class": {part: 1 - with_none.predict_proba(list(some))[:, none] for part, some in texts.items()},
        "word similarity": {
            part: (tfidf.transform(some) @ training_words.T).max(axis=1).toarray().ravel()
            for part, some in texts.items()
        },
        "similarity": {
            part: nearest_similarity(command_vectors(some), training_vectors) for part, some in texts.items()
        },
    }
    return model.predict(list(texts["test"])), scores


# ---- reviews -------------------------------------------------------------------------------------------------------

REVIEW_RUNS: list[dict[str, Any]] = [
    {"task": task, "model": model, "labels": labels}
    for task in ("department", "recommended")
    for model, labels in (("words", 1000), ("encoder", 1000), ("words", 16_985))
]
_REVIEW_TEST_ROWS = 1000


def clothing_reviews() -> pd.DataFrame:
    """Reviews of women's clothing: `text`, `department` (6), `recommended` (0 or 1), `split` by a hash of the text.

    Rows without text or department are left out, and so are repeated texts.
    """
    columns = {"Review Text": "text", "Department Name": "department", "Recommended IND": "recommended"}
    frame = corpora.read_table("clothing_reviews", list(columns)).rename(columns=columns)
    frame = frame.dropna().drop_duplicates("text", ignore_index=True)
    return frame.assign(split=frame["text"].map(corpora.split_of))


@experiment(
    "review_study",
    cost=lambda config: 10.0 if config["model"] == "encoder" else 1.0,
    tolerance={"test_accuracy": 0.03},
    data=("clothing_reviews", "course_encoder"),
)
def review_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Accuracy on 1,000 test reviews: `task` (`department`, `recommended`), `model`, and the number of `labels`.

    The model is one of `intent_pipeline`. `right` says of each review whether its label was found.
    """
    if config["task"] not in ("department", "recommended") or config["labels"] < 1:
        raise BadInput(
            f"{config['task']!r} with {config['labels']} labels", "use department or recommended, 1 label or more"
        )
    frame = clothing_reviews()
    train = frame[frame["split"] == "train"][: config["labels"]]
    test = frame[frame["split"] == "test"][:_REVIEW_TEST_ROWS]
    model = intent_pipeline(config["model"])
    model.fit(train["text"].tolist(), train[config["task"]].to_numpy())
    right = model.predict(test["text"].tolist()) == test[config["task"]].to_numpy()
    majority = float((test[config["task"]] == train[config["task"]].mode()[0]).mean())
    return {"test_accuracy": float(right.mean()), "majority": majority, "right": right.astype(int).tolist()}


# ---- answers with a source -----------------------------------------------------------------------------------------

FUSION_RUNS: list[dict[str, Any]] = [{"passages": 1000}]


@experiment(
    "fusion_study",
    cost=lambda config: config["passages"],
    tolerance={},
    data=("course_encoder", "wikipedia_leads"),
)
def fusion_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The rank of the passage that answers each test question of notebook 10: ranker -> list.

    `bm25`, `encoder`, `fusion` of both (`RankFusion`), and `bm25s`, the library of Lù (2024, arXiv:2407.03618) with the
    same tokens and constants.
    """
    passages, asked = question_passages(config["passages"]), answerable()
    queries, titles = [one.question for one in asked], [str(one.title) for one in asked]
    bm25, encoder = BM25(passages), Retriever(passages)
    rankers = {"bm25": bm25, "encoder": encoder, "fusion": RankFusion([bm25, encoder]), "bm25s": _bm25s(passages)}
    return {name: ranker.ranks(queries, titles).tolist() for name, ranker in rankers.items()}


def _bm25s(passages: Sequence[Passage]) -> PassageRanker:
    try:
        import bm25s
    except ImportError as error:
        raise CourseError("the peer bm25s is not installed", "pip install bm25s") from error

    def words(text: str) -> list[str]:
        return re.findall(r"\w+", text.lower())

    class Peer(PassageRanker):
        def scores(self, queries: Sequence[str]) -> np.ndarray:
            return np.stack([index.get_scores(words(query)) for query in queries])

    index = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    index.index([words(str(passage)) for passage in passages], show_progress=False)
    return Peer(passages)
