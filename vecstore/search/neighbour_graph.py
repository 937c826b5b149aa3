"""The k-NN graph: the nearest neighbours of every image, a block at a time."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vecstore.storage.vector_file import Float16

if TYPE_CHECKING:
    from indexes.ann import Index

# Images asked for at once; the first are printed when so many were searched.
BLOCK_ROWS = 64


def nearest_of_each(
    index: "Index", vectors: Float16, allowed: NDArray[np.bool_] | None, k: int
) -> Iterator[tuple[int, list[tuple[int, float]]]]:
    """Yield (row, its k nearest others as (row, score), nearest first) for every row that is allowed, ascending."""
    rows = np.arange(len(vectors)) if allowed is None else np.flatnonzero(allowed)
    for start in range(0, len(rows), BLOCK_ROWS):
        block = rows[start : start + BLOCK_ROWS]
        found = index.search(vectors[block].astype(np.float32), k + 1, allowed)
        for row, near, scores in zip(block.tolist(), found.rows.tolist(), found.scores.tolist(), strict=True):
            # Among more than k equals a row need not find itself, so that others are counted and not cut by one.
            others = [(other, score) for other, score in zip(near, scores, strict=True) if other != row]
            yield row, others[:k]
