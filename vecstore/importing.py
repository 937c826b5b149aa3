"""Ready-made vectors: from a .npy or Parquet file to unit rows and the paths that they belong to. Knows no store."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecstore import images
from vecstore.catalog import FileStamp
from vecstore.errors import BadInput
from vecstore.paths import absolute
from vecstore.scan import read_list

BLOCK_ROWS = 4_096


def load(vectors: Path, paths: Path | None) -> tuple[NDArray[Any], list[bytes]]:
    """Return the vectors, (n, dim) of floats, mapped where they can be, and the n paths, absolute.

    vectors: .npy, or Parquet with a column `vector` of lists. paths: a list, a path a line or NUL-separated; may be
    left out for Parquet with a column `path`. Raises BadInput for anything else, and if the numbers differ.
    """
    rows, named = _parquet(vectors) if vectors.suffix.lower() in (".parquet", ".pq") else (_npy(vectors), [])
    if paths is not None:
        named = read_list(_bytes_of(paths))
    if rows.ndim != 2 or not np.issubdtype(rows.dtype, np.floating):
        raise BadInput(
            f"{vectors} holds {rows.dtype} of shape {rows.shape}; (n, dim) floating-point numbers are wanted"
        )
    if not named:
        raise BadInput(f"there are no paths for the vectors of {vectors}; name a file with one path a line")
    if len(named) != len(rows):
        raise BadInput(f"{vectors} holds {len(rows)} vectors, but there are {len(named)} paths; they must be as many")
    return rows, [absolute(path) for path in named]


def unit_blocks(rows: NDArray[Any], source: Path) -> Iterator[NDArray[np.float32]]:
    """Yield the rows in blocks, (m, dim) float32, each of length 1. Raises BadInput for a row that has no direction."""
    for start in range(0, len(rows), BLOCK_ROWS):
        block = np.asarray(rows[start : start + BLOCK_ROWS], np.float64)
        lengths = np.linalg.norm(block, axis=1)
        bad = np.flatnonzero(~((lengths > 0) & np.isfinite(lengths)))
        if len(bad):
            raise BadInput(f"vector {start + bad[0]} of {source} is of length {lengths[bad[0]]}; nothing was imported")
        yield (block / lengths[:, None]).astype(np.float32)


def identify(path: bytes) -> tuple[FileStamp, bytes, str | None]:
    """Return a path's stamp, its content's sha256, and why the file cannot be read, if it is there and cannot.

    A file that is not there, or not a file at all (an address), is known by its path alone.
    """
    if not os.path.lexists(path):
        return FileStamp(path, 0, 0), hashlib.sha256(b"vecstore path\0" + path).digest(), None
    try:
        content = images.read(path)
    except images.Unreadable as error:
        return FileStamp(path, 0, 0), b"", str(error)
    return FileStamp(path, content.size, content.mtime_ns), content.sha256, None


def _npy(path: Path) -> NDArray[Any]:
    try:
        rows: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(f"{path} cannot be read as .npy: {error}") from error
    return rows


def _parquet(path: Path) -> tuple[NDArray[Any], list[bytes]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise BadInput(
            f"reading {path} needs pyarrow; install vecstore[parquet], or give the vectors as .npy"
        ) from error
    try:
        table = pyarrow.parquet.read_table(path)
        column = table.column("vector").combine_chunks()
        rows = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
        named = [os.fsencode(text) for text in table.column("path").to_pylist()] if "path" in table.column_names else []
    except (OSError, KeyError, ValueError, TypeError, AttributeError, pyarrow.ArrowException) as error:
        raise BadInput(f"{path} is no Parquet file with a column `vector` of equally long lists: {error}") from error
    return rows, named


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"the list of paths {path} cannot be read: {error.strerror}") from error
