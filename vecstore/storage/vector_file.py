"""The vector file: raw little-endian float16 rows of unit length, appended and never rewritten.

Row i belongs to the image that the catalog numbers i. The catalog commits after the rows are on disk, so rows past
its count are an interrupted add and are cut. Only rows that the catalog lets nobody read are touched again: those of
compacted images give their room back, and one that was damaged is made anew.
Anyone can read the file: `np.memmap(path, "<f2").reshape(-1, dim)`.
This module knows no SQL, no picture and no FAISS.
"""

import ctypes
import errno
import os
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vecstore.errors import StoreDamaged
from vecstore.storage.durable_files import replacing_path, sync_directory, translate_os_errors

Float16 = NDArray[np.float16]
Float32 = NDArray[np.float32]

ROW_DTYPE = np.dtype("<f2")
# Of a stored row's squared length; and after how many nudges to leave it at that.
LENGTH_ERROR, MOST_NUDGES = 1e-6, 16
# Of fallocate(2): the file stays as long as it is, and a part of it takes no room any more.
KEEP_SIZE, PUNCH_HOLE = 1, 2
COPY_BYTES = 4 << 20


def checksum(row: Float16, sha256: bytes) -> int:
    """Return the CRC-32 of a stored row and of the content that it is of: so neither can be exchanged unnoticed."""
    return zlib.crc32(row.astype(ROW_DTYPE, copy=False).tobytes(), zlib.crc32(sha256))


def quantize_unit_rows(rows: Float32 | Float16) -> Float16:
    """Return rows as they are stored: float16, with a few numbers nudged to bring the length back to 1.

    rows: (n, dim) float32, each of length 1; float16 is of rows that were stored before, and left as it is.
    Plain rounding leaves lengths up to 1e-4 off, enough for a longer neighbour to beat a nearer one; here
    less than 1e-6 is usual from a few hundred dimensions on, so that inner products of stored rows are cosines.
    """
    stored = np.ascontiguousarray(rows, ROW_DTYPE)
    for row in stored if rows.dtype != ROW_DTYPE else ():
        squares = np.square(row, dtype=np.float64)
        missing = 1 - squares.sum()
        for _ in range(MOST_NUDGES):
            # The neighbouring float16 away from zero for a row that is too short, towards zero for one too long.
            nudged = np.nextafter(row, np.copysign(np.float16(np.inf), row) if missing > 0 else np.float16(0))
            gains = np.square(nudged, dtype=np.float64) - squares
            best = int(np.argmin(np.abs(gains - missing)))
            if abs(missing) < LENGTH_ERROR or abs(gains[best] - missing) >= abs(missing):
                break
            row[best], squares[best], missing = nudged[best], squares[best] + gains[best], missing - gains[best]
    return stored


class VectorFile:
    """The rows of one store. All writing is done by the holder of the store's lock."""

    def __init__(self, path: Path, dim: int) -> None:
        self.path = path
        self.dim = dim
        self.row_bytes = dim * ROW_DTYPE.itemsize

    def truncate_uncommitted(self, count: int) -> int:
        """Cut the rows that the catalog never committed; return the number of bytes cut.

        count: rows in the catalog. Raises StoreDamaged, and changes nothing, if the file holds fewer.
        """
        have, want = self._size(), count * self.row_bytes
        if have < want:
            raise StoreDamaged(self._too_short(count))
        if have > want:
            with translate_os_errors(self.path):
                os.truncate(self.path, want)
        return have - want

    def append(self, rows: Float16, count: int) -> None:
        """Write `rows` as rows count, count + 1, ... and return when they are on the disk.

        rows: (n, dim) float16, as `rounded` makes them. count: rows in the catalog; whatever an interrupted append left
        behind them is overwritten. Raises StoreDamaged, and writes nothing, for rows of another width; VecstoreError
        if the disk is full or fails.
        """
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            raise StoreDamaged(f"rows of shape {rows.shape} do not fit {self.path}, which has {self.dim} numbers a row")
        self.truncate_uncommitted(count)
        with translate_os_errors(self.path):
            with open(self.path, "ab") as file:
                file.write(np.ascontiguousarray(rows, ROW_DTYPE).tobytes())
                file.flush()
                os.fsync(file.fileno())
            if not count:  # a new file is on the disk only when its directory's entry is
                sync_directory(self.path.parent)

    def rewrite_rows(self, rows: dict[int, Float16], count: int) -> None:
        """Write rows in their places, which the catalog lets nobody read, and return when they are on the disk.

        count: rows in the catalog; a file that is too short gets as many, empty ones.
        """
        with translate_os_errors(self.path), open(self.path, "r+b" if self.path.exists() else "x+b") as file:
            if self._size() < count * self.row_bytes:
                file.truncate(count * self.row_bytes)
            for row, vector in rows.items():
                file.seek(row * self.row_bytes)
                file.write(np.ascontiguousarray(vector, ROW_DTYPE).tobytes())
            file.flush()
            os.fsync(file.fileno())

    def punch_holes(self, rows: Sequence[int]) -> None:
        """Let the disk have the room of these rows, ascending, that nobody reads; every other row stays where it is.

        They read as zeros then. Where the file system cannot do that in place, a copy with holes replaces the file.
        """
        gaps = [(first * self.row_bytes, beyond * self.row_bytes) for first, beyond in runs(rows)]
        with translate_os_errors(self.path):
            with open(self.path, "r+b") as file:
                done = all(punch_hole(file.fileno(), start, end - start) for start, end in gaps)
                os.fsync(file.fileno())
            if not done:
                with replacing_path(self.path) as beside:
                    copy_with_holes(self.path, beside, self._size(), gaps)

    def read(self, count: int) -> Float16:
        """Return the first `count` rows, (count, dim) float16, mapped and not read.

        Raises StoreDamaged if the file holds fewer.
        """
        if self._size() < count * self.row_bytes:
            raise StoreDamaged(self._too_short(count))
        if not count:  # an empty file cannot be mapped
            return np.empty((0, self.dim), ROW_DTYPE)
        return np.memmap(self.path, ROW_DTYPE, mode="r", shape=(count, self.dim))

    def rows_there(self) -> int:
        """Return how many whole rows the file holds, whatever the catalog counts."""
        return self._size() // self.row_bytes

    def _size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def _too_short(self, count: int) -> str:
        return (
            f"{self.path} holds {self.rows_there()} of the {count} vectors that the catalog counts; "
            "`vecstore check --repair` embeds what is missing again, or restore the store from a backup"
        )


def runs(rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield (first, the one after the last) of each run of numbers that follow each other. rows: ascending."""
    numbers = np.asarray(rows, np.int64)
    for run in np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1) if len(numbers) else ():
        yield int(run[0]), int(run[-1]) + 1


def punch_hole(descriptor: int, start: int, n_bytes: int) -> bool:
    """Let the disk have the room of a part of a file, which reads as zeros then; return whether that can be done here.

    Linux alone has this in its C library (fallocate(2)); Python does not pass it on.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    fallocate = getattr(libc, "fallocate64", None) or getattr(libc, "fallocate", None)
    if sys.platform != "linux" or fallocate is None:
        return False
    if fallocate(descriptor, KEEP_SIZE | PUNCH_HOLE, ctypes.c_int64(start), ctypes.c_int64(n_bytes)) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EOPNOTSUPP, errno.ENOSYS):
        return False
    raise OSError(number, os.strerror(number))


def copy_with_holes(source: Path, target: Path, n_bytes: int, gaps: Iterable[tuple[int, int]]) -> None:
    """Copy the first n_bytes of a file but for the gaps, ascending (start, end). Nothing waits for the disk.

    Where the file system can, the gaps take no room. Raises OSError; the target is incomplete then.
    """
    with open(source, "rb") as file, open(target, "wb") as copy:
        position = 0
        for start, end in (*gaps, (n_bytes, n_bytes)):
            file.seek(position)
            copy.seek(position)
            while position < min(start, n_bytes):
                block = file.read(min(COPY_BYTES, min(start, n_bytes) - position))
                if not block:
                    raise OSError(errno.EIO, f"{source} ends at {position} of {n_bytes} bytes")
                copy.write(block)
                position += len(block)
            position = max(position, end)
        copy.truncate(n_bytes)
