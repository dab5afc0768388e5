"""Tables that come with packages: CSV, Parquet and pickles of plain columns, checked before anything uses them."""

from __future__ import annotations

import lzma
import pickle
import warnings
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from course_lib import assets
from course_lib.errors import BadInput, CorruptAsset

# All that a pickled frame of numbers and texts is made of. No name in it can run code of the file's choosing.
_PLAIN_FRAME = {
    "builtins": {"slice"},
    "numpy": {"dtype", "ndarray"},
    "pandas": {"DataFrame", "Index", "RangeIndex"},
    "numpy._core.multiarray": {"_reconstruct"},
    "numpy._core.numeric": {"_frombuffer"},
    "pandas._libs.internals": {"_unpickle_block"},
    "pandas.core.frame": {"DataFrame"},
    "pandas.core.indexes.base": {"Index", "_new_Index"},
    "pandas.core.indexes.range": {"RangeIndex"},
    "pandas.core.internals.managers": {"BlockManager"},
}


# Errors of damaged files; BadGzipFile and UnicodeDecodeError are among them.
_NOT_READABLE = (
    ValueError, EOFError, OSError, zlib.error, lzma.LZMAError, pickle.UnpicklingError, AttributeError, ImportError,
)  # fmt: skip


class _FrameUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core.", "numpy._core.")  # its name before NumPy 2
        if name not in _PLAIN_FRAME.get(module, ()):
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no table of plain columns needs")
        return super().find_class(module, name)


def read_table(asset: str, columns: Sequence[str], *, separator: str = ",") -> pd.DataFrame:
    """The table of an asset that is one file; its hash is checked before it is opened.

    Args:
        asset: its name in data/manifest.toml. The kind is known by the file's name: `.csv` (also `.csv.gz`, `.inter`,
            `.item`), `.parquet.brotli`, or `.pkl.compress` (an xz-compressed pickle).
        columns: those that the caller reads, in the order in which they are returned.
        separator: of a CSV file.

    Raises:
        Offline: the asset is missing and cannot be fetched.
        CorruptAsset: it has another hash, cannot be read, lacks a column, or is a pickle of more than plain columns.
    """
    return read_table_file(assets.path(asset), columns, separator=separator)


def read_table_file(file: Path, columns: Sequence[str], *, separator: str = ",") -> pd.DataFrame:
    """The table of one file; see `read_table`. A pickle must come from a source whose hash was checked."""
    try:
        frame = _read(file, separator)
    except _NOT_READABLE as error:
        raise CorruptAsset(
            f"{file.name} cannot be read: {error}", "fetch the file again, from a source you trust"
        ) from error
    if not isinstance(frame, pd.DataFrame):
        raise CorruptAsset(f"{file.name} holds a {type(frame).__name__}, not a table", "fetch the file again")
    if lacking := [name for name in columns if name not in frame]:
        raise CorruptAsset(
            f"{file.name} has no column {lacking[0]!r}; its columns are {', '.join(map(str, frame))}",
            "fetch the file again; a table of your own needs the same names",
        )
    return frame[list(columns)].copy()


def _read(file: Path, separator: str) -> Any:
    with warnings.catch_warnings():  # of old pickles about their own form, of fastparquet about an option of pandas
        warnings.simplefilter("ignore")
        if file.name.endswith(".pkl.compress"):
            return _FrameUnpickler(BytesIO(lzma.decompress(file.read_bytes()))).load()
        if file.name.endswith(".parquet.brotli"):
            from fastparquet import ParquetFile

            return ParquetFile(str(file)).to_pandas()
        return pd.read_csv(file, sep=separator)


def reject_missing(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raises BadInput that names the first missing value of these columns."""
    for name in columns:
        if (missing := frame[name].isna()).any():
            raise BadInput(
                f"column {name!r} lacks {int(missing.sum())} values, the first in row {missing.idxmax()}",
                "fill them or drop these rows first",
            )
