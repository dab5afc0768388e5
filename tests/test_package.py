"""`import course_lib` loads nothing heavy and changes nothing; errors say what is wrong and how to fix it."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import course_lib
from course_lib import errors

ROOT = Path(course_lib.__file__).parents[1]

LOOK = """
import json, logging, os, random, signal, sys, threading, warnings
def state():
    return {
        "environment": dict(os.environ), "folder": os.getcwd(), "threads": threading.active_count(),
        "path": list(sys.path), "filters": repr(warnings.filters), "signal": repr(signal.getsignal(signal.SIGINT)),
        "random": hash(random.getstate()), "handlers": repr(logging.getLogger().handlers), "hook": repr(sys.excepthook),
    }
before, modules = state(), set(sys.modules)
import course_lib
after = state()
changed = [k for k in before if before[k] != after[k]]
variables = dict(after["environment"].items() - before["environment"].items())
print(json.dumps({"changed": changed, "variables": variables, "new": sorted(set(sys.modules) - modules)}))
"""
WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


@pytest.fixture(scope="module")
def fresh_import() -> dict:
    """What `import course_lib` does to a fresh process."""
    return answer(LOOK)


def answer(program: str, **variables: str) -> dict:
    """What a fresh process prints; of the variables for OpenMP it has only those that are given."""
    others = {name: value for name, value in os.environ.items() if name not in WAITING}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=others | variables, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_import_loads_nothing_heavy(fresh_import):
    """It takes no time because nothing is loaded: torch alone takes seconds."""
    roots = {name.split(".")[0] for name in fresh_import["new"]}
    heavy = {"torch", "transformers", "pandas", "numpy", "sklearn", "scipy", "matplotlib", "ipywidgets", "shap", "peft"}
    assert not roots & heavy
    assert [name for name in fresh_import["new"] if name.startswith("course_lib")] == ["course_lib"]


def test_import_has_no_side_effects(fresh_import):
    assert fresh_import["changed"] == ["environment"]
    assert fresh_import["variables"] == {"GOMP_SPINCOUNT": "1000"}


@pytest.mark.parametrize("own", [{"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "active"}], ids=str)
def test_a_users_own_setting_for_openmp_is_kept(own):
    assert answer(LOOK, **own)["variables"] == {}


def test_the_setting_for_openmp_is_there_before_torch_is_loaded():
    look = """
import builtins, json, os
found, original = [], builtins.__import__
def watched(name, *rest):
    if name == "torch":
        found.append(os.environ.get("GOMP_SPINCOUNT"))
    return original(name, *rest)
builtins.__import__ = watched
from course_lib import TextClassifier
print(json.dumps({"found": found[0]}))
"""
    assert answer(look) == {"found": "1000"}


def test_nothing_is_set_when_torch_was_loaded_first():
    assert answer(LOOK.replace("before,", "sys.modules['torch'] = None\nbefore,"))["variables"] == {}


@pytest.mark.parametrize("name", course_lib.__all__)
def test_every_promised_name_is_there(name):
    assert getattr(course_lib, name) is not None
    assert name in dir(course_lib)


def test_every_promised_name_is_the_one_of_its_module():
    from course_lib.classifier import TextClassifier

    assert course_lib.TextClassifier is TextClassifier
    assert course_lib.CourseError is errors.CourseError
    assert set(course_lib._HOMES) == set(course_lib.__all__)


def test_an_unknown_name_is_an_attribute_error_that_lists_the_known_ones():
    with pytest.raises(AttributeError, match=r"no attribute 'TextClasifier'; it has .*TextClassifier"):
        course_lib.TextClasifier  # noqa: B018
    assert not hasattr(course_lib, "nothing")


def test_the_version_is_that_of_the_project_file():
    assert f'version = "{course_lib.__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_command_line_starts_without_torch():
    """`--help` answers at once."""
    look = "import sys; from course_lib.commands import parser; parser(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


SLOW_TO_LOAD = ("pandas", "scipy", "sklearn", "sympy", "torch._dynamo", "transformers.generation", "matplotlib", "peft")


def test_predict_loads_torch_and_little_else():
    """Most of the time of one sentence is the import of libraries."""
    look = f"""
import io, json, sys
from contextlib import redirect_stdout
from course_lib.commands import main
with redirect_stdout(io.StringIO()) as out:
    code = main(["predict", "--json", "a warm and funny film"])
(row,) = json.loads(out.getvalue())["predictions"]
loaded = [name for name in (*{SLOW_TO_LOAD}, "transformers") if name in sys.modules]
print(json.dumps({{"code": code, "label": row["label"], "loaded": loaded}}))
"""
    assert answer(look) == {"code": 0, "label": "positive", "loaded": []}


def test_a_decoder_is_built_without_what_trains_and_compiles_models():
    look = f"""
import json, sys
from course_lib import machine
from course_lib.generation import CausalLM, Decoder, DecoderConfig, Sampling, stream
with machine.init_empty_weights():
    decoder = Decoder(DecoderConfig())
decoder.fill_rotation_table()
print(json.dumps([name for name in (*{SLOW_TO_LOAD}, "course_lib.classifier") if name in sys.modules]))
"""
    assert answer(look) == []


def test_explain_loads_a_part_of_the_course():
    look = """
import json, sys
from course_lib.explain import explain
print(json.dumps([name for name in sys.modules if name.split(".")[0] == "course_lib"]))
"""
    assert len(answer(look)) <= 60


# Errors

FAMILY = [errors.BadInput, errors.MissingAsset, errors.CorruptAsset, errors.CheckpointError, errors.Offline]


@pytest.mark.parametrize("kind", FAMILY)
def test_an_error_shows_what_and_how_to_mend_it(kind):
    error = kind("there is no 'x'", "give 'y'")
    assert isinstance(error, errors.CourseError)
    assert (error.message, error.fix) == ("there is no 'x'", "give 'y'")
    assert str(error) == "there is no 'x'\n  To fix it: give 'y'"


def test_errors_are_caught_by_the_names_that_python_has_for_them():
    assert issubclass(errors.BadInput, ValueError) and issubclass(errors.MissingAsset, FileNotFoundError)


@pytest.mark.parametrize("kind", FAMILY)
def test_errors_travel_between_processes(kind):
    back = pickle.loads(pickle.dumps(kind("what", "how")))
    assert type(back) is kind and (back.message, back.fix) == ("what", "how")
