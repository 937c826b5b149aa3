"""Nearest neighbours among stored vectors: the `Index` protocol, and exact search.

The packages above use an `Index` without knowing its kind. Exact search over the mapped float16 rows answers small
stores, and every other kind (`indexes/compressed.py`, `indexes/gpu.py`) is measured against it.
"""

import functools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.rows import in_blocks, rows_per_block, to_float32
from vecstore.errors import BadInput

# FAISS's scores are inner products, summed in float32 in any order, of rows whose length is up to 2^-11 off 1 because
# of float16: rows whose scores differ by less than this may come in either order.
ROUNDING = 1e-3


@dataclass(frozen=True)
class Neighbours:
    """The neighbours of n queries. FAISS's padding with -1 never leaves this package.

    rows: (n, m) int64, nearest first, equal scores by row; m = min(k, number of allowed rows). scores: (n, m) float32,
    cosine similarity in [-1, 1].
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]


class Index(Protocol):
    """Finds the stored rows nearest to queries."""

    @property
    def kind(self) -> str: ...

    @property
    def recall(self) -> float:
        """Measured recall@10: the fraction of the true ten nearest rows that a search finds, in [0, 1]."""
        ...

    @property
    def bytes(self) -> int | None:
        """Size of the index without the vectors: on disk, and in memory once all of it was used; None if unknown."""
        ...

    def search(self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None) -> Neighbours:
        """Return the k rows nearest to each query, fewer only if fewer are allowed.

        Scores are cosines of the stored rows, exact for every kind of index.

        Parameters
        ----------
        queries: (n, dim) float32.
        k: number of rows for each query, at least 1.
        allowed: (n_rows,) bool, the rows that may be found; None: all.

        Raises
        ------
        BadInput: a wrong shape or dtype, or k < 1.
        """
        ...


class ExactIndex:
    """Exact search: every row is compared in place in the mapped file.

    FAISS's float16 scalar quantizer has the format of the vector file, so the mapped file serves as its codes without
    being copied or converted (`scripts/bench search` compares).
    """

    kind = "exact"
    recall = 1.0  # by construction
    bytes = 0  # the vectors themselves are searched

    def __init__(self, vectors: NDArray[np.float16]) -> None:
        self.vectors = np.asarray(vectors)  # a plain view of a map: np.memmap is slow to take rows from
        self._index = in_place(self.vectors)

    def search(self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None) -> Neighbours:
        """Return the k rows nearest to each query; see `Index.search`."""
        n_allowed = check(self.vectors, queries, k, allowed)
        k = min(k, n_allowed)
        if not k:
            return gathered([(np.empty(0, np.int64), np.empty(0, np.float32))] * len(queries), 0)
        parameters = None if allowed is None else restricted(faiss.SearchParameters(), allowed)
        return gathered([self.search_one(query, k, n_allowed, parameters) for query in queries], k)

    def search_one(
        self, query: NDArray[np.float32], k: int, n_allowed: int, parameters: faiss.SearchParameters | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the k rows nearest to a query, (dim,) float32, and their scores. k: from 1 to n_allowed."""
        wanted = min(k + 8, n_allowed)
        while True:
            with one_thread():
                found_scores, found_rows = self._index.search(query[None], wanted, params=parameters)
            scores, rows = found_scores[0], found_rows[0]
            # Stop when the last candidate is certainly farther than the k-th; else rows beyond it may tie.
            if wanted == n_allowed or scores[-1] < scores[k - 1] - ROUNDING:
                break
            wanted = min(wanted * 2, n_allowed)
        return ranked(self.vectors, rows[scores >= scores[k - 1] - ROUNDING], query, k)


def ranked(
    vectors: NDArray[np.float16], rows: NDArray[np.int64], query: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the k of these rows that are nearest to the query, and their scores; equal scores by row.

    Scores are computed in float64, so the order does not depend on FAISS's rounding.

    Parameters
    ----------
    vectors: (n_rows, dim) float16, may be mapped.
    rows: (n,) int64, the candidates.
    query: (dim,) float32.
    k: number of rows to return, at most n.

    Returns
    -------
    rows: (k,) int64, nearest first.
    scores: (k,) float32, cosine similarity in [-1, 1].
    """
    wide = query.astype(np.float64)
    blocks = in_blocks(rows, rows_per_block(vectors.shape[1], np.float64))
    exact = np.concatenate([_cosines(to_float32(vectors[block]).astype(np.float64), wide) for block in blocks])
    order = np.lexsort((rows, -exact))[:k]
    return rows[order], exact[order].clip(-1, 1).astype(np.float32)


def nearest_of(
    vectors: NDArray[np.float16], rows: NDArray[np.int64], query: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the k of these rows that are nearest to the query, and their scores, by exact search; see `ranked`."""
    rows = np.sort(rows)  # equal scores come by row
    if not len(rows):
        return rows, np.empty(0, np.float32)
    found, scores = ExactIndex(vectors[rows]).search_one(query, min(k, len(rows)), len(rows))
    return rows[found], scores


def gathered(found: list[tuple[NDArray[np.int64], NDArray[np.float32]]], k: int) -> Neighbours:
    """Combine the results of single queries, k rows and scores each."""
    rows = np.array([rows for rows, _ in found], np.int64).reshape(len(found), k)
    return Neighbours(rows, np.array([scores for _, scores in found], np.float32).reshape(len(found), k))


def check(vectors: NDArray[np.float16], queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None) -> int:
    """Return how many rows are allowed. Raises BadInput for arguments that `Index.search` does not accept."""
    n_rows, dim = int(vectors.shape[0]), vectors.shape[1]
    if queries.ndim != 2 or queries.shape[1] != dim:
        raise BadInput(f"queries have the shape {queries.shape}; the stored vectors need (n, {dim})")
    if queries.dtype != np.float32:
        raise BadInput(f"queries are {queries.dtype}; float32 is needed")
    if k < 1:
        raise BadInput(f"k is {k}; it must be at least 1")
    if allowed is None:
        return n_rows
    if allowed.shape != (n_rows,) or allowed.dtype != np.bool_:
        raise BadInput(f"allowed is {allowed.dtype} of shape {allowed.shape}; ({n_rows},) bool is needed")
    return int(np.count_nonzero(allowed))


def restricted(parameters: Any, allowed: NDArray[np.bool_]) -> Any:
    """Add a selector of the allowed rows to FAISS's search parameters and return them."""
    bits = np.packbits(allowed, bitorder="little")
    # The length is in bytes, despite the parameter's name; ids beyond it are rejected without reading memory.
    parameters.sel = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
    parameters.referenced_objects = (bits, parameters.sel)  # FAISS keeps pointers to both and owns neither
    return parameters


@contextmanager
def one_thread() -> Iterator[None]:
    """Let FAISS use this thread alone: it divides no single query, and would wait for the others it wakes in vain."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # a setting of the calling thread alone
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _cosines(rows: NDArray[np.float64], query: NDArray[np.float64]) -> NDArray[np.float64]:
    # Row by row: a matrix product may sum equal rows in different orders, and equal rows must tie.
    lengths = np.sqrt(np.vecdot(rows, rows) * np.vecdot(query, query))
    return np.asarray(np.vecdot(rows, query) / np.where(lengths > 0, lengths, 1), np.float64)


def in_place(vectors: NDArray[np.float16]) -> Any:
    """Return FAISS's index of inner products with these rows, which it uses as its codes where they are."""
    n_rows, dim = vectors.shape
    index = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    codes = np.ascontiguousarray(vectors).view(np.uint8).reshape(-1)
    owner = _index_with_an_owner().codes.owner
    index.codes = faiss.MaybeOwnedVectorUInt8.create_view(faiss.swig_ptr(codes), codes.size, owner)
    index.ntotal = n_rows
    index.referenced_objects = (codes,)
    return index


@functools.cache
def _index_with_an_owner() -> Any:
    # FAISS requires an owner for the memory of a view. Python cannot create one, but an index read by memory map has
    # one, which only keeps its own file mapped; our memory is kept alive by the index's `referenced_objects`. The whole
    # index is returned because `codes.owner` points into it.
    index = faiss.IndexScalarQuantizer(1, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    index.add(np.ones((1, 1), np.float32))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "owner.faiss")
        faiss.write_index(index, path)
        return faiss.read_index(path, faiss.IO_FLAG_MMAP_IFC)
