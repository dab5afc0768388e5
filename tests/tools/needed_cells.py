"""Which cells of a notebook its widgets need: found by the names that each cell binds, changes and reads."""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterator, Sequence
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager
from notebook_cells import read

RUN_WHOLE = ("00_start_here", "01_transformer_from_scratch")  # in the browser
WIDGETS = "course_lib.widgets"


class _Names(ast.NodeVisitor):
    """The names of one cell, in the order in which Python meets them.

    `needs` are read before the cell itself binds them, `binds` get a value here, `imports` are those of `binds` that
    an import binds, `changes` are objects with a new attribute or item, or with a method called for its effect alone.
    """

    def __init__(self, source: str) -> None:
        self.needs: set[str] = set()
        self.binds: set[str] = set()
        self.imports: set[str] = set()
        self.changes: set[str] = set()
        self.visit(ast.parse(TransformerManager().transform_cell(source)))

    def _read(self, names: set[str]) -> None:
        self.needs |= names - self.binds

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._read({node.id})
        else:
            self.binds.add(node.id)

    def _in_order(self, *parts: ast.AST | list[ast.stmt] | None) -> None:
        for part in parts:
            for node in part if isinstance(part, list) else [part]:
                if node is not None:
                    self.visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        self._in_order(node.value, *node.targets)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._in_order(node.value, node.target)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self._in_order(node.value, node.target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._read({node.target.id})
        self._in_order(node.value, node.target)

    def visit_For(self, node: ast.For) -> None:
        self._in_order(node.iter, node.target, node.body, node.orelse)

    def _perhaps(self, node: ast.If | ast.Try) -> None:
        """What is bound on one branch may still have its older value on another."""
        before = set(self.binds)
        self.generic_visit(node)
        self.needs |= self.binds - before

    visit_If = visit_Try = _perhaps

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        names = {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        self.binds |= names
        self.imports |= names

    visit_Import = visit_ImportFrom = _import

    def _scope(self, node: ast.AST) -> None:
        """A function, class or comprehension: it reads the names that are global inside it."""
        table = symtable.symtable(ast.unparse(node), "cell", "exec")
        own = {node.name} if isinstance(node, ast.FunctionDef | ast.ClassDef) else set()
        self._read(set(_global_names(table)) - own)
        self.binds |= own

    visit_FunctionDef = visit_ClassDef = visit_Lambda = _scope
    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _scope

    def visit_Attribute(self, node: ast.Attribute | ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.changes |= _owner(node)
        self.generic_visit(node)

    visit_Subscript = visit_Attribute

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute):
            self.changes |= _owner(node.value.func)
        self.generic_visit(node)


def _global_names(table: symtable.SymbolTable) -> Iterator[str]:
    yield from (symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced() and symbol.is_global())
    for inner in table.get_children():
        yield from _global_names(inner)


def _owner(node: ast.expr) -> set[str]:
    """The name at the left end of `model.module_.weight[0]`; no name where there is another expression."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def needed_cells(sources: Sequence[str], wanted: Sequence[int]) -> list[int]:
    """The numbers of the cells to run, in order, so that the `wanted` ones can be run.

    For each name that a cell reads, these are the last cell above it that binds the name, and the cells between that
    change the object. What an imported module does to itself (`torch.manual_seed(0)`) is no change.
    """
    cells = [_Names(source) for source in sources]
    modules = {name for cell in cells for name in cell.imports}
    chosen, waiting = set(wanted), list(wanted)
    while waiting:
        user = waiting.pop()
        for name in cells[user].needs:
            for above in range(user - 1, -1, -1):
                binds = name in cells[above].binds
                if (binds or name in cells[above].changes - modules) and above not in chosen:
                    chosen.add(above)
                    waiting.append(above)
                if binds:
                    break
    return sorted(chosen)


def widget_cells(sources: Sequence[str]) -> list[int]:
    """The cells that call something of `course_lib.widgets`, as `widgets.bits_slider(...)` or by an imported name."""
    return [number for number, source in enumerate(sources) if _calls_a_widget(source)]


def _calls_a_widget(source: str) -> bool:
    tree = ast.parse(TransformerManager().transform_cell(source))
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == WIDGETS]
    names = {alias.asname or alias.name for node in froms for alias in node.names}
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return any(
        (isinstance(call, ast.Attribute) and _owner(call) == {"widgets"})
        or (isinstance(call, ast.Name) and call.id in names)
        for call in calls
    )


def cells_to_run(path: Path) -> list[int]:
    """In the browser: all code cells of a notebook that is run whole, of another those that its widgets need."""
    sources = [cell.source if cell.cell_type == "code" else "" for cell in read(path).cells]
    if path.stem in RUN_WHOLE:
        return [number for number, source in enumerate(sources) if source.strip()]
    return needed_cells(sources, widget_cells(sources))
