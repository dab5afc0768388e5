"""From data/manifest.toml to verified local files: texts, weights and word lists of the course.

from course_lib import assets
folder = assets.path("course_encoder")      # fetched when missing, sha256-checked once per process
"""

from course_lib.assets.manifest import cache_folder, content_sha256, data_folder, data_sha256, read_manifest
from course_lib.assets.store import fetch, fetch_core, path, status, verify

__all__ = [
    "cache_folder",
    "content_sha256",
    "data_folder",
    "data_sha256",
    "fetch",
    "fetch_core",
    "path",
    "read_manifest",
    "status",
    "verify",
]
