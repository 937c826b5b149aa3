"""Lloyd's iterations over all rows, in parts: the sums of each part, and the centroids that follow from all sums.

Sums are float64, and parts are added in the order of their rows, so that the result does not depend on who computed
which part.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes import kmeans
from indexes.devices import Device
from indexes.rows import BLOCK_ROWS, convert, in_blocks, sums_by_label


@dataclass(frozen=True)
class Sums:
    """Sums over some rows by nearest centroid.

    sums: (k, dim) float64, of the rows. counts: (k,) int64, of the rows. objective: sum of their squared distances.
    """

    sums: NDArray[np.float64]
    counts: NDArray[np.int64]
    objective: float


def sums_of(
    vectors: NDArray[np.float16], rows: NDArray[np.int64], centroids: NDArray[np.float32], device: Device
) -> Sums:
    """Return the sums of rows at their nearest centroids; memory is bounded by one block of rows.

    Parameters
    ----------
    vectors: (n_rows, dim) float16, may be mapped.
    rows: (n,) int64, ascending.
    centroids: (k, dim) float32.
    device: where to compute the assignment.
    """
    k, dim = centroids.shape
    total = Sums(np.zeros((k, dim)), np.zeros(k, np.int64), 0.0)
    for block in in_blocks(rows, BLOCK_ROWS):
        converted = convert(vectors, block, np.empty((len(block), dim), np.float32))
        assigned = kmeans.assign(converted, centroids, device)
        counts = np.bincount(assigned.labels, minlength=k)
        part = Sums(sums_by_label(converted, assigned.labels, k), counts, assigned.objective)
        total = reduce_sums([total, part])
    return total


def reduce_sums(parts: Iterable[Sums]) -> Sums:
    """Return the total of one or more parts, added in the given order."""
    return functools.reduce(lambda a, b: Sums(a.sums + b.sums, a.counts + b.counts, a.objective + b.objective), parts)


def hold(
    total: Sums,
    rows: NDArray[np.float32],
    positions: NDArray[np.int64],
    centroids: NDArray[np.float32],
    device: Device,
) -> Sums:
    """Return the total with some of its rows counted at centroids of their own instead of the nearest.

    rows: (m, dim) float32. positions: (m,) int64, of their centroids.
    """
    nearest = kmeans.assign(rows, centroids, device)
    sums, counts = total.sums.copy(), total.counts.copy()
    np.subtract.at(sums, nearest.labels, rows.astype(np.float64))
    np.add.at(sums, positions, rows.astype(np.float64))
    np.subtract.at(counts, nearest.labels, 1)
    np.add.at(counts, positions, 1)
    held = kmeans.hold(nearest, rows, centroids, kmeans.Pinned(positions, positions))
    return Sums(sums, counts, total.objective - nearest.objective + held.objective)


def update_centroids(centroids: NDArray[np.float32], total: Sums, spherical: bool) -> NDArray[np.float32]:
    """Return the centroids after an iteration: the means of their rows. A centroid without rows does not move.

    Parameters
    ----------
    centroids: (k, dim) float32, before the iteration.
    total: the sums over all rows.
    spherical: scale the centroids to length 1.

    Returns
    -------
    (k, dim) float32.
    """
    counts = total.counts[:, None]
    means = np.where(counts > 0, total.sums / np.maximum(counts, 1), centroids)
    if spherical:
        lengths = np.linalg.norm(means, axis=1, keepdims=True)
        means /= np.where(lengths > 0, lengths, 1)
    return means.astype(np.float32)
