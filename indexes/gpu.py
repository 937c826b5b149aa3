"""Search on GPUs, for many queries at a time: the vectors are copied to GPU memory once, in float16.

`GpuIndex` compares every row, on all GPUs. For very many rows, and with a FAISS that has cuVS, `CagraIndex` searches a
graph (CAGRA, https://arxiv.org/abs/2308.15136) on one GPU. Both find candidates, which are then ordered exactly by the
stored rows.
"""

import logging
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.ann import ROUNDING, ExactIndex, Neighbours, check, gathered, ranked
from indexes.devices import Device, faiss_gpus
from indexes.faiss_on_gpus import faiss_errors, on_device, resources
from indexes.recall import MEASURED_NEIGHBOURS, MEASURED_QUERIES, nearest_others, recall_of
from indexes.rows import as_float32, in_blocks, sample_of

log = logging.getLogger(__name__)

# The most neighbours that FAISS returns on a GPU: https://github.com/facebookresearch/faiss/wiki/Faiss-on-the-GPU
MOST_NEIGHBOURS = 2_048
# Additional candidates, because rounding may put a true neighbour behind the k-th.
SPARE = 8
# Rows copied at a time: enough to hide the latency of each transfer.
COPIED_ROWS = 65_536
QUERIES_AT_ONCE = 1_024
# The fraction of the GPUs' free memory that the vectors may take; FAISS needs the rest.
MEMORY_PART = 0.7
# Comparing all pairs of rows takes quadratic time, building a graph does not. The number is a guess: neither has been
# measured yet (docs/gpu.md).
CAGRA_ROWS = 2_000_000
# Sizes of a graph search's candidate list, tried in this order until the recall is reached.
BREADTHS = (64, 128, 256, 512)
ONE = Device("cuda", 1)


class GpuIndex:
    """Compares every row, sharded over the device's GPUs."""

    kind = "gpu-flat"
    recall = 1.0  # float16 is what is stored, and candidates within its rounding of the k-th are compared exactly

    def __init__(self, vectors: NDArray[np.float16], device: Device) -> None:
        self.device = device
        self._exact = ExactIndex(vectors)
        self.vectors = self._exact.vectors
        self.bytes = int(vectors.nbytes)
        self._index = self._copied()

    def _copied(self) -> Any:
        options = faiss.GpuMultipleClonerOptions()
        options.useFloat16 = True
        options.shard = True
        index = on_device(faiss.IndexFlatIP(self.vectors.shape[1]), self.device, options)
        for block in in_blocks(self.vectors, COPIED_ROWS):
            with faiss_errors():
                index.add(block.astype(np.float32))
        return index

    def search(self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None) -> Neighbours:
        """Return the k rows nearest to each query; see `Index.search`."""
        n_rows, n_allowed = len(self.vectors), check(self.vectors, queries, k, allowed)
        n_found = min(k, n_allowed)
        # FAISS's GPU index takes no selector, so enough candidates are requested to drop every row that is not allowed.
        wanted = min(n_found + SPARE + n_rows - n_allowed, n_rows)
        if not n_found or wanted > MOST_NEIGHBOURS:
            return self._exact.search(queries, k, allowed)
        found = []
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            block = np.ascontiguousarray(queries[start : start + QUERIES_AT_ONCE])
            for query, scores, rows in zip(block, *self._candidates(block, wanted), strict=True):
                kept = rows >= 0 if allowed is None else (rows >= 0) & allowed[rows]
                if np.count_nonzero(kept) < n_found or self._may_lack(scores, kept, n_found):
                    exact = self._exact.search(query[None], k, allowed)
                    found.append((exact.rows[0], exact.scores[0]))
                else:
                    found.append(ranked(self.vectors, rows[kept], query, n_found))
        return gathered(found, n_found)

    def _candidates(self, queries: NDArray[np.float32], wanted: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return (scores, rows), (n, wanted) each, of the nearest rows by the GPU's index."""
        with faiss_errors():
            scores, rows = self._index.search(queries, wanted)
        return scores, rows

    def _may_lack(self, scores: NDArray[np.float32], kept: NDArray[np.bool_], n_found: int) -> bool:
        """Return whether rows beyond the candidates may tie with the last result, as in ExactIndex."""
        return len(scores) < len(self.vectors) and bool(scores[-1] >= scores[kept][n_found - 1] - ROUNDING)


class CagraIndex(GpuIndex):
    """Searches a graph of near rows on one GPU, with the smallest candidate list that reaches the target recall."""

    kind = "gpu-cagra"

    def __init__(
        self,
        vectors: NDArray[np.float16],
        target: float,
        searchable: NDArray[np.bool_] | None = None,
        device: Device = ONE,
    ) -> None:
        """vectors: (n, dim) float16. searchable: (n,) bool, the rows to measure by, one or more; None: all."""
        super().__init__(vectors, device)
        if searchable is None:
            searchable = np.ones(len(vectors), np.bool_)
        sample = sample_of(np.flatnonzero(searchable), MEASURED_QUERIES)
        queries = as_float32(vectors, sample)
        truth = nearest_others(vectors, sample, queries, None, searchable)
        # As `search` does: it takes no selector, so as many more are asked for as may not be found.
        wanted = MEASURED_NEIGHBOURS + 1 + int(np.count_nonzero(~searchable))
        for self._breadth in BREADTHS:
            found = self._candidates(queries, min(wanted, len(vectors), MOST_NEIGHBOURS))[1]
            self.recall = float(np.mean([recall_of(t, f) for t, f in zip(truth, found, strict=True)]))
            if self.recall >= target:
                break

    def _copied(self) -> Any:
        config = faiss.GpuIndexCagraConfig()
        config.device = self.device.gpus[0]
        with faiss_errors():
            memory = resources(config.device)
            index = faiss.GpuIndexCagra(memory, self.vectors.shape[1], faiss.METRIC_INNER_PRODUCT, config)
            index.referenced_objects = (memory,)
            index.train(self.vectors, numeric_type=faiss.Float16)  # the rows are its nodes: there is no other add
        return index

    def _candidates(self, queries: NDArray[np.float32], wanted: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        breadth = max(self._breadth, wanted)
        parameters = faiss.SearchParametersCagra()
        parameters.itopk_size = -(-breadth // 32) * 32  # it takes multiples of 32
        with faiss_errors():
            scores, rows = self._index.search(queries, wanted, params=parameters, numeric_type=faiss.Float16)
        return scores, rows

    def _may_lack(self, scores: NDArray[np.float32], kept: NDArray[np.bool_], n_found: int) -> bool:
        return False  # a graph search is approximate; `recall` says how much it misses


def open_on_gpus(
    vectors: NDArray[np.float16], target: float, device: Device, searchable: NDArray[np.bool_] | None = None
) -> GpuIndex | None:
    """Return an index on the device's GPUs; None if the vectors do not fit into their free memory.

    Parameters
    ----------
    vectors: (n, dim) float16, may be mapped.
    target: recall@10 that a graph must reach to be used; 1: always compare every row.
    searchable: (n,) bool, the rows to measure it by; None: all.
    """
    import torch

    n_searchable = len(vectors) if searchable is None else int(np.count_nonzero(searchable))

    free = [torch.cuda.mem_get_info(number)[0] * MEMORY_PART for number in faiss_gpus(device)]
    # Building the graph needs the rows a second time.
    if n_searchable >= CAGRA_ROWS and target < 1 and has_cuvs() and 2 * vectors.nbytes <= free[0]:
        graph = CagraIndex(vectors, target, searchable, device)
        if graph.recall >= target:
            return graph
        log.warning("the graph on the GPU reaches a recall of %.4f, not %g; it is not used", graph.recall, target)
        del graph  # frees its GPU memory
    return GpuIndex(vectors, device) if vectors.nbytes <= sum(free) else None


def has_cuvs() -> bool:
    """Return whether this FAISS was built with cuVS, as `faiss-gpu-cuvs` is."""
    return hasattr(faiss, "GpuIndexCagra")
