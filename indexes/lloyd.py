"""Lloyd's iterations over all rows, in parts: what each part adds up to, and the centroids that follow from all.

Sums are float64, and parts are added in the order of their rows, so that who worked them out changes nothing.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from indexes import kmeans
from indexes.devices import Device
from indexes.rows import BLOCK_ROWS, convert, in_blocks


@dataclass(frozen=True)
class Sums:
    """Of some rows, by nearest centroid. sums: (k, dim) float64. counts: (k,) int64. objective: squared distances."""

    sums: NDArray[np.float64]
    counts: NDArray[np.int64]
    objective: float


def sums_of(
    vectors: NDArray[np.float16], rows: NDArray[np.int64], centroids: NDArray[np.float32], device: Device
) -> Sums:
    """Return what `rows` of the vectors, ascending, add up to at their nearest centroids. Memory is that of a block."""
    k, dim = centroids.shape
    total = Sums(np.zeros((k, dim)), np.zeros(k, np.int64), 0.0)
    for block in in_blocks(rows, BLOCK_ROWS):
        converted = convert(vectors, block, np.empty((len(block), dim), np.float32))
        assigned = kmeans.assign(converted, centroids, device)
        n = len(block)
        one_hot = csr_array((np.ones(n), assigned.labels, np.arange(n + 1)), shape=(n, k))
        part = Sums(one_hot.T @ converted, np.bincount(assigned.labels, minlength=k), assigned.objective)
        total = reduce_sums([total, part])
    return total


def reduce_sums(parts: Iterable[Sums]) -> Sums:
    """Return the sum of one part or more, added in their order as they come."""
    return functools.reduce(lambda a, b: Sums(a.sums + b.sums, a.counts + b.counts, a.objective + b.objective), parts)


def update_centroids(centroids: NDArray[np.float32], total: Sums, spherical: bool) -> NDArray[np.float32]:
    """Return the centroids after an iteration: the means of their rows; one without rows stays where it is.

    spherical: scaled to length 1.
    """
    counts = total.counts[:, None]
    means = np.where(counts > 0, total.sums / np.maximum(counts, 1), centroids)
    if spherical:
        lengths = np.linalg.norm(means, axis=1, keepdims=True)
        means /= np.where(lengths > 0, lengths, 1)
    return means.astype(np.float32)
