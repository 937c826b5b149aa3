"""The nearest few of many rows, found in few dimensions and compared in all: candidates for a closer look.

Unlike `near_duplicates` it may miss some, and its cost does not grow with the square of the rows: in a projection onto
the principal directions a FAISS index finds several times as many as are asked for, and these are compared exactly.
"""

import numpy as np
from numpy.typing import NDArray

from indexes.principal_directions import principal_directions
from indexes.rows import in_blocks, release_pages, to_float32

# Dimensions of the projection, and what it is computed from.
DIM, SAMPLE_ROWS, STEPS = 64, 4_096, 3
# Found in few dimensions for each that is asked for.
OVERSAMPLED = 6
# Up to so many rows all are compared; more are divided into lists, of which some are searched.
FEW, ROWS_OF_LIST, LISTS_SEARCHED = 20_000, 500, 12
BLOCK = 4_096


def nearest_rows(
    vectors: NDArray[np.float16],
    rows: NDArray[np.int64],
    queries: NDArray[np.float16],
    query_rows: NDArray[np.int64],
    k: int,
    min_score: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return (query row, row, score) of at most k rows for each of the query rows, with scores of min_score or more.

    Parameters
    ----------
    vectors, rows: what is searched, (n, dim) float16 that may be mapped, and which rows of it, ascending.
    queries, query_rows: the same of what is searched for. A row is not found for itself where both are one array.
    """
    import faiss

    if not len(rows) or not len(query_rows):
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    random = np.random.default_rng(0)
    sample = np.sort(random.choice(rows, min(SAMPLE_ROWS, len(rows)), replace=False))
    directions = principal_directions(to_float32(vectors[sample]), min(DIM, vectors.shape[1]), STEPS, random)
    dim = directions.shape[1]
    if len(rows) <= FEW:
        index = faiss.IndexFlatIP(dim)
    else:
        quantizer = faiss.IndexFlatIP(dim)
        index = faiss.IndexIVFFlat(quantizer, dim, len(rows) // ROWS_OF_LIST, faiss.METRIC_INNER_PRODUCT)
        index.nprobe = LISTS_SEARCHED
        index.cp.niter = 8
        index.train(_projected(vectors, np.sort(random.choice(rows, min(len(rows), 64 * index.nlist))), directions))
    for block in in_blocks(rows, BLOCK):
        index.add(_projected(vectors, block, directions))
    release_pages(vectors)
    found = [
        _nearest(index, vectors, rows, queries, block, directions, k, min_score)
        for block in in_blocks(query_rows, BLOCK)
    ]
    release_pages(vectors)
    ones, others, scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return ones, others, scores


def _projected(
    vectors: NDArray[np.float16], rows: NDArray[np.int64], directions: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the rows in few dimensions, of length 1 there: those that the projection shortens are found too."""
    projected = to_float32(vectors[rows]) @ directions
    lengths = np.linalg.norm(projected, axis=1, keepdims=True)
    return np.ascontiguousarray(projected / np.maximum(lengths, 1e-6), np.float32)


def _nearest(
    index: "object",
    vectors: NDArray[np.float16],
    rows: NDArray[np.int64],
    queries: NDArray[np.float16],
    block: NDArray[np.int64],
    directions: NDArray[np.float32],
    k: int,
    min_score: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    places = index.search(_projected(queries, block, directions), min(OVERSAMPLED * k + 1, len(rows)))[1]  # type: ignore[attr-defined]
    one = np.repeat(np.arange(len(block)), places.shape[1])
    place = places.ravel()
    keep = place >= 0
    one, other = one[keep], rows[place[keep]]
    if queries is vectors:
        keep = block[one] != other
        one, other = one[keep], other[keep]
    scores = np.empty(len(one), np.float32)
    wanted = to_float32(queries[block])
    for start in range(0, len(one), BLOCK):
        part = slice(start, start + BLOCK)
        np.vecdot(wanted[one[part]], to_float32(vectors[other[part]]), out=scores[part])
    keep = scores >= min_score
    one, other, scores = one[keep], other[keep], scores[keep]
    order = np.lexsort((other, -scores, one))
    one, other, scores = one[order], other[order], scores[order]
    first = np.searchsorted(one, one)  # of each query's
    among = np.arange(len(one)) - first < k
    return block[one[among]], other[among], scores[among]
