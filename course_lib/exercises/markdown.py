"""Markdown of the exercises as HTML that needs no network: formulas become MathML, which browsers show themselves."""

from __future__ import annotations

import functools
import html
from typing import Any

_PLUGINS = ("math", "table", "strikethrough")


def _known(formula: str) -> str:
    r"""The formula in commands that latex2mathml knows: it has no \arg."""
    return html.unescape(formula).replace("\\arg\\", "\\operatorname{arg}\\")


@functools.cache
def _converter() -> Any:
    import mistune
    from latex2mathml.converter import convert

    class _Renderer(mistune.HTMLRenderer):
        def inline_math(self, text: str) -> str:
            return convert(_known(text))

        def block_math(self, text: str) -> str:
            return convert(_known(text), display="block") + "\n"

    return mistune.create_markdown(renderer=_Renderer(escape=False), plugins=list(_PLUGINS))


def to_html(text: str) -> str:
    """The HTML of a Markdown text, `$formulas$` as MathML; HTML inside the text stays as it is."""
    shown: str = _converter()(text)
    return shown.strip()


def to_inline_html(text: str) -> str:
    """The same for words within a line: "1. First" is no list here."""
    converter = _converter()
    state = converter.block.state_cls()
    shown: str = converter.renderer(converter.inline(text, state.env), state)
    return shown
