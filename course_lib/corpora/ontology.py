"""Ontologies in the OBO format: terms with names, definitions and what each is a kind of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from course_lib.errors import BadInput, CorruptAsset

_DEFINITION = re.compile(r'"((?:\\.|[^"\\])*)"')


@dataclass(frozen=True)
class Term:
    """A term of the ontology: its name, its definition ("" where it has none) and the ids of its parents."""

    name: str
    definition: str
    parents: tuple[str, ...]


def parse_obo(text: str) -> dict[str, Term]:
    """The terms of an OBO file by id, without obsolete ones (format: OBO 1.2, owlcollab.github.io/oboformat).

    Raises:
        BadInput: this is no text.
        CorruptAsset: there is no term, or a term without an id or a name.
    """
    if not isinstance(text, str):
        raise BadInput(f"the ontology is a {type(text).__name__}", "pass its text: path.read_text(encoding='utf-8')")
    terms = {}
    for stanza in text.replace("\r\n", "\n").split("\n\n"):
        kind, *lines = stanza.strip().splitlines() or [""]
        tags: dict[str, list[str]] = {}
        for key, _, value in (line.partition(": ") for line in lines):
            tags.setdefault(key, []).append(value)
        if kind == "[Term]" and "is_obsolete" not in tags:
            if missing := {"id", "name"} - tags.keys():
                raise CorruptAsset(
                    f"a term has no {min(missing)}: {' '.join(lines)[:60]!r}", "correct or fetch the file"
                )
            quoted = _DEFINITION.match(tags.get("def", [""])[0])
            definition = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else ""
            parents = tuple(value.split()[0] for value in tags.get("is_a", []))
            terms[tags["id"][0]] = Term(tags["name"][0], definition, parents)
    if not terms:
        raise CorruptAsset("the ontology has no [Term]", "fetch it again, or give the text of an OBO file")
    return terms


def depths(terms: Mapping[str, Term], root: str) -> dict[str, int]:
    """Steps from the root down to each term below it, by the shortest way.

    Raises:
        BadInput: there is no such root.
    """
    if root not in terms:
        raise _unknown(terms, root)
    children: dict[str, list[str]] = {}
    for name, term in terms.items():
        for parent in term.parents:
            children.setdefault(parent, []).append(name)
    found, level = {root: 0}, [root]
    while level:
        below = [child for parent in level for child in children.get(parent, []) if child not in found]
        found |= dict.fromkeys(below, found[level[0]] + 1)
        level = list(dict.fromkeys(below))
    return found


def ancestors(terms: Mapping[str, Term], name: str) -> set[str]:
    """The term itself and all that it is a kind of.

    Raises:
        BadInput: this term, or a parent of it, is not in the ontology.
    """
    found, open_ = {name}, [name]
    while open_:
        if (current := open_.pop()) not in terms:
            raise _unknown(terms, current)
        new = set(terms[current].parents) - found
        found |= new
        open_ += new
    return found


def _unknown(terms: Mapping[str, Term], name: str) -> BadInput:
    example = next(iter(terms), "none: it is empty")
    return BadInput(f"the ontology has no term {name!r}", f"use one of its ids, such as {example}")
