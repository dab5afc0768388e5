"""Everything in `tests/simulated` runs on the simulated accelerator, in a process of its own: the device stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent


def test_on_the_simulated_accelerator() -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COURSE_PRESET"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS / "simulated")]
    done = subprocess.run(command, cwd=TESTS.parent, env=kept, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
