"""Compressed search: short codes in inverted lists find candidates, the stored rows put them in exact order.

A row is reduced to the directions in which rows differ most, turned so that what it says is spread evenly over its
numbers, belongs to the list of its nearest centroid, and is kept there as a code of its difference from it. A search
looks through the lists nearest to the query and compares the best candidates exactly. Rows newer than the index are all
compared.

The index is one file: a FAISS index, readable by FAISS, and behind it a header (`indexes/index_metadata.py`) that says
what it is of. It is opened by memory map, so a query reads the lists it looks at and no more. It is derived: whatever
is wrong with it, `open_compressed` refuses it and it is rebuilt; and what it answers is scored by the stored rows.
"""

import functools
import logging
import math
import os
import threading
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes import recall
from indexes.ann import (
    ROUNDING,
    ExactIndex,
    Neighbours,
    check,
    gathered,
    in_place,
    nearest_of,
    one_thread,
    ranked,
    restricted,
)
from indexes.devices import Device
from indexes.faiss_on_gpus import faiss_errors, on_device
from indexes.index_metadata import (
    EXACT_BYTES,
    IndexHeader,
    InvalidIndex,
    append_header,
    checked_header,
    checksum_of,
    digest,
    number_of_lists,
    pq_parts,
)
from indexes.principal_directions import leading_eigenvectors
from indexes.rows import rows_of, sample_of, stored_blocks
from indexes.stopping import go_on
from vecstore.errors import StoreDamaged

log = logging.getLogger(__name__)

Bool = NDArray[np.bool_]

# Lists are trained on so many rows each, and no more in all.
ROWS_A_LIST_TO_TRAIN, MOST_TO_TRAIN, TRAINING_ITERATIONS = 64, 131_072, 10
# Rows are reduced to so many dimensions, doubled until they hold that part of the variance: fewer make every step of a
# search cheaper, and what they leave out costs some candidates more.
FEWEST_DIMS, EXPLAINED, PCA_ROWS = 256, 0.5, 16_384
# Of 256 directions of 2048 dimensions, half as many steps find 0.994 of the variance that the best have, in a tenth of
# the time of all directions (`numpy.linalg.eigh`).
EIGENVECTOR_STEPS = 8
SEED = 1

# With fewer rows to each candidate than that, going through the index saves nothing.
ROWS_A_CANDIDATE = 4
# Where a smaller part of a query's nearest rows may be found, what suffices is found out for it alone.
MOST_SCARCE = 4
# Measured again when the index has grown by a quarter since: the answers' recall changes slowly.
MEASURE_AGAIN = 1.25


class CompressedIndex:
    """Searches rows through an index file. Open one with `open_compressed`."""

    def __init__(self, index: Any, header: IndexHeader, n_bytes: int, vectors: NDArray[np.float16]) -> None:
        """vectors: (n, dim) float16, all rows that may be found, those beyond the index included."""
        self.kind = header.kind
        self.recall = header.recall
        self.bytes = n_bytes
        self.header = header
        self._index = index
        self._is_damaged = False
        self._exact = ExactIndex(vectors)
        self.vectors = self._exact.vectors
        self._tail = ExactIndex(self.vectors[header.rows :])
        # What the lists offer is compared by inner product, as exact search does; inside, they go by distance. Rows of
        # zeros are in no list, yet FAISS wants as many on both sides.
        index.metric_type, index.ntotal = faiss.METRIC_INNER_PRODUCT, header.rows
        self._compared_index = faiss.IndexRefine(index, in_place(self.vectors[: header.rows]))

    def search(self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None) -> Neighbours:
        """Return the k rows nearest to each query, as `Index.search` says."""
        n_allowed = check(self.vectors, queries, k, allowed)
        n_rows = self.header.rows
        older, newer = (None, None) if allowed is None else (allowed[:n_rows], allowed[n_rows:])
        n_indexed = n_rows if older is None else int(np.count_nonzero(older))
        n_found = min(k, n_allowed)
        times = max(n_found / recall.MEASURED_NEIGHBOURS, 1)  # what is looked at was measured for so many neighbours
        wanted, probes = min(math.ceil(self.header.candidates_now * times), n_indexed), self.header.probes * times
        few = allowed is not None and n_allowed * self.vectors[:1].nbytes <= EXACT_BYTES
        # Where a good part of the rows would be candidates, or few may be found at all, comparing them all is quicker.
        if self._is_damaged or few or not n_found or wanted * ROWS_A_CANDIDATE > n_indexed:
            return self._exact.search(queries, k, allowed)
        try:
            if older is None or not wanted:
                nearest = self._nearest(queries, wanted, math.ceil(probes), n_found, None)
            else:
                nearest = self._nearest_allowed(queries, wanted, probes, n_found, older)
        except InvalidIndex as error:
            self._is_damaged = True
            log.warning("the index is not used: %s; every vector is compared instead; `vecstore index` mends it", error)
            return self._exact.search(queries, k, allowed)
        if len(self._tail.vectors):
            tail = self._tail.search(queries, k, newer).rows + n_rows
            nearest = [np.append(of_index, of_tail) for of_index, of_tail in zip(nearest, tail, strict=True)]
        return gathered([ranked(self.vectors, r, q, n_found) for r, q in zip(nearest, queries, strict=True)], n_found)

    def _nearest(
        self,
        queries: NDArray[np.float32],
        wanted: int,
        probes: int,
        n_found: int,
        allowed: NDArray[np.bool_] | None,
    ) -> list[NDArray[np.int64]]:
        """Return of so many candidates of each query those that, but for FAISS's rounding, are the nearest n_found."""
        if not wanted:
            return [np.empty(0, np.int64)] * len(queries)
        scores, rows = self._candidates(queries, wanted, probes, allowed, compared=True)
        least = scores[:, min(n_found, wanted) - 1] - ROUNDING
        return [near[s >= kth] for near, s, kth in zip(rows, scores, least, strict=True)]

    def _nearest_allowed(
        self, queries: NDArray[np.float32], wanted: int, probes: float, n_found: int, allowed: NDArray[np.bool_]
    ) -> list[NDArray[np.int64]]:
        """Do as `_nearest`, among the allowed rows. wanted, probes: as if all were allowed.

        The fewer of a query's nearest rows may be found, the more lists it takes to come by those that may, and the
        farther they lie; codes tell far rows apart less well.
        """
        near = self._candidates(queries, min(self.header.candidates_now, self.header.rows), self.header.probes)[1]
        shares = np.minimum(allowed[near].mean(axis=1), allowed.mean())
        n_allowed = int(np.count_nonzero(allowed))
        found = [near[0]] * len(queries)
        common = np.flatnonzero(shares >= 1 / MOST_SCARCE)
        if len(common):
            share = shares[common].min()
            more = min(math.ceil(wanted / share), n_allowed)
            nearest = self._nearest(queries[common], more, math.ceil(probes / share), n_found, allowed)
            for query, its_nearest in zip(common, nearest, strict=True):
                found[query] = its_nearest
        for query in np.flatnonzero(shares < 1 / MOST_SCARCE):
            lists = math.ceil(probes / shares[query]) if shares[query] else self.header.lists
            found[query] = self._nearest_scarce(queries[query], MOST_SCARCE * wanted, n_found, lists, allowed)
        return found

    def _nearest_scarce(
        self, query: NDArray[np.float32], wanted: int, n_found: int, probes: int, allowed: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        """Return the nearest of so many candidates that the farther half, by their codes, holds none of them.

        Or of as many as are compared one by one without an index.
        """
        most = min(int(np.count_nonzero(allowed)), max(EXACT_BYTES // self.vectors[:1].nbytes, wanted))
        while True:
            wanted = min(wanted, most)
            rows = self._candidates(query[None], wanted, probes, allowed)[1][0]
            nearest = nearest_of(self.vectors, rows, query, n_found)[0]
            if wanted == most or not np.isin(rows[wanted // 2 :], nearest).any():
                return nearest
            wanted, probes = 2 * wanted, 2 * probes

    def _candidates(
        self,
        queries: NDArray[np.float32],
        wanted: int,
        probes: int,
        allowed: NDArray[np.bool_] | None = None,
        *,
        compared: bool = False,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return so many of the allowed rows that are nearest by their codes, in that order; if compared, by score.

        Of more lists where those hold too few. Raises InvalidIndex if it cannot be so.
        """
        probes = min(probes, self.header.lists)
        index = self._compared_index if compared else self._index
        if allowed is None:
            parameters = _search_parameters(self.kind, probes, compared)
        else:
            parameters = _whole(restricted(recall.probing(self.kind, probes), allowed), compared)
        with one_thread() if len(queries) == 1 else nullcontext():
            try:
                scores, rows = index.search(queries, wanted, params=parameters)
            except RuntimeError as error:  # FAISS compares no row that is not there
                raise InvalidIndex("its lists name rows that are not there") from error
        in_order = np.sort(rows, axis=1)
        lacking = np.flatnonzero(in_order[:, 0] < 0)
        if len(lacking) and probes < self.header.lists:
            scores[lacking], rows[lacking] = self._candidates(
                queries[lacking], wanted, 4 * probes, allowed, compared=compared
            )
            return scores, rows
        is_outside = len(lacking) or (in_order[:, -1] >= self.header.rows).any()
        if is_outside or (in_order[:, 1:] == in_order[:, :-1]).any():
            raise InvalidIndex("its lists do not name every row once")
        return scores, rows


@functools.lru_cache(maxsize=64)  # FAISS only reads them, and they take a tenth of a search's time to make
def _search_parameters(kind: str, probes: int, compared: bool) -> Any:
    return _whole(recall.probing(kind, probes), compared)


def _whole(inner: Any, compared: bool) -> Any:
    """Return FAISS's parameters of the whole index for those of its lists."""
    parameters = faiss.SearchParametersPreTransform(index_params=inner)
    return faiss.IndexRefineSearchParameters(k_factor=1, base_index_params=parameters) if compared else parameters


def open_compressed(path: Path, vectors: NDArray[np.float16]) -> CompressedIndex:
    """Open an index file by memory map. vectors: (n, dim) float16, all rows of the store, may be mapped.

    Raises FileNotFoundError, and InvalidIndex for a file that is damaged or of other rows.
    """
    with open(path, "rb") as file:
        header = checked_header(file, vectors)
        index = _read(file, faiss.IO_FLAG_MMAP)
        # Or every search starts a thread for each list it is going to look through, which takes longer than looking.
        faiss.downcast_InvertedLists(faiss.extract_index_ivf(index).invlists).prefetch_nthread = 0
        return CompressedIndex(index, header, os.fstat(file.fileno()).st_size, vectors)


def verify(path: Path, vectors: NDArray[np.float16]) -> None:
    """Read the whole index file. Raises what `open_compressed` does, and InvalidIndex if its lists are damaged."""
    with open(path, "rb") as file:
        checked_header(file, vectors, whole=True)
        _read(file, faiss.IO_FLAG_MMAP)


def build(
    file: BinaryIO,
    vectors: NDArray[np.float16],
    kind: str,
    target: float,
    device: Device,
    stop: threading.Event | None = None,
    lists: int | None = None,
    *,
    searchable: Bool | None = None,
) -> IndexHeader:
    """Make the index of these rows, measure it, and write it to a file.

    Every row that holds a vector is in the index, since one that is hidden may be shown again; what the index is made
    for and measured by are the searchable rows alone.

    Parameters
    ----------
    file
        Empty, open for reading and writing. It is the caller's to put it in the place of an older one.
    vectors
        (n, dim) float16, may be mapped; rows that were given back are zeros.
    kind
        One of KINDS.
    target
        The recall of ten neighbours to reach, in (0, 1].
    lists
        How many inverted lists; None: about sqrt(n).
    searchable
        (n,) bool, more than one; None: all rows.

    Memory is that of a sample of at most 131,072 rows, reduced, in float32, and of the codes. Raises Stopped, and
    StoreDamaged if the searchable rows hold no vector.
    """
    rows = rows_of(searchable, len(vectors))
    lists = min(lists or number_of_lists(len(rows)), len(rows))
    index = _train(vectors, rows, kind, lists, device, stop)
    lists = int(faiss.extract_index_ivf(index).nlist)
    header = IndexHeader(kind, vectors.shape[1], 0, len(rows), lists, target=target)
    return _grow(file, index, header, vectors, searchable, stop)


def extend(
    file: BinaryIO,
    path: Path,
    vectors: NDArray[np.float16],
    target: float,
    stop: threading.Event | None = None,
    *,
    searchable: Bool | None = None,
) -> IndexHeader:
    """Write the index of a path with the rows that are newer than it to a file, as `build` does.

    Raises InvalidIndex, and what `build` does.
    """
    with open(path, "rb") as older:
        header = checked_header(older, vectors, whole=True)
        index = _read(older, 0)
    if header.target != target:
        header = replace(header, target=target, measured=0)
    return _grow(file, index, header, vectors, searchable, stop)


def _train(
    vectors: NDArray[np.float16],
    rows: NDArray[np.int64],
    kind: str,
    lists: int,
    device: Device,
    stop: threading.Event | None,
) -> Any:
    """Return an empty index whose lists and codes are made for these rows."""
    sample = sample_of(rows, min(lists * ROWS_A_LIST_TO_TRAIN, MOST_TO_TRAIN))
    reduction = _reduction(vectors, sample_of(sample, PCA_ROWS))
    reduced = _apply(reduction, vectors, sample)
    if not len(reduced):
        raise StoreDamaged(f"{len(sample)} rows to make an index for hold no vector; `vecstore check` says which")
    lists = min(lists, len(reduced))
    quantizer = faiss.IndexFlatL2(reduction.d_out)
    quantizer.add(_centroids(reduced, lists, device, stop))
    if kind == "rabitq":
        inner = faiss.IndexIVFRaBitQ(quantizer, reduction.d_out, lists, faiss.METRIC_L2)
    else:
        parts = pq_parts(reduction.d_out)
        bits = min(8, int(np.log2(len(reduced))))
        inner = faiss.IndexIVFPQ(quantizer, reduction.d_out, lists, parts, bits, faiss.METRIC_L2)
        inner.use_precomputed_table = -1  # one would be made at every opening
        inner.pq.cp.niter = TRAINING_ITERATIONS
        inner.pq.cp.min_points_per_centroid = 1  # or FAISS warns on stderr where there are few rows
    inner.train(reduced)
    index = faiss.IndexPreTransform(reduction, inner)
    index.referenced_objects = (reduction, quantizer, inner)
    return index


def _apply(reduction: Any, vectors: NDArray[np.float16], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the rows reduced, a block at a time: in all their dimensions they may take eight times the memory."""
    return np.concatenate([reduction.apply(block) for _, block in stored_blocks(vectors, rows)])


def _reduction(vectors: NDArray[np.float16], rows: NDArray[np.int64]) -> Any:
    """Return the linear map onto as many principal directions as it takes, turned at random."""
    dim = vectors.shape[1]
    n_rows, total, squares = 0, np.zeros(dim), np.zeros((dim, dim))
    for numbers, block in stored_blocks(vectors, rows):
        n_rows += len(numbers)
        total += block.sum(axis=0, dtype=np.float64)
        squares += block.T @ block
    squares -= np.outer(total, total / max(n_rows, 1))
    covariance, kept = squares.astype(np.float32), min(FEWEST_DIMS, dim)
    random = np.random.default_rng(SEED)
    while True:
        directions = leading_eigenvectors(covariance, kept, EIGENVECTOR_STEPS, random)
        explained = float(np.vdot(directions, covariance @ directions))
        if kept == dim or explained >= EXPLAINED * float(np.trace(covariance)):
            break
        kept = min(2 * kept, dim)
    turned = np.linalg.qr(random.standard_normal((kept, kept)))[0]
    reduction = faiss.LinearTransform(dim, kept, False)
    faiss.copy_array_to_vector((turned @ directions.T).astype(np.float32).ravel(), reduction.A)
    reduction.is_trained = True
    return reduction


def _centroids(rows: NDArray[np.float32], k: int, device: Device, stop: threading.Event | None) -> NDArray[np.float32]:
    centroids = rows[sample_of(np.arange(len(rows)), k)]
    for _ in range(TRAINING_ITERATIONS):  # one at a time, so that it can be called off
        go_on(stop)
        kmeans = faiss.Kmeans(
            rows.shape[1],
            k,
            niter=1,
            seed=SEED,
            min_points_per_centroid=1,
            max_points_per_centroid=len(rows),
        )
        kmeans.index = on_device(kmeans.index, device)
        with faiss_errors():
            kmeans.train(rows, init_centroids=centroids)
        centroids = np.asarray(kmeans.centroids, np.float32)
    return centroids


def _grow(
    file: BinaryIO,
    index: Any,
    header: IndexHeader,
    vectors: NDArray[np.float16],
    searchable: Bool | None,
    stop: threading.Event | None,
) -> IndexHeader:
    """Add the rows that the index lacks, set what a search looks at, and write the file."""
    for rows, block in stored_blocks(vectors, np.arange(header.rows, len(vectors))):
        go_on(stop)
        index.add_with_ids(block, rows)
    header = replace(header, rows=len(vectors), digest=digest(vectors, len(vectors)))
    if header.rows >= MEASURE_AGAIN * header.measured:
        header = recall.with_least_work(index, header, vectors, searchable, stop)
    go_on(stop)
    return _write(file, index, header)


# The file


def _write(file: BinaryIO, index: Any, header: IndexHeader) -> IndexHeader:
    """Write the index, and behind it its header; return that."""
    faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))
    end = file.tell()
    file.flush()
    written = _read(file, faiss.IO_FLAG_MMAP)
    lists = faiss.downcast_InvertedLists(faiss.extract_index_ivf(written).invlists)
    head = min(lists.lists.at(i).offset for i in range(header.lists) if lists.lists.at(i).capacity)
    header = replace(header, head=head, head_checksum=checksum_of(file, 0, head))
    header = replace(header, codes_checksum=checksum_of(file, head, end))
    file.seek(end)
    append_header(file, header)
    return header


def _read(file: BinaryIO, flags: int) -> Any:
    """Read the FAISS index of an open file; by its descriptor, since FAISS takes no name that is not UTF-8."""
    try:
        return faiss.read_index(f"/dev/fd/{file.fileno()}", flags | faiss.IO_FLAG_SKIP_PRECOMPUTE_TABLE)
    except RuntimeError as error:
        raise InvalidIndex("FAISS cannot read it") from error
