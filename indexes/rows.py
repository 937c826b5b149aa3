"""Converts mapped float16 rows to float32, block by block, releasing the mapped pages."""

import mmap
from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

Scalar = TypeVar("Scalar", bound=np.generic)

# Size of a block of rows in the type that they are processed in.
BLOCK_BYTES = 64 << 20
# The same in float32 at 2048 dimensions. It is fixed where results are sums over blocks: any other number would change
# the last bits of the result for a seed.
BLOCK_ROWS = 8_192

# NumPy converts float16 one by one, and numbers near 0 slowly; a lookup table takes at most half the time.
with np.errstate(invalid="ignore"):
    FLOAT32_OF = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)


def rows_per_block(dim: int, dtype: DTypeLike) -> int:
    """Return how many rows of this width and dtype make a block, for results that do not depend on the block size."""
    return max(BLOCK_BYTES // max(dim * np.dtype(dtype).itemsize, 1), 1)


def in_blocks(rows: NDArray[Scalar], size: int) -> Iterator[NDArray[Scalar]]:
    """Yield the rows in blocks of this size; the last may be smaller."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def to_float32(rows: NDArray[np.float16]) -> NDArray[np.float32]:
    """Return the rows in float32."""
    return np.take(FLOAT32_OF, rows.view(np.uint16))


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
    np.take(FLOAT32_OF, block.view(np.uint16), out=into, mode="clip")  # clip: unbuffered
    release_pages(vectors)
    return into


def release_pages(vectors: NDArray[np.float16]) -> None:
    """Release the pages of a mapped file: pages that were read count as this process's memory, up to the whole file."""
    if isinstance(vectors.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        vectors.base.madvise(mmap.MADV_DONTNEED)
