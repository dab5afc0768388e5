"""The browser runs only the cells that a notebook's widgets need: which these are is found by the names in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from needed_cells import RUN_WHOLE, cells_to_run, needed_cells, widget_cells
from notebook_cells import code_cells, find, read

IMPORTS = "import numpy as np\nfrom course_lib import plots, widgets"


@pytest.mark.parametrize(
    ("cells", "needed"),
    [
        pytest.param(["a = 1", "b = 2", "c = a", "c"], [0, 2, 3], id="names are followed backwards"),
        pytest.param(["a = 1", "a = 2", "a"], [1, 2], id="the last binding above counts"),
        pytest.param(["a = 1", "a", "a = 3"], [0, 1], id="what comes below does not"),
        pytest.param(["a = 1", "a = a + 1", "a"], [0, 1, 2], id="a cell reads before it binds"),
        pytest.param(["a = 1", "a += 1", "a"], [0, 1, 2], id="a cell adds to a name"),
        pytest.param(["a = 1", "a = 2\nprint(a)", "a"], [1, 2], id="a cell binds before it reads"),
        pytest.param(["a = 1", "if x:\n    a = 2", "a"], [0, 1, 2], id="one branch binds"),
        pytest.param(["i = 9", "for i in range(3):\n    j = i", "j"], [1, 2], id="a loop binds its variable"),
        pytest.param(["a = {}", "a['x'] = 1", "b = 3", "a"], [0, 1, 3], id="an item is set"),
        pytest.param(["a = A()", "a.b.c = 1", "a"], [0, 1, 2], id="an attribute is set"),
        pytest.param(["a = A()", "a.fit(1)", "b = a.score()", "a"], [0, 1, 3], id="a method is called for its effect"),
        pytest.param(["import torch", "torch.seed(0)", "torch.ones(1)"], [0, 2], id="a module does not change"),
        pytest.param([IMPORTS, "x = 1", "np.ones(3)"], [0, 2], id="imports"),
        pytest.param(["import a.b", "a.b.c"], [0, 1], id="a dotted import binds its first name"),
        pytest.param(["g = 1", "def f(h):\n    return g + h", "h = 2", "f(3)"], [0, 1, 3], id="globals of a function"),
        pytest.param(["x = 1", "f = lambda x: x", "f"], [1, 2], id="a parameter is no global"),
        pytest.param(["x = 1", "y = [1]", "[x for x in y]"], [1, 2], id="a comprehension has its own names"),
        pytest.param(["B = 1", "class A(B):\n    c = 2", "c = 3", "A.c"], [0, 1, 3], id="a class"),
        pytest.param(["def f(): ...", "f = check.f.or_reference(f)", "f(1)"], [0, 1, 2], id="an exercise"),
        pytest.param(["%matplotlib inline\na = 1", "a"], [0, 1], id="magic commands"),
        pytest.param(["p = 1", "with open(p) as f:\n    t = f.read()", "t"], [0, 1, 2], id="a with statement"),
    ],
)
def test_needed_cells(cells: list[str], needed: list[int]) -> None:
    assert needed_cells(cells, [needed[-1]]) == needed


def test_several_cells_are_wanted() -> None:
    assert needed_cells(["a = 1", "b = 2", "c = 3", "a", "b"], [3, 4]) == [0, 1, 3, 4]
    assert needed_cells(["a = 1"], []) == []


def test_widget_cells() -> None:
    cells = [
        IMPORTS,
        "widgets.pareto_explorer(x)",
        "front(x)",
        "from course_lib.widgets import front as f\nf(x)",
        "f(x)",
        "plots.front(widgets)",
    ]
    assert widget_cells(cells) == [1, 3]


@pytest.mark.parametrize("path", find(), ids=lambda path: path.stem)
def test_of_most_notebooks_the_browser_runs_few_cells(path: Path) -> None:
    sources = [cell.source if cell.cell_type == "code" else "" for cell in read(path).cells]
    shown, run = widget_cells(sources), cells_to_run(path)
    assert shown
    assert set(shown) <= set(run)
    assert all(sources[number] for number in run)
    if path.stem in RUN_WHOLE:
        assert len(run) == len(code_cells(read(path)))
    else:
        assert len(run) < len(code_cells(read(path))) / 2
