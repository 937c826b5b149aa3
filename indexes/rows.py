"""Converts mapped float16 rows to float32, block by block, releasing the mapped pages."""

import mmap
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

Scalar = TypeVar("Scalar", bound=np.generic)

# Size of a block of rows in the type that they are processed in.
BLOCK_BYTES = 64 << 20
# The same in float32 at 2048 dimensions. It is fixed where results are sums over blocks: any other number would change
# the last bits of the result for a seed.
BLOCK_ROWS = 8_192

# Rows in float32 at a time: fewer than elsewhere, as a few blocks are there at once; 16 MiB each at 2048 dimensions.
BUILD_ROWS = 2_048

# The seed of `sample_of`.
SEED = 1

# A float16's bits, 13 places further, are those of a float32 that is too small by SCALE; between its sign and the rest
# they leave three places.
PLACES, SIGN_AND_REST, SCALE = 13, np.int32(-0x70002000), np.float32(2.0**112)
# From here on float16 has infinities, and what is no number: both come by FLOAT32_OF.
BEYOND_FLOAT16 = np.float32(2.0**16)
with np.errstate(invalid="ignore"):
    FLOAT32_OF = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
# Converted together: what stays in a core's cache.
CACHED_NUMBERS = 1 << 16

# The least number that float16 has with all its 11 bits. Below it float16 has the multiples of 2^-24, as float32 has
# from 0.5 on.
LEAST_NORMAL, SAME_STEPS = np.float32(2**-14), np.float32(0.5)


def rows_per_block(dim: int, dtype: DTypeLike) -> int:
    """Return how many rows of this width and dtype make a block, for results that do not depend on the block size."""
    return max(BLOCK_BYTES // max(dim * np.dtype(dtype).itemsize, 1), 1)


def in_blocks(rows: NDArray[Scalar], size: int) -> Iterator[NDArray[Scalar]]:
    """Yield the rows in blocks of this size; the last may be smaller."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def to_float32(rows: NDArray[np.float16]) -> NDArray[np.float32]:
    """Return the rows, (n, dim), in float32."""
    converted = np.empty(rows.shape, np.float32)
    widen(rows, converted)
    return converted


def widen(rows: NDArray[np.float16], into: NDArray[np.float32]) -> None:
    """Fill `into` with the rows, bit for bit as `astype` does, which converts number by number.

    rows, into: (n, dim). A block of 16 MiB takes 1.2 ns a number, a look-up in FLOAT32_OF twice to 20 times as long.
    """
    size = max(CACHED_NUMBERS // max(rows.shape[1], 1), 1)
    for some, wide in zip(in_blocks(rows, size), in_blocks(into, size), strict=True):
        codes = wide.view(np.int32)
        codes[...] = some.view(np.int16)
        codes <<= PLACES
        codes &= SIGN_AND_REST
        wide *= SCALE
        if wide.max(initial=0) >= BEYOND_FLOAT16 or wide.min(initial=0) <= -BEYOND_FLOAT16:
            wide[...] = FLOAT32_OF[some.view(np.uint16)]


def to_float16(rows: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return `rows.astype(np.float16)`, bit for bit, in less than half the time: NumPy converts number by number.

    rows: (n, dim) float32.
    """
    size = np.abs(rows)
    if not size.max(initial=0) <= 1:  # also if it is no number
        return rows.astype(np.float16)
    # Each number is the sum of what lies above LEAST_NORMAL, whose last 13 bits are rounded to the even one, and what
    # lies below, which the addition rounds.
    codes = np.maximum(size, LEAST_NORMAL).view(np.uint32)
    is_odd = codes >> 13
    is_odd &= 1
    codes += is_odd
    codes += 0xFFF
    codes -= LEAST_NORMAL.view(np.uint32)
    codes >>= 13
    below = np.minimum(size, LEAST_NORMAL, out=size)
    below += SAME_STEPS
    codes += below.view(np.uint32)
    codes -= SAME_STEPS.view(np.uint32)
    signs = rows.view(np.uint32) >> 16
    signs &= 0x8000
    codes |= signs
    return codes.astype(np.uint16).view(np.float16)


def as_float32(vectors: NDArray[np.float16], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return rows of the mapped vectors in float32, (n, dim), and release the mapped pages. rows: ascending."""
    converted = np.empty((len(rows), vectors.shape[1]), np.float32)
    for start in range(0, len(rows), BLOCK_ROWS):
        convert(vectors, rows[start : start + BLOCK_ROWS], converted[start : start + BLOCK_ROWS])
    return converted


def convert(vectors: NDArray[np.float16], rows: NDArray[np.int64], into: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fill `into`, (n, dim), with rows of the mapped vectors, ascending; return it."""
    no_gaps = len(rows) and rows[-1] - rows[0] == len(rows) - 1
    block = vectors[rows[0] : rows[-1] + 1] if no_gaps else vectors[rows]
    widen(block, into)
    release_pages(vectors)
    return into


def release_pages(vectors: NDArray[np.float16]) -> None:
    """Release the pages of a mapped file: pages that were read count as this process's memory, up to the whole file."""
    if isinstance(vectors.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        vectors.base.madvise(mmap.MADV_DONTNEED)


def sums_by_label(
    rows: NDArray[np.floating[Any]], labels: NDArray[np.int64], n: int, dtype: DTypeLike = np.float64
) -> NDArray[Any]:
    """Return the sums of the rows of each label, (n, dim), added in this dtype if it is wider than that of the rows.

    rows: (m, dim). labels: (m,), from 0 to n - 1.

    Examples
    --------
    >>> sums_by_label(np.array([[1.0], [2.0], [4.0]]), np.array([0, 2, 0]), 3).tolist()
    [[5.0], [0.0], [2.0]]
    """
    from scipy.sparse import csr_array  # takes a moment to import, and small dimensions do without

    m = len(rows)
    sums: NDArray[Any] = csr_array((np.ones(m, dtype), labels, np.arange(m + 1)), shape=(m, n)).T @ rows
    return sums


def stored_blocks(
    vectors: NDArray[np.float16], rows: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Yield (rows, what they hold in float32), without those of zeros: of images that were removed and compacted."""
    for numbers in in_blocks(rows, BUILD_ROWS):
        block = as_float32(vectors, numbers)
        there = block.any(axis=1)
        yield (numbers, block) if there.all() else (numbers[there], block[there])


def rows_of(searchable: NDArray[np.bool_] | None, n_rows: int) -> NDArray[np.int64]:
    return np.arange(n_rows) if searchable is None else np.flatnonzero(searchable)


def sample_of(rows: NDArray[np.int64], wanted: int) -> NDArray[np.int64]:
    """Return so many of the rows, or all where there are fewer, ascending, and the same every time."""
    if len(rows) <= wanted:
        return rows
    return np.sort(np.random.default_rng(SEED).choice(rows, wanted, replace=False))
