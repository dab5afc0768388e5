"""Studies of small pretraining runs, and the laws that are fitted to them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.encoder import parameter_count
from course_lib.errors import BadInput
from course_lib.pretraining import scaling, studies
from course_lib.pretraining.flops import step_flops

QUICK = {"width": 32, "layers": 1, "tokens": 8192, "batch_tokens": 512, "length": 32}


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """Runs go to a folder of the test's own; texts and tokenised corpora stay where they are."""
    from course_lib import assets

    real = assets.cache_folder()
    (tmp_path / "runs").mkdir()
    for name in ("assets", "corpora", "tokenizers"):
        (real / name).mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(real / name, target_is_directory=True)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))


def test_a_study_is_stored_and_read_back(own_cache, capsys) -> None:
    configs = [QUICK | {"objective": kind} for kind in ("mlm", "causal")]
    runs = studies.pretraining_study.runs(configs)
    assert "pretraining_study: this will take" in capsys.readouterr().err
    assert {run.source for run in runs} == {"computed"}
    again = studies.pretraining_study.runs(configs, show=False)
    assert {run.source for run in again} == {"stored"}
    rows = studies.pretraining_study.rows(again)
    masked, causal = (run.result for run in again)
    assert set(masked["loss_by_fate"]) == {"masked", "kept", "random"} and "loss_by_fate" not in causal
    assert rows["objective"].tolist() == ["mlm", "causal"] and (rows["loss"] > 0).all() and (rows["width"] == 32).all()
    assert rows["bits_per_character"].isna().tolist() == [True, False]
    shape = studies.study_recipe(QUICK).shape
    count = parameter_count(shape)
    outside = count["words"] + count["positions"] + count["segments"] + count["pooler"]
    assert rows["parameters"][0] == count.total - outside
    points = studies.curve(again[0])
    assert points["tokens"].is_unique and points["tokens"].max() == rows["tokens"][0]
    assert points["validation_loss"].notna().sum() == 8
    assert (again[0].file("model") / "model.safetensors").is_file()


def test_equal_flops_gives_a_cheaper_run_more_tokens() -> None:
    configs = [{"mask_rate": 0.15}, {"mask_rate": 0.4}, {"width": 256}]
    shared = studies.equal_flops(configs, 2e12)
    recipes = [studies.study_recipe(config) for config in shared]
    spent = [recipe.steps * step_flops(recipe) for recipe in recipes]
    assert spent == pytest.approx([2e12] * 3, rel=0.02)
    assert shared[0]["tokens"] > shared[1]["tokens"] > shared[2]["tokens"]


def test_a_study_can_begin_with_short_rows() -> None:
    assert studies.study_recipe({"first_lengths": [16, 32]}).lengths == (16, 32, 64, 64, 64, 64, 64, 64)


def test_twice_the_tokens_are_twice_the_work() -> None:
    cost = studies.pretraining_study.cost
    assert cost(QUICK | {"tokens": 16384}) == pytest.approx(2 * cost(QUICK | {"tokens": 8192}))
    assert cost(QUICK | {"width": 64}) > cost(QUICK)


def runs_of(law: scaling.ScalingLaw, noise: float = 0.0) -> pd.DataFrame:
    random = np.random.default_rng(0)
    rows = [(n, d) for n in (1e5, 4e5, 1.6e6, 6.4e6) for d in (1e5, 4e5, 1.6e6)]
    weights, tokens = np.array(rows).T
    loss = law(weights, tokens) + noise * random.standard_normal(len(rows))
    return pd.DataFrame({"parameters": weights, "tokens": tokens, "loss": loss})


@settings(max_examples=8, deadline=None)
@given(st.floats(1.0, 4.0), st.floats(0.2, 0.5), st.floats(0.2, 0.5))
def test_the_fit_describes_runs_that_follow_the_law(floor, size_power, data_power) -> None:
    true = scaling.ScalingLaw(floor, 40.0, size_power, 60.0, data_power, 0.0)
    runs = runs_of(true)
    found = scaling.fit_scaling(runs)
    assert found.error < 0.02
    between = found(3e5, 7e5) - true(3e5, 7e5)
    assert abs(between) < 0.05


def test_the_fit_says_how_far_off_it_is() -> None:
    true = scaling.ScalingLaw(2.0, 40.0, 0.3, 60.0, 0.3, 0.0)
    found = scaling.fit_scaling(runs_of(true, noise=0.1))
    assert 0.03 < found.error < 0.15
    assert found(1e7, 1e6) < found(1e5, 1e6) and found(1e6, 1e7) < found(1e6, 1e5)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [(lambda t: t.drop(columns="loss"), "no column loss"), (lambda t: t.head(4), "4 runs"),
     (lambda t: t.assign(tokens=0), "0 or less")],
)  # fmt: skip
def test_bad_runs_are_refused(spoil, message) -> None:
    with pytest.raises(BadInput, match=message):
        scaling.fit_scaling(spoil(runs_of(scaling.ScalingLaw(2.0, 40.0, 0.3, 60.0, 0.3, 0.0))))


def test_bert_base_by_hand() -> None:
    # 85 M weights in the layers, 6 operations a weight and token, 131 G tokens, and attention on top of it.
    least = 6 * 85e6 * 256 * 512 * 1e6
    assert least < scaling.bert_base_flops() < 1.5 * least
    assert scaling.days(86_400 * 1e12, 2e12, 0.5) == pytest.approx(1.0)
    with pytest.raises(BadInput, match=r"utilization 1\.5"):
        scaling.days(1.0, 1.0, 1.5)
