"""An attack of TextAttack's on a saved transformers classifier; runs in an environment of its own, see the README here.

PYTHON textattack_run.py deepwordbug|beam MODEL_FOLDER SENTENCES.json [MAX_LENGTH]

`beam` puts in WordNet's synonyms by a beam of 8. SENTENCES.json is a list of [text, label]. MAX_LENGTH fixes
TextAttack's padding to the model's longest text (512); without it the run is as installed. Prints one JSON
object on the last line. Nothing of the course is imported here.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

_HOME = Path(sys.prefix)
os.environ.update(HF_HUB_OFFLINE="1", NLTK_DATA=str(_HOME / "nltk_data"), TA_CACHE_DIR=str(_HOME / "ta"))


def attack_of(name: str, model: Any) -> Any:
    """Its own recipe, or its own parts put together."""
    import textattack
    from textattack.attack_recipes import DeepWordBugGao2018
    from textattack.constraints.pre_transformation import RepeatModification, StopwordModification
    from textattack.goal_functions import UntargetedClassification
    from textattack.search_methods import BeamSearch
    from textattack.transformations import WordSwapWordNet

    if name == "deepwordbug":
        return DeepWordBugGao2018.build(model)
    rules = [RepeatModification(), StopwordModification()]
    return textattack.Attack(UntargetedClassification(model), rules, WordSwapWordNet(), BeamSearch(8))


def main(name: str, folder: str, sentences: str, max_length: str | None = None) -> None:
    """Attacks all sentences, one after the other, as `textattack.Attacker` does it."""
    import textattack
    import torch
    from textattack.models.wrappers import HuggingFaceModelWrapper
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    if max_length:
        tokenizer.model_max_length = int(max_length)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    rows = [tuple(row) for row in json.loads(Path(sentences).read_text(encoding="utf-8"))]
    attack = attack_of(name, HuggingFaceModelWrapper(model, tokenizer))
    settings = textattack.AttackArgs(num_examples=len(rows), disable_stdout=True, silent=True)
    started = time.perf_counter()
    results = textattack.Attacker(attack, textattack.datasets.Dataset(rows), settings).attack_dataset()
    seconds = time.perf_counter() - started
    kinds = Counter(type(result).__name__ for result in results)
    attacked = [result for result in results if type(result).__name__ != "SkippedAttackResult"]
    print(
        json.dumps(
            {
                "seconds": seconds,
                "texts": len(rows),
                "succeeded": kinds["SuccessfulAttackResult"],
                "failed": kinds["FailedAttackResult"],
                "skipped": kinds["SkippedAttackResult"],
                "queries_per_text": sum(result.num_queries for result in attacked) / max(1, len(attacked)),
                "threads": torch.get_num_threads(),
                "textattack": textattack.__dict__.get("__version__", "0.3"),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
