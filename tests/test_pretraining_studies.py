"""Studies of small pretraining runs, and the cost of a large one."""

import pytest

from course_lib.encoder import parameter_count
from course_lib.errors import BadInput
from course_lib.pretraining import flops, studies

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
    assert set(masked["loss_by_mask_type"]) == {"masked", "kept", "random"} and "loss_by_mask_type" not in causal
    assert len(masked["losses_at_masks"]) == 128 and min(masked["losses_at_masks"]) > 0
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


def test_a_study_can_begin_with_short_rows() -> None:
    assert studies.study_recipe({"first_lengths": [16, 32]}).lengths == (16, 32, 64, 64, 64, 64, 64, 64)


def test_twice_the_tokens_are_twice_the_work() -> None:
    cost = studies.pretraining_study.cost
    assert cost(QUICK | {"tokens": 16384}) == pytest.approx(2 * cost(QUICK | {"tokens": 8192}))
    assert cost(QUICK | {"width": 64}) > cost(QUICK)


def test_bert_base_by_hand() -> None:
    # 85 M weights in the layers, 6 operations a weight and token, 131 G tokens, and attention on top of it.
    least = 6 * 85e6 * 256 * 512 * 1e6
    assert least < flops.bert_base_flops() < 1.5 * least
    assert flops.days(86_400 * 1e12, 2e12, 0.5) == pytest.approx(1.0)
    with pytest.raises(BadInput, match=r"utilization 1\.5"):
        flops.days(1.0, 1.0, 1.5)
