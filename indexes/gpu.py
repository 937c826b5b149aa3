"""Exact search on all GPUs, for many queries at a time: the vectors are copied to their memory once, in float16."""

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.ann import ROUNDING, ExactIndex, Neighbours, check, gathered, ranked

# FAISS on a GPU returns at most so many neighbours: https://github.com/facebookresearch/faiss/wiki/Faiss-on-the-GPU
MOST_NEIGHBOURS = 2_048
BLOCK_ROWS = 65_536
QUERIES_AT_ONCE = 1_024
# The part of the GPUs' free memory that the vectors may take; the rest is FAISS's to work in.
MEMORY_PART = 0.7


class GpuIndex:
    """Finds candidates on the GPUs, sharded over all of them; the stored rows put them in exact order."""

    kind = "gpu-flat"
    recall = 1.0  # float16 is what is stored, and candidates within its rounding of the k-th are compared exactly

    def __init__(self, vectors: NDArray[np.float16]) -> None:
        self._exact = ExactIndex(vectors)
        self.vectors = self._exact.vectors
        self.bytes = int(vectors.nbytes)
        options = faiss.GpuMultipleClonerOptions()
        options.useFloat16 = True
        options.shard = True
        self._index = faiss.index_cpu_to_all_gpus(faiss.IndexFlatIP(vectors.shape[1]), co=options)
        for start in range(0, len(vectors), BLOCK_ROWS):
            self._index.add(self.vectors[start : start + BLOCK_ROWS].astype(np.float32))

    def search(self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None) -> Neighbours:
        """Return the k rows nearest to each query, as `Index.search` says."""
        n_rows, n_allowed = len(self.vectors), check(self.vectors, queries, k, allowed)
        n_found = min(k, n_allowed)
        # It takes no selector, so as many more are asked for as may not be found.
        wanted = min(n_found + 8 + n_rows - n_allowed, n_rows)
        if not n_found or wanted > MOST_NEIGHBOURS:
            return self._exact.search(queries, k, allowed)
        found = []
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            block = queries[start : start + QUERIES_AT_ONCE]
            scores, rows = self._index.search(np.ascontiguousarray(block), wanted)
            for query, its_scores, its_rows in zip(block, scores, rows, strict=True):
                kept = np.ones(wanted, np.bool_) if allowed is None else allowed[its_rows]
                # As in ExactIndex: ties may reach beyond the cut.
                if wanted < n_rows and its_scores[-1] >= its_scores[kept][n_found - 1] - ROUNDING:
                    exact = self._exact.search(query[None], k, allowed)
                    found.append((exact.rows[0], exact.scores[0]))
                else:
                    found.append(ranked(self.vectors, its_rows[kept], query, n_found))
        return gathered(found, n_found)


def fits(vectors: NDArray[np.float16]) -> bool:
    """Say whether the GPUs have room for the vectors."""
    import torch

    free = sum(torch.cuda.mem_get_info(number)[0] for number in range(torch.cuda.device_count()))
    return bool(vectors.nbytes <= MEMORY_PART * free)
