"""`python -m course_lib data`: fetch and verify data and weights."""

from __future__ import annotations

import argparse
import sys
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to fetch, or only to look."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="show what there is and its state; fetch nothing")
    what.add_argument("--verify", action="store_true", help="hash every file again; fetch nothing")
    what.add_argument("--refetch", metavar="NAME", help="throw one asset away and fetch it again")
    parser.add_argument("names", nargs="*", metavar="NAME", help="assets to fetch; all core assets when left out")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """The state of every asset; exit code 1 if a core one is not ready."""
    from course_lib import assets

    if options.refetch:
        assets.fetch(options.refetch, _say, refetch=True)
    elif options.verify:
        for name in options.names:
            assets.verify(name)
    elif not options.list:
        for name in options.names:
            assets.fetch(name, _say)
        if not options.names:
            assets.fetch_core(_say)
    found = assets.status(full=options.verify)
    ready = all(asset.state == "ready" for asset in found if asset.core)
    result = {
        "ok": ready,
        "cache": str(assets.cache_folder()),
        "assets": [
            {
                "name": a.name,
                "state": a.state,
                "package": f"{a.package}=={a.version}",
                "licence": a.licence,
                "what": a.what,
            }
            for a in found
        ],
    }
    lines = [f"{a.state:>8}  {a.name:<18} {a.package}=={a.version}  {a.what}" for a in found]
    return result, lines, int(not ready and not options.names)


def _say(line: str) -> None:
    print(line, file=sys.stderr)
