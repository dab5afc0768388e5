"""`python -m course_lib data`: fetch and verify data and weights."""

from __future__ import annotations

import argparse
from typing import Any

from course_lib.commands.inputs import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to fetch, or only to show."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="show what there is and its state; fetch nothing")
    what.add_argument("--verify", action="store_true", help="hash every file again; fetch nothing")
    what.add_argument("--refetch", metavar="NAME", help="throw one asset away and fetch it again")
    parser.add_argument("names", nargs="*", metavar="NAME", help="assets to fetch; all core assets when left out")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """The state of every asset; exit code 1 if a core one is not ready."""
    from course_lib import assets

    if options.refetch:
        assets.fetch(options.refetch, say, refetch=True)
    elif options.verify:
        for name in options.names:
            assets.verify(name)
    elif not options.list:
        for name in options.names:
            assets.fetch(name, say)
        if not options.names:
            assets.fetch_core(say)
    states, known = assets.status(full=options.verify), assets.read_manifest().values()
    ready = all(states[asset.name] == "ready" for asset in known if asset.core)
    rows = [
        {"name": asset.name, "state": states[asset.name], "package": asset.pin, "licence": asset.licence,
         "what": asset.what}
        for asset in known
    ]  # fmt: skip
    lines = ["{state:>8}  {name:<21} {package}  {what}".format(**row) for row in rows]
    result = {"ok": ready, "cache": str(assets.cache_folder()), "assets": rows}
    return result, lines, int(not ready and not options.names)
