"""Sentence templates, as voice assistants list what they understand: parsed, and drawn from.

A template is text with `(a|b)` for a choice, `[a]` for an optional part, `(a;b)` for parts in any order, `<rule>` for a
named part and `{slot}` for a value (the format of the library hassil).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from course_lib.errors import BadInput

_TOKEN = re.compile(r"<[^>]*>|\{[^}]*\}|[()\[\]|;]|[^()\[\]|;<{]+")
_CLOSING = {"(": ")", "[": "]"}


class Group(NamedTuple):
    """A part of a template. Each option is a list of texts, `<rules>`, `{slots}` and groups."""

    options: list[list[Any]]
    in_any_order: bool = False
    optional: bool = False


def parse(template: str) -> Group:
    """The structure of a template.

    Raises:
        BadInput: a bracket that is not closed, or closed without being opened.
    """
    tokens = iter(_TOKEN.findall(template))
    group = _parse_group(tokens, "", template)
    if next(tokens, None) is not None:
        raise BadInput(f"the template {template!r} closes a bracket that is not open", "remove it")
    return group


def _parse_group(tokens: Iterator[str], closing: str, template: str) -> Group:
    options: list[list[Any]] = [[]]
    in_any_order = False
    for token in tokens:
        if token in (")", "]"):
            if token != closing:
                break
            return Group(options, in_any_order, closing == "]")
        if token in ("|", ";"):
            in_any_order = token == ";"
            options.append([])
        else:
            part = _parse_group(tokens, _CLOSING[token], template) if token in _CLOSING else token
            options[-1].append(part)
    else:
        if not closing:
            return Group(options, in_any_order)
    raise BadInput(f"brackets do not match in the template {template!r}", "close each ( with ) and each [ with ]")


@dataclass(frozen=True)
class Grammar:
    """What templates mean.

    Attributes:
        rules: name -> the template that `<name>` stands for.
        slots: name -> templates of its values, of which `{name}` or `{name:role}` takes one.
    """

    rules: Mapping[str, str]
    slots: Mapping[str, Sequence[str]]

    def draw(self, template: str, rng: random.Random) -> str:
        """One sentence of a template, each choice by chance.

        Raises:
            BadInput: brackets that do not match, or a rule or slot without a meaning.
        """
        return " ".join(self._draw(parse(template), rng).split())

    def sentences(self, template: str, most: int) -> list[str]:
        """Up to `most` different sentences of a template, the same ones on every machine.

        Raises:
            BadInput: `most` is not a whole number from 1 on; otherwise as `draw`.
        """
        if not isinstance(most, int) or most < 1:
            raise BadInput(f"the number of sentences for a template is {most!r}", "use a whole number from 1 on")
        rng = random.Random(template)
        return list(dict.fromkeys(self.draw(template, rng) for _ in range(4 * most)))[:most]

    def _draw(self, part: Any, rng: random.Random) -> str:
        if isinstance(part, str):
            return self._named(part, rng)
        if part.optional and rng.random() < 0.5:
            return ""
        options = rng.sample(part.options, len(part.options)) if part.in_any_order else [rng.choice(part.options)]
        return " ".join("".join(self._draw(one, rng) for one in option) for option in options)

    def _named(self, text: str, rng: random.Random) -> str:
        name = text[1:-1].split(":")[0]
        if text[0] not in "<{":
            return text
        meanings = [self.rules[name]] if text[0] == "<" and name in self.rules else self.slots.get(name, ())
        if not meanings:
            raise BadInput(f"{text} has no meaning", "add it to the rules or slots of the grammar")
        return self._draw(parse(rng.choice(meanings)), rng)
