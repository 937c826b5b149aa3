"""How many clusters: a sweep over k on a sample, the loss and the silhouette of each, and one k chosen with its reason.

Arrays in, a curve out; the picture of it is in `vecstore/views/plots.py`. This module knows no store.
"""

import warnings

import numpy as np
from numpy.typing import NDArray

from indexes.devices import Device
from vecstore.errors import BadInput
from vecstore.results import Elbow, ElbowPoint
from vecstore.storage.vector_file import Float16, Float32

Int64 = NDArray[np.int64]

# Rows to sweep on; the silhouette compares every one with every other.
SAMPLE_ROWS = 3_000
# Up to how many clusters, if nothing else is asked for, and how many images one has to have on average.
MAX_K, LEAST_SIZE = 100, 10
# Every k up to EVERY_K, from there steps by a seventh.
EVERY_K, GROWTH = 10, 7
# From here on a silhouette says that there is structure: Kaufman and Rousseeuw, Finding Groups in Data (1990), table 4.
STRUCTURE = 0.25
ITERATIONS = 10
# Fresh starts for each k, and rows to choose each new centroid of a warm start from (greedy k-means++).
STARTS, CANDIDATES = 3, 5


def sweep(vectors: Float16, rows: Int64, *, seed: int, device: Device, max_k: int | None = None) -> Elbow:
    """Return loss and silhouette for k from 1 to max_k, and the k that is chosen.

    vectors: (n, dim) float16, mapped. rows: the rows to cluster, ascending. max_k: if not given, 100, or a tenth of the
    images if that is less: smaller clusters are found in any noise. Raises BadInput on fewer than 4 rows, or a max_k
    below 2 or above half the rows.
    """
    from indexes.rows import as_float32

    if len(rows) < 4:
        raise BadInput(f"{len(rows)} images are too few to choose k by; give -k N")
    random = np.random.default_rng(seed)
    sample = rows
    if len(rows) > SAMPLE_ROWS:
        sample = np.sort(random.choice(rows, SAMPLE_ROWS, replace=False))
    points = as_float32(vectors, sample)
    most = max_k if max_k is not None else max(2, min(MAX_K, len(points) // LEAST_SIZE))
    if not 2 <= most <= len(points) // 2:
        raise BadInput(f"the greatest k is {most}; for {len(points)} images it must be from 2 to {len(points) // 2}")
    runs = _Sweep(points, random, device)
    for k in _grid(most):
        runs.add(k)
    for centre in {runs.knee(), runs.silhouette_peak()}:
        for k in _between_neighbours(sorted(runs.points), centre):
            runs.add(k)
    knee, peak = runs.knee(), runs.silhouette_peak()
    k, reason = _choose(knee, peak, runs.points[peak].silhouette)
    return Elbow(k, reason, knee, peak, len(rows), len(points), tuple(runs.points[k] for k in sorted(runs.points)))


def _choose(knee: int, peak: int, silhouette: float | None) -> tuple[int, str]:
    """Return the k to take, and why: the silhouette's, unless it is higher only where clusters fall apart."""
    value = f"{silhouette or 0.0:.2f}"
    if (silhouette or 0.0) >= STRUCTURE or peak <= knee:
        return peak, f"the silhouette is highest at {peak} ({value}), and the loss has its knee at {knee}"
    return knee, f"the loss has its knee at {knee}, and beyond it the silhouette gains too little (at {peak}, {value})"


def _grid(most: int) -> list[int]:
    ks = list(range(1, min(EVERY_K, most) + 1))
    while ks[-1] < most:
        ks.append(min(most, ks[-1] + max(1, round(ks[-1] / GROWTH))))
    return ks


def _between_neighbours(ks: list[int], centre: int) -> list[int]:
    at = ks.index(centre)
    low, high = ks[max(at - 1, 0)], ks[min(at + 1, len(ks) - 1)]
    return [k for k in range(low + 1, high) if k not in ks]


class _Sweep:
    """The runs made so far, by k."""

    def __init__(self, rows: Float32, random: np.random.Generator, device: Device) -> None:
        from sklearn.metrics import pairwise_distances

        self.points: dict[int, ElbowPoint] = {}
        self._rows = rows
        self._random = random
        self._device = device
        self._centroids: dict[int, Float32] = {}
        self._distances = pairwise_distances(rows)
        np.fill_diagonal(self._distances, 0)

    def add(self, k: int) -> None:
        """Make the run for k: the better one of a warm start from the next smaller k's centroids and a fresh start."""
        from indexes import kmeans

        options = kmeans.KMeansOptions(int(self._random.integers(2**31)), ITERATIONS, STARTS, init="kmeans++")
        runs = [kmeans.train(self._rows, k, options, self._device)]
        smaller = max((done for done in self._centroids if done < k), default=None)
        if smaller is not None:
            start = self._grown(self._centroids[smaller], k)
            runs.append(kmeans.train(self._rows, k, options, self._device, start=start))
        best = min(runs, key=lambda run: run.objective)
        self._centroids[k] = best.centroids
        labels = kmeans.assign(self._rows, best.centroids, self._device).labels
        self.points[k] = ElbowPoint(k, best.objective / len(self._rows), self._silhouette(labels))

    def knee(self) -> int:
        """Return where the loss bends most, 1 where it does not bend."""
        from kneed import KneeLocator

        ks = sorted(self.points)
        losses = [self.points[k].loss for k in ks]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is no knee is said by None
            found = KneeLocator(ks, losses, curve="convex", direction="decreasing").knee if len(ks) > 2 else None
        return int(found) if found is not None else 1

    def silhouette_peak(self) -> int:
        return max(self.points.values(), key=lambda point: (point.silhouette or -1.0, -point.k)).k

    def _grown(self, centroids: Float32, k: int) -> Float32:
        """Return k centroids: these, and rows drawn by their squared distance to the nearest, as k-means++ does."""
        from indexes import kmeans

        squared = np.square(kmeans.assign(self._rows, centroids, self._device).distances, dtype=np.float64)
        grown = [*centroids]
        while len(grown) < k:
            total = squared.sum()
            drawn = self._rows[self._random.choice(len(squared), CANDIDATES, p=squared / total if total else None)]
            left = np.minimum(squared, np.maximum(2 - 2 * drawn @ self._rows.T, 0))  # the rows are of length 1
            best = int(np.argmin(left.sum(axis=1)))
            grown.append(drawn[best])
            squared = left[best]
        return np.stack(grown)

    def _silhouette(self, labels: Int64) -> float | None:
        from sklearn.metrics import silhouette_score

        if not 2 <= len(np.unique(labels)) < len(labels):
            return None
        return float(silhouette_score(self._distances, labels, metric="precomputed"))
