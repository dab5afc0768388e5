"""Arrays of bytes in the IDX format of MNIST (LeCun, Cortes and Burges, yann.lecun.com/exdb/mnist)."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from course_lib.errors import CorruptAsset


def read_idx(file: Path) -> NDArray[np.uint8]:
    """The array of an IDX file of bytes, compressed by gzip: 0, 0, 8, the number of axes, their lengths, the data.

    Raises:
        CorruptAsset: it is something else, or has another length than it says.
    """
    try:
        content = gzip.decompress(file.read_bytes())
        axes = content[3] if content[:3] == b"\0\0\x08" else 0
        shape = np.frombuffer(content, ">u4", axes, 4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise CorruptAsset(f"{file.name} is no IDX file of bytes: {error}", "fetch it again") from error
