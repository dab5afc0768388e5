"""One benchmark's results: printed for people, written as JSON after every row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from course_lib.assets.files import write_atomically

from .claims import Claim, table
from .surroundings import load, slug, surroundings

RESULTS = Path(__file__).resolve().parents[1] / "results"


class Report:
    """Rows and claims of one benchmark, in `results/<benchmark>-<device>.json`.

    Args:
        benchmark: its name.
        settings: what a row depends on besides device and versions.
        trial: a run with fewer rows than the real one; its file ends in `-trial.json` and is no result.
        folder: where the file goes.
    """

    def __init__(self, benchmark: str, settings: dict[str, Any], trial: bool, folder: Path = RESULTS) -> None:
        self.content: dict[str, Any] = {"benchmark": benchmark, "trial": trial, **surroundings(), "settings": settings}
        self.content |= {"load_before": load(), "rows": [], "claims": []}
        name = slug(f"{benchmark} {self.content['device']['name']}") + ("-trial" if trial else "")
        self.file = folder / f"{name}.json"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Rows so far."""
        rows: list[dict[str, Any]] = self.content["rows"]
        return rows

    def add(self, row: dict[str, Any]) -> None:
        """Keeps a row, on the disk too: what was measured before an abort is not lost."""
        self.rows.append(row)
        self.save()

    def resume(self) -> int:
        """Takes over the rows of an earlier run under the same conditions; gives their number."""
        if self.file.exists():
            earlier = json.loads(self.file.read_text(encoding="utf-8"))
            if same_conditions(earlier, self.content):
                self.rows.extend(earlier["rows"])
        return len(self.rows)

    def close(self, heading: Sequence[str], lines: Sequence[Sequence[str]], claims: Sequence[Claim]) -> None:
        """Prints the table and the claims, and writes the file."""
        device = self.content["device"]
        print(f"\n{self.content['benchmark']} on {device['name']}, {device['threads']} threads, {self.content['date']}")
        print(table([heading, *lines]))
        for claim in claims:
            print(claim)
        self.content["claims"] = [claim.to_dict() for claim in claims]
        self.save()
        print(f"written: results/{self.file.name}" + (" (a trial: not a result)" if self.content["trial"] else ""))

    def save(self) -> None:
        """Writes the file; a broken-off write leaves the earlier one."""
        write_atomically(self.file, json.dumps(self.content, indent=1) + "\n")


def same_conditions(earlier: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether rows of an earlier file may stand beside rows measured now."""
    return all(earlier.get(key) == now[key] for key in ("benchmark", "trial", "device", "versions", "settings"))
