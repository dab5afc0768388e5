"""The versions this project was tested with: every package it pulls in, with its exact version.

`python tests/tools/pins.py > constraints.txt` writes them again from the environment it runs in.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution

from course_lib.set_up import canonical, direct_requirements

HEADER = """\
# Exact versions that every notebook and test was run with, on Python 3.11.
# Written by `python tests/tools/pins.py` from a tested environment; ranges stand in pyproject.toml.
"""


def installed_closure() -> dict[str, str]:
    """Name and version of each package that the project pulls in here, in canonical order of names.

    A local label ("+cpu") is left out, so that the same pin holds for every build of that version.
    """
    from packaging.requirements import Requirement

    found: dict[str, str] = {}
    asked: set[tuple[str, str]] = set()
    queue = [Requirement(line) for line in direct_requirements(["test"])]
    while queue:
        requirement = queue.pop()
        new = {(canonical(requirement.name), extra) for extra in ("", *requirement.extras)} - asked
        if not new:
            continue
        asked |= new
        try:
            package = distribution(requirement.name)
        except PackageNotFoundError as error:
            raise SystemExit(f"{requirement.name} is not installed here: run `make test` first") from error
        found[package.name] = package.version.split("+")[0]
        needs = [Requirement(line) for line in package.requires or []]
        queue += [need for need in needs if any(_wanted(need, extra) for _, extra in new)]
    return dict(sorted(found.items(), key=lambda item: canonical(item[0])))


def _wanted(need: object, extra: str) -> bool:
    marker = need.marker  # type: ignore[attr-defined]
    return marker is None or bool(marker.evaluate({"extra": extra}))


if __name__ == "__main__":
    print(HEADER + "\n".join(f"{name}=={version}" for name, version in installed_closure().items()))
