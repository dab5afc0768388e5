"""For all unit tests: no model hub, no window, no progress of tokenizers in parallel processes."""

from __future__ import annotations

import os

import matplotlib

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Not through MPLBACKEND: a Jupyter kernel that a test starts would inherit it and show no figure.
matplotlib.use("Agg")
