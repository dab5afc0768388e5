"""`python -m course_lib lab`: JupyterLab with the first notebook, trusted notebooks, and no dialog about news."""

from __future__ import annotations

import argparse
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from course_lib.commands.inputs import say

# Defaults of settings, below the user's own. Not through `--LabApp.app_settings_dir`: it would replace JupyterLab's.
SETTINGS = Path(__file__).parent / "jupyter"
EXTENSIONS = SETTINGS / "labextensions"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing beyond `--json`: unknown options are passed to JupyterLab."""


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """Fetches data that is missing, then runs JupyterLab until it is stopped with Ctrl-C."""
    from jupyterlab.labapp import LabApp

    from course_lib import assets

    assets.fetch_core(say)
    signatures = assets.cache_folder() / "jupyter"
    try:
        trust(signatures)
    except OSError as error:
        say(f"JupyterLab will not show stored widgets: {error}. Set COURSE_CACHE to a folder where you may write.")
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(
        filter(None, [str(SETTINGS), os.environ.get("JUPYTER_CONFIG_PATH")])
    )
    LabApp.launch_instance([*lab_options(signatures), *options.others])
    return {"ok": True}, [], 0


def lab_options(signatures: Path) -> list[str]:
    """Options of JupyterLab: it listens on this machine only, and keeps its token."""
    from course_lib.set_up import ROOT

    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return [
        f"--ServerApp.root_dir={ROOT}",
        "--ServerApp.ip=127.0.0.1",
        "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb",
        f"--NotebookNotary.data_dir={signatures}",
        f"--LabApp.extra_labextensions_path={EXTENSIONS}",
        *as_root,
    ]


def trust(signatures: Path) -> None:
    """Signs the course's notebooks as they are now, so that JupyterLab shows stored widgets. Changes no notebook.

    Args:
        signatures: folder of the key and the signatures.
    """
    import nbformat
    from nbformat.sign import NotebookNotary

    from course_lib.set_up import ROOT

    signatures.mkdir(parents=True, exist_ok=True)
    with NotebookNotary(data_dir=str(signatures)) as notary:
        for file in (ROOT / "notebooks").glob("*.ipynb"):
            with suppress(OSError, ValueError):  # JupyterLab reports a notebook that it cannot read
                notary.sign(nbformat.read(file, as_version=4))
