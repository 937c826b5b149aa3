"""The vector file: raw little-endian float16 rows of unit length, appended and never rewritten.

Row i belongs to image i of the catalog. The catalog commits after the rows are on disk, so rows beyond its count come
from an interrupted add and are cut. Only rows that the catalog hides from readers are changed later: those of compacted
images become holes, and a damaged one is rewritten.
Any program can read the file: `np.memmap(path, "<f2").reshape(-1, dim)`.
This module knows no SQL, no pictures and no FAISS.
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

from indexes.rows import in_blocks, to_float16
from vecstore.errors import StoreDamaged
from vecstore.storage.durable_files import replacing_path, sync_directory, translate_os_errors

Float16 = NDArray[np.float16]
Float32 = NDArray[np.float32]

ROW_DTYPE = np.dtype("<f2")
# The aim for the error of a stored row's squared length, and the maximum number of nudges to reach it.
LENGTH_ERROR, MOST_NUDGES = 1e-6, 16
# Rows that are nudged together: in float64 and 2048 dimensions 1 MiB, which stays in a core's cache.
NUDGED_ROWS = 32
# A float16 without its sign, as an integer: the next integer is the next greater number. By how much its square grows
# if it becomes the next one, and is less if it becomes the one before. Squares of float16 and their sums up to 32 are
# multiples of 2^-48, so exact in float64 in any order of adding.
MAGNITUDE = np.uint16(0x7FFF)
GROWTH = np.diff(np.square(np.arange(0x7C01, dtype=np.uint16).view(np.float16).astype(np.float64)))
LOSS = np.concatenate([[0.0], GROWTH[:-1]])
# A float16's bits, 13 places further, are those of a float32 that is too small by so much.
SCALE = np.float32(2.0**112)
# Flags of fallocate(2): keep the file's length, and free the disk space of a part.
KEEP_SIZE, PUNCH_HOLE = 1, 2
COPY_BYTES = 4 << 20


def checksum(row: Float16, sha256: bytes) -> int:
    """Return the CRC-32 of a picture's content and its vector together, so that swapped vectors are noticed too.

    row: (dim,) float16, as stored. sha256: of the picture's content.
    """
    return zlib.crc32(np.ascontiguousarray(row, ROW_DTYPE).data, zlib.crc32(sha256))


def quantize_unit_rows(rows: Float32 | Float16) -> Float16:
    """Return unit rows as they are stored: in float16, with a few numbers nudged to restore the length of 1.

    Plain rounding leaves lengths up to 1e-4 off, enough for a longer neighbour to rank before a nearer one. With
    nudging the error is usually less than 1e-6 from a few hundred dimensions on, so inner products of stored rows are
    cosines. A row's result depends on that row alone.

    Parameters
    ----------
    rows: (n, dim) float32, each of length 1. Rows in float16 are already stored ones, and are returned unchanged.

    Returns
    -------
    (n, dim) float16.
    """
    if rows.dtype == ROW_DTYPE:
        return np.ascontiguousarray(rows)
    stored = np.empty(rows.shape, ROW_DTYPE)
    given = rows.astype(np.float32, copy=False)
    for some, block in zip(in_blocks(given, NUDGED_ROWS), in_blocks(stored, NUDGED_ROWS), strict=True):
        block[:] = to_float16(some)
        _restore_lengths(block)
    return stored


def _squared_lengths(codes: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Return the exact squared lengths of rows of float16. codes: (n, dim), their bits."""
    magnitudes = (codes & MAGNITUDE).astype(np.uint32)
    magnitudes <<= 13
    numbers = magnitudes.view(np.float32)
    numbers *= SCALE
    wide = numbers.astype(np.float64)
    squared: NDArray[np.float64] = np.vecdot(wide, wide)
    return squared


def _restore_lengths(rows: Float16) -> None:
    """Nudge numbers of each row to the next float16, in place, until its squared length is within LENGTH_ERROR of 1.

    Each time the number is taken whose square changes by what is nearest to the missing part, the first of several. The
    greater a number's magnitude, the more a nudge changes its square, so it is one of two: the number of the least
    magnitude whose square changes by more than is missing, or that of the greatest whose square does not.

    rows: (n, dim) float16, contiguous.
    """
    codes = rows.view(np.uint16)
    missing = 1 - _squared_lengths(codes)
    rest = np.arange(len(rows))
    for _ in range(MOST_NUDGES):
        size = np.abs(missing[rest])
        rest = rest[(size >= LENGTH_ERROR) & (size < 1)]  # a row that is not of length 1 stays as it is
        if not len(rest):
            return
        is_short, wanted = missing[rest] > 0, np.abs(missing[rest])
        beyond = np.where(is_short, np.searchsorted(GROWTH, wanted, "right"), np.searchsorted(LOSS, wanted, "right"))
        magnitudes = codes[rest] & MAGNITUDE
        # As unsigned numbers wrap around: the least of those above, and the greatest of those below.
        distance = magnitudes - beyond.astype(np.uint16)[:, None]
        places = np.sort([distance.argmin(axis=1), distance.argmax(axis=1)], axis=0)
        each = np.arange(len(rest))
        found = magnitudes[each, places]
        changes = np.where(is_short, GROWTH[found], LOSS[found])
        nearer = np.abs(changes - wanted).argmin(axis=0)
        place, change = places[nearer, each], changes[nearer, each]
        helps = np.abs(change - wanted) < wanted
        rest, place, change, is_short = rest[helps], place[helps], change[helps], is_short[helps]
        codes[rest, place] += np.where(is_short, 1, -1).astype(np.uint16)
        missing[rest] -= np.where(is_short, change, -change)


class VectorFile:
    """The rows of one store. Only the holder of the store's lock may write.

    Parameters
    ----------
    path: of the file, which may not exist yet.
    dim: numbers in a row.
    """

    def __init__(self, path: Path, dim: int) -> None:
        self.path = path
        self.dim = dim
        self.row_bytes = dim * ROW_DTYPE.itemsize

    def truncate_uncommitted(self, count: int) -> int:
        """Cut the rows that the catalog never committed; return the number of bytes cut.

        count: rows in the catalog. Raises StoreDamaged, without changing the file, if it holds fewer.
        """
        have, want = self._size(), count * self.row_bytes
        if have < want:
            raise StoreDamaged(self._too_short(count))
        if have > want:
            with translate_os_errors(self.path):
                os.truncate(self.path, want)
        return have - want

    def append(self, rows: Float16, count: int) -> None:
        """Write `rows` as rows count, count + 1, ... and return when they are on disk.

        Parameters
        ----------
        rows: (n, dim) float16, from `quantize_unit_rows`.
        count: rows in the catalog; rows beyond it, from an interrupted append, are overwritten.

        Raises
        ------
        StoreDamaged: the rows have another width, or the file is shorter than count; nothing was written.
        VecstoreError: the disk is full or fails.
        """
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            raise StoreDamaged(f"rows of shape {rows.shape} do not fit {self.path}, which has {self.dim} numbers a row")
        self.truncate_uncommitted(count)
        with translate_os_errors(self.path):
            with open(self.path, "ab") as file:
                file.write(np.ascontiguousarray(rows, ROW_DTYPE).data)
                file.flush()
                os.fsync(file.fileno())
            if not count:  # a new file is on disk only when its directory's entry is
                sync_directory(self.path.parent)

    def rewrite_rows(self, rows: dict[int, Float16], count: int) -> None:
        """Overwrite rows that the catalog hides from readers, and return when they are on disk.

        Parameters
        ----------
        rows: (dim,) float16 vectors by their row.
        count: rows in the catalog; a file that is shorter is extended with zeros.

        Raises
        ------
        VecstoreError: the disk is full or fails.
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
        """Free the disk space of these rows, which read as zeros afterwards; every other row keeps its position.

        rows: ascending, hidden from readers by the catalog. If the file system cannot punch holes, a sparse copy
        replaces the file. Raises VecstoreError if the disk is full or fails.
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
        """Return the first `count` rows, (count, dim) float16, as a read-only memory map.

        Raises StoreDamaged if the file holds fewer.
        """
        if self._size() < count * self.row_bytes:
            raise StoreDamaged(self._too_short(count))
        if not count:  # an empty file cannot be mapped
            return np.empty((0, self.dim), ROW_DTYPE)
        return np.memmap(self.path, ROW_DTYPE, mode="r", shape=(count, self.dim))

    def rows_there(self) -> int:
        """Return how many complete rows the file holds, regardless of the catalog."""
        return self._size() // self.row_bytes

    def _size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def _too_short(self, count: int) -> str:
        return (
            f"{self.path} holds {self.rows_there()} of the {count} vectors that the catalog counts; "
            "`vecstore check --repair` embeds what is missing again, or restore the store from a backup"
        )


def runs(rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield (first, last + 1) of each run of consecutive numbers. rows: ascending."""
    numbers = np.asarray(rows, np.int64)
    for run in np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1) if len(numbers) else ():
        yield int(run[0]), int(run[-1]) + 1


def punch_hole(descriptor: int, start: int, n_bytes: int) -> bool:
    """Free the disk space of a part of a file, which reads as zeros afterwards; return False if that is not possible.

    Only Linux's C library has this (fallocate(2)), and Python's `os` module does not offer it.

    Parameters
    ----------
    descriptor: of the file, open for writing.
    start, n_bytes: the part.

    Raises
    ------
    OSError: the disk fails.
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
    """Copy the beginning of a file without some gaps, which take no disk space if the file system can do that.

    The copy is not synced.

    Parameters
    ----------
    source, target: the files.
    n_bytes: how many bytes of the source to copy.
    gaps: (start, end) of each part to leave out, ascending.

    Raises
    ------
    OSError: the source is too short, or the disk is full or fails; the target is incomplete then.
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
