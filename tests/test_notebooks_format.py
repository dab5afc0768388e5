"""Every stored notebook keeps the rules, every rule catches what it is for, and nbval compares what we count."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import notebook_cells
import pytest
import run_notebooks
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebook_cells import NOTEBOOKS, ROOT, Coverage, coverage, find, normalise, put_widget_pictures, read
from notebook_rules import RULES

FIRST = {"00_start_here.ipynb", "03_finetuning_bert.ipynb"}


def test_there_are_notebooks() -> None:
    assert {path.name for path in find()} >= FIRST


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("path", find(), ids=lambda path: path.stem)
def test_notebook_keeps(path: Path, rule: str) -> None:
    assert list(RULES[rule](read(path))) == []


@pytest.mark.parametrize("path", find(), ids=lambda path: path.stem)
def test_notebook_is_stored_in_normal_form(path: Path) -> None:
    stored = read(path)
    assert normalise(read(path)) == stored


@pytest.mark.parametrize("path", find(), ids=lambda path: path.stem)
def test_every_notebook_is_linked_from_the_first_and_from_the_readme(path: Path) -> None:
    first = "\n".join(cell.source for cell in read(NOTEBOOKS / "00_start_here.ipynb").cells)
    assert path.name == "00_start_here.ipynb" or f"]({path.name})" in first
    assert f"](notebooks/{path.name})" in (ROOT / "README.md").read_text(encoding="utf-8")


def good() -> NotebookNode:
    """A small notebook that keeps every rule."""
    printed = new_output("stream", name="stdout", text="accuracy 0.86\n")
    raised = new_output("error", ename="ValueError", evalue="empty", traceback=["ValueError: empty"])
    cells = [
        new_markdown_cell("# Title"),
        new_code_cell("print('accuracy 0.86')", outputs=[printed], execution_count=1),
        new_code_cell("6 * 7", outputs=[new_output("execute_result", {"text/plain": "42"})], execution_count=2),
        new_code_cell("raise ValueError('empty')", outputs=[raised], execution_count=3),
    ]
    cells[3].metadata.tags = ["raises-exception"]
    return normalise(new_notebook(cells=cells))


def _count_twice(notebook: NotebookNode) -> None:
    notebook.cells[2].execution_count = 7


def _raise_untagged(notebook: NotebookNode) -> None:
    notebook.cells[3].metadata.tags = []


def _raise_nothing(notebook: NotebookNode) -> None:
    notebook.cells[3].outputs = []


def _long_cell(notebook: NotebookNode) -> None:
    notebook.cells[1].source = "\n".join(["x = 1"] * 20)


def _source(text: str) -> Callable[[NotebookNode], None]:
    def change(notebook: NotebookNode) -> None:
        notebook.cells[1].source = text

    return change


def _printed(text: str) -> Callable[[NotebookNode], None]:
    def change(notebook: NotebookNode) -> None:
        notebook.cells[1].outputs[0].text = text

    return change


def _other_kernel(notebook: NotebookNode) -> None:
    notebook.metadata.kernelspec.name = "conda-env-mine"


def _widget_state(notebook: NotebookNode) -> None:
    notebook.metadata.widgets = {}


def _same_id(notebook: NotebookNode) -> None:
    notebook.cells[1].id = notebook.cells[2].id


def _widget_view(notebook: NotebookNode) -> None:
    notebook.cells[2].outputs[0].data[notebook_cells.WIDGET] = {"model_id": "1"}


def _drawing(notebook: NotebookNode) -> None:
    notebook.cells[2].outputs[0].data["image/svg+xml"] = "<svg/>"


def _nothing_compared(notebook: NotebookNode) -> None:
    for cell in notebook.cells[1:3]:
        cell.metadata.tags = ["nbval-ignore-output"]


def _widget_without_a_picture(notebook: NotebookNode) -> None:
    notebook.cells[2].outputs[0].data["text/plain"] = "VBox(children=(Text(value=''),))"


def _picture_without_words(notebook: NotebookNode) -> None:
    notebook.cells[2].outputs[0].data["image/png"] = "aGk="


def _many_words(notebook: NotebookNode) -> None:
    folded = "<details><summary>Hint 1</summary>\n\nmore words\n\n</details>"
    notebook.cells[0].source = f"# Title\n\n{'word ' * 5_000}\n\n{folded}\n\n## References\n\n- A paper."


def _many_cells(notebook: NotebookNode) -> None:
    notebook.cells += [notebook.cells[1]] * 56


FOLDER = "/".join(["", "home", "ann", "course"])  # written so that this file holds no absolute path itself
BAD = [
    ("executed in order", _count_twice, "execution counts"),
    ("errors only where tagged", _raise_untagged, "not tagged"),
    ("errors only where tagged", _raise_nothing, "raises nothing"),
    ("short cells", _long_cell, "20 lines"),
    ("no shell and no fetching", _source("%pip install torch"), "%pip"),
    ("no shell and no fetching", _source("!ls"), "!"),
    ("no shell and no fetching", _source("run('wget x')"), "wget"),
    ("no path or name of a machine", _printed(f"see {FOLDER}/x.py"), "absolute path"),
    ("no path or name of a machine", _source(f"open('{FOLDER}')"), "absolute path"),
    ("no path or name of a machine", _source("open('C:\\\\Users')"), "absolute path"),
    ("no progress bars", _printed(" 50%|█████     | 5/10 [00:01<00:01, 5.0it/s]"), "progress bar"),
    ("kernel python3 and plain metadata", _other_kernel, "not python3"),
    ("kernel python3 and plain metadata", _widget_state, "widgets"),
    ("kernel python3 and plain metadata", _same_id, "twice"),
    ("pictures that may differ", _widget_view, "widget"),
    ("pictures that may differ", _drawing, "SVG"),
    ("small file", _printed("x" * 400_001), "bytes"),
    ("enough cells compared", _nothing_compared, "compared 1 of 3"),
    ("pictures that may differ", _widget_without_a_picture, "make pictures"),
    ("pictures that may differ", _picture_without_words, "no text alternative"),
    ("one sitting", _many_words, "5,002 words"),
    ("one sitting", _many_cells, "59 code cells"),
]


@pytest.mark.parametrize("rule", RULES)
def test_a_good_notebook_keeps(rule: str) -> None:
    assert list(RULES[rule](good())) == []


@pytest.mark.parametrize(("rule", "spoil", "words"), BAD, ids=[f"{rule}: {words}" for rule, _, words in BAD])
def test_rule_catches(rule: str, spoil: Callable[[NotebookNode], None], words: str) -> None:
    notebook = good()
    spoil(notebook)
    assert words in " ".join(RULES[rule](notebook))


def test_every_rule_has_a_bad_case() -> None:
    assert {rule for rule, _, _ in BAD} == set(RULES)


def test_pictures_and_widgets_are_not_counted_as_compared() -> None:
    figure = {"image/png": "aGk=", "text/plain": "<Figure size 640x480 with 1 Axes>"}
    shown = [figure, {"text/plain": "VBox(children=(Text(value='hi'),))"}, {"text/plain": "0.86"}]
    cells = [new_code_cell("x", outputs=[new_output("display_data", data)]) for data in shown]
    assert coverage(new_notebook(cells=[*cells, new_code_cell("def f(): ..."), new_code_cell("")])) == Coverage(1, 4)


def test_normal_form_drops_what_differs_by_run() -> None:
    notebook = good()
    first, second = notebook.cells[1], notebook.cells[2]
    notebook.metadata["widgets"] = {"state": {}}
    first.metadata["execution"] = {"iopub.status.busy": "2026"}
    first.outputs.append(new_output("stream", name="stderr", text="\r 50%|#####     | 5/10 [00:01<00:01, 5.0it/s]"))
    second.outputs[0].data[notebook_cells.WIDGET] = {"model_id": "1"}
    trace = f'File {FOLDER}/.venv/lib/python3.12/site-packages/torch/nn.py:3\nFile "{FOLDER}/course_lib/plots.py"'
    notebook.cells[3].outputs[0].traceback = [trace]
    cleaned = normalise(notebook)
    assert [list(rule(cleaned)) for rule in RULES.values()] == [[]] * len(RULES)
    assert cleaned.cells[3].outputs[0].traceback == ['File site-packages/torch/nn.py:3\nFile "course_lib/plots.py"']
    assert cleaned.cells[1].outputs == good().cells[1].outputs


def test_a_picture_keeps_its_text_alternative() -> None:
    notebook = good()
    output = notebook.cells[2].outputs[0]
    output.data = NotebookNode({"image/png": "aGk=", "text/plain": "VBox(children=(Text(value=''),))"})
    words = {"6 * 7": [("aGk=", "Widget: 42")]}
    assert notebook_cells.widget_pictures(put_widget_pictures(normalise(notebook), words))["6 * 7"] == words["6 * 7"]
    assert list(RULES["pictures that may differ"](notebook)) == []


@pytest.fixture(scope="module", autouse=True)
def environment() -> Iterator[None]:
    """The tool sets variables for the kernels that it starts; other files' tests must not meet them."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A notebook of each kind of cell, executed and stored by our own tool."""
    sources = ["# NBVAL_IGNORE_OUTPUT\nimport time\ntime.time()", "print('accuracy 0.86')", "6 * 7", "1 / 0"]
    cells = [new_code_cell(source) for source in [*sources, "from IPython.display import Image"]]
    cells += [new_code_cell("import os, base64\nImage(base64.b64decode('iVBORw0KGgo=') + os.urandom(4), format='png')")]
    cells[3].metadata.tags = ["raises-exception"]
    path = tmp_path_factory.mktemp("executed") / "small.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    assert run_notebooks.store([path]) == 0
    return path


@pytest.fixture
def stored(executed: Path, tmp_path: Path) -> Path:
    """A copy of that notebook for one test."""
    (tmp_path / "notebooks").mkdir()
    return Path(shutil.copy(executed, tmp_path / "notebooks"))


def spoilt(path: Path, changes: list[tuple[int, str, str]]) -> Path:
    """A copy of the notebook in which a word of the outputs of some cells is another."""
    notebook = read(path)
    for number, was, now in changes:
        outputs = json.dumps(notebook.cells[number].outputs)
        assert was in outputs
        notebook.cells[number].outputs = nbformat.from_dict(json.loads(outputs.replace(was, now)))
    copy = path.with_name("spoilt.ipynb")
    nbformat.write(notebook, copy)
    return copy


@pytest.mark.slow
def test_strict_nbval_passes_what_is_stored_and_no_other_text(
    stored: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert coverage(read(stored)) == Coverage(3, 6)
    copy = spoilt(stored, [(1, "0.86", "0.87"), (2, "42", "43"), (3, "by zero", "by one")])
    assert run_notebooks.check([stored, copy], tmp_path / "report.xml") == 1
    table = capfd.readouterr().out
    assert re.search(r"^small.ipynb +6 .* 3 \(50%\)  passed$", table, flags=re.MULTILINE)
    for number in (1, 2, 3):
        assert f"spoilt.ipynb, Cell {number}: Cell {number}: Cell outputs differ" in table


def test_a_check_that_was_killed_is_not_green(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_notebooks, "_check_one", lambda *_: -9)
    assert run_notebooks.check([stored], tmp_path / "report.xml") == 1
    assert "no cell was run" in capsys.readouterr().out


def test_an_edited_notebook_is_put_into_its_stored_form(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_notebooks.form([stored]) == 0
    assert capsys.readouterr().out == ""  # it has that form already
    edited = read(stored)
    edited.cells[0].id = "mine"
    nbformat.write(edited, stored)
    assert run_notebooks.form([stored]) == 0
    assert "put into its stored form" in capsys.readouterr().out
    assert read(stored) == normalise(read(stored))
    assert read(stored).cells[0].id != "mine"


def test_a_failing_notebook_is_left_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "broken.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("print(1)"), new_code_cell("1 / 0")]), path)
    before = path.read_bytes()
    assert run_notebooks.store([path]) == 1
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]
    assert "ZeroDivisionError" in capsys.readouterr().out
