"""The recall of a compressed index: measured on the store's own rows, and the least work that reaches a target.

The truth is what comparing every row finds. Knows FAISS's parameters of a search, and neither files nor filters.
"""

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.ann import restricted
from indexes.index_metadata import IndexHeader
from indexes.rows import BUILD_ROWS, as_float32, rows_of, sample_of, stored_blocks
from indexes.stopping import go_on
from vecstore.errors import StoreDamaged

log = logging.getLogger(__name__)

Bool = NDArray[np.bool_]

# To set how much a search looks at, so many stored rows are searched for their ten nearest others.
MEASURED_QUERIES, MEASURED_NEIGHBOURS = 400, 10  # the first no more than BUILD_ROWS
# The measured recall has to be so many of them above the target: the least effort that seems to suffice is often a
# lucky one.
STANDARD_ERRORS = 3
CANDIDATES = (20, 30, 50, 70, 100, 150, 200, 400, 800)
# Comparing a candidate exactly counts as going through so many codes: 60 to 90 take as long where the stored rows are
# in memory; where they are not, each candidate is a read of the disk.
CODES_A_CANDIDATE = 250
# Bits that a query's numbers are shortened to where they are compared with codes of one bit.
QUERY_BITS = 4
SAME_SCORE, NO_COSINE = 1e-6, -2.0


def with_least_work(
    index: Any,
    header: IndexHeader,
    vectors: NDArray[np.float16],
    searchable: Bool | None,
    stop: threading.Event | None,
) -> IndexHeader:
    """Set probes and candidates to the least work that reaches the target, and say what it reaches.

    The recall counts a neighbour as found if one with its score is. It has to exceed the target by STANDARD_ERRORS.
    """
    rows = rows_of(searchable, len(vectors))
    sample, queries = next(stored_blocks(vectors, sample_of(rows, MEASURED_QUERIES)))
    if not len(sample):
        raise StoreDamaged(f"{len(rows)} rows to measure the index by hold no vector; `vecstore check` says which")
    truth = nearest_others(vectors, sample, queries, stop, searchable)
    best, least = None, np.inf
    for probes in _efforts(header.lists):
        go_on(stop)
        rows_of_lists = probes * header.rows / header.lists
        if rows_of_lists >= least:
            break
        inner = probing(header.kind, probes)
        if searchable is not None and len(rows) < len(vectors):
            inner = restricted(inner, searchable)
        parameters = faiss.SearchParametersPreTransform(index_params=inner)
        most = min(CANDIDATES[-1] + 1, len(rows))
        found = index.search(queries, most, params=parameters)[1]
        for candidates in CANDIDATES:
            recalls = np.array([recall_of(t, f[: candidates + 1]) for t, f in zip(truth, found, strict=True)])
            sure = recalls.mean() - STANDARD_ERRORS * recalls.std() / np.sqrt(len(recalls))
            work = rows_of_lists + candidates * CODES_A_CANDIDATE
            reached = replace(
                header, probes=probes, candidates=candidates, recall=float(recalls.mean()), measured=header.rows
            )
            if sure >= header.target and work < least:
                best, least = reached, work
    # The last one looked at the most that there is.
    if best is None and reached.recall < header.target:
        log.warning(
            "the index reaches a recall of %.4f, not %g: its codes are too short", reached.recall, header.target
        )
    return best or reached


def probing(kind: str, probes: int) -> Any:
    """Return FAISS's parameters of a search that looks through so many lists of an index of this kind."""
    if kind == "rabitq":
        # Numbers of a query that is shortened around zero lose less by it, and comparing them takes a little less.
        return faiss.IVFRaBitQSearchParameters(nprobe=probes, qb=QUERY_BITS, centered=True)
    return faiss.SearchParametersIVF(nprobe=probes)


def nearest_others(
    vectors: NDArray[np.float16],
    sample: NDArray[np.int64],
    queries: NDArray[np.float32],
    stop: threading.Event | None,
    searchable: Bool | None = None,
) -> list[set[int]]:
    """Return for each sampled row which others are among its ten nearest, ties with the tenth included.

    searchable: (rows,) bool, the rows that count as others; None: all.
    """
    kept = 64  # more than ten, for ties
    rows = np.full((len(sample), kept), -1)
    scores = np.full((len(sample), kept), -np.inf, np.float32)
    for start, block in _scores(vectors, sample, queries, searchable, stop):
        near = np.flatnonzero((block > scores.min(axis=1, keepdims=True)).any(axis=0))  # soon only few of them are
        scores = np.hstack([scores, block[:, near]])
        rows = np.hstack([rows, np.broadcast_to(start + near, (len(sample), len(near)))])
        top = np.argpartition(-scores, min(kept, scores.shape[1]) - 1, axis=1)[:, :kept]
        scores, rows = np.take_along_axis(scores, top, 1), np.take_along_axis(rows, top, 1)
    wanted = min(MEASURED_NEIGHBOURS, len(vectors) - 1)
    # Where there are fewer others, all of them: what is no other has a score below any cosine.
    least = np.maximum(-np.sort(-scores, axis=1)[:, max(wanted, 1) - 1] - SAME_SCORE, NO_COSINE)
    found = [set(r[(s >= t) & (r >= 0)].tolist()) for r, s, t in zip(rows, scores, least, strict=True)]
    crowded = np.flatnonzero(scores.min(axis=1) >= least)  # so many copies of a picture that not all were kept
    if len(crowded):
        for start, block in _scores(vectors, sample[crowded], queries[crowded], searchable, stop):
            for query, row in zip(*np.nonzero(block >= least[crowded, None]), strict=True):
                found[crowded[query]].add(int(start + row))
    return found


def _scores(
    vectors: NDArray[np.float16],
    sample: NDArray[np.int64],
    queries: NDArray[np.float32],
    searchable: Bool | None,
    stop: threading.Event | None,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the scores of the queries with the rows from a number on, a block at a time; -inf for what is no other."""
    for start in range(0, len(vectors), BUILD_ROWS):
        go_on(stop)
        rows = as_float32(vectors, np.arange(start, min(start + BUILD_ROWS, len(vectors))))
        block = queries @ rows.T
        block[:, ~rows.any(axis=1)] = -np.inf
        if searchable is not None:
            block[:, ~searchable[start : start + BUILD_ROWS]] = -np.inf
        mine = (sample >= start) & (sample < start + BUILD_ROWS)
        block[mine, sample[mine] - start] = -np.inf
        yield start, block


def recall_of(truth: set[int], found: NDArray[np.int64]) -> float:
    wanted = min(MEASURED_NEIGHBOURS, len(truth))
    return min(len(truth.intersection(found.tolist())), wanted) / wanted if wanted else 1.0


def _efforts(most: int) -> Iterator[int]:
    """Yield numbers of lists to look through, each about a fifth more than the one before."""
    probes = 1
    while probes < most:
        yield probes
        probes += max(probes // 5, 1)
    yield most
