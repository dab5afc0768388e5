"""The models that come with the course: small enough, described truly by their cards, made by the command in these."""

import argparse
import json
import re
import shlex

import pytest

from course_lib import assets, machine
from course_lib.commands import pretrain as command
from course_lib.pretraining import LanguageModel, held_out_batches, material_of, measure, pretrain
from course_lib.pretraining.language_model import SHIPPED, shipped, shipped_folder

CARDS = {name: f"{folder.replace('-', '_')}.md" for name, folder in SHIPPED.items()}
MOST_BYTES = {"tiny-bert": 12_000_000, "course": 3_000_000}
MODELS = sorted(shipped())


class Enough(Exception):
    """Ends a run that has shown what it should."""


def card(name: str) -> str:
    return (assets.data_folder() / "cards" / CARDS[name]).read_text(encoding="utf-8")


def figures(name: str) -> dict:
    return json.loads((shipped_folder(name) / command.FIGURES).read_text(encoding="utf-8"))


def recipe_of(name: str):
    """The recipe that the command in the card asks for."""
    line = re.search(r"python -m course_lib pretrain (.+)", card(name))
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.recipe_of(parser.parse_args(shlex.split(line[1])))


def test_models_are_shipped() -> None:
    assert "course" in MODELS and set(MODELS) <= set(MOST_BYTES)


@pytest.mark.parametrize("name", MODELS)
def test_size(name: str) -> None:
    files = [file for file in shipped_folder(name).iterdir() if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= MOST_BYTES[name]
    assert not [file for file in files if file.suffix in {".bin", ".pt", ".pkl"}]


@pytest.mark.parametrize("name", MODELS)
def test_the_card_tells_the_figures_of_the_run(name: str) -> None:
    told, text = figures(name), card(name)
    for word in ("CC BY-SA 4.0", "Wikipedia", "American Presidency Project", "How it may mislead"):
        assert word in text, word
    wanted = [f"{told['held_out_top1']:.1%}".replace("%", " %"), f"{told['held_out_loss']:.2f}", f"{told['tokens']:,}"]
    wanted += [f"| {point['tokens']:,} | {point['loss']:.2f} |" for point in told["curve"]]
    assert [part for part in wanted if part not in text] == []


@pytest.mark.parametrize("name", MODELS)
def test_the_command_in_the_card_begins_as_its_run_did(name: str) -> None:
    """Twenty steps. Another processor adds up in another order: the losses agree to 0.02."""
    recipe, rows = recipe_of(name), []

    def note(row: dict[str, float]) -> None:
        rows.append(row)
        if len(rows) == 2:
            raise Enough

    assert recipe.steps == figures(name)["steps"]
    with pytest.raises(Enough):
        pretrain(recipe, callbacks=[note])
    begun = figures(name)["beginning"][:2]
    assert [row["step"] for row in rows] == [row["step"] for row in begun] == [10, 20]
    assert [row["loss"] for row in rows] == pytest.approx([row["loss"] for row in begun], abs=0.02)


@pytest.mark.parametrize("name", MODELS)
def test_held_out_figures_are_found_again(name: str) -> None:
    """On a quarter of the text that the card's figure is of."""
    recipe = recipe_of(name)
    batches = [batch.to(machine.device()) for batch in held_out_batches(recipe, material_of(recipe), 16_384)]
    found = measure(LanguageModel.from_pretrained(name).model, batches)
    spread = 3 * (found.top1 * (1 - found.top1) / found.predicted) ** 0.5
    assert found.top1 == pytest.approx(figures(name)["held_out_top1"], abs=spread)


@pytest.mark.parametrize("name", MODELS)
def test_it_fills_in_what_every_speech_says(name: str) -> None:
    assert LanguageModel.from_pretrained(name).fill("the president of the united [MASK]", 1)[0][0][0] == "states"
