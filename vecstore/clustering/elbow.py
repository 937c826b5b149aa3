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
# Principal directions that the runs are made in; losses and silhouettes are those in all dimensions.
DIRECTIONS, PCA_STEPS = 128, 2
# Pairs of random halves whose clusterings are compared, and from where on they are called stable.
HALVES, STABLE = 3, 0.8


def sweep(vectors: Float16, rows: Int64, *, seed: int, device: Device, max_k: int | None = None) -> Elbow:
    """Return loss and silhouette for k from 1 to max_k, and the k that is chosen.

    vectors: (n, dim) float16, mapped. rows: the rows to cluster, ascending. max_k: if not given, 100, or a tenth of the
    images if that is less: smaller clusters are found in any noise. Raises BadInput on fewer than 4 rows, or a max_k
    below 2 or above half the rows.
    """
    from indexes.rows import as_float32

    if len(rows) < 4:
        images = "1 image is" if len(rows) == 1 else f"{len(rows)} images are"
        raise BadInput(f"{images} too few to choose k by; give -k N")
    random = np.random.default_rng(seed)
    sample = rows
    if len(rows) > SAMPLE_ROWS:
        sample = np.sort(random.choice(rows, SAMPLE_ROWS, replace=False))
    points = as_float32(vectors, sample)
    most = max_k if max_k is not None else greatest_k(len(points))
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
    stability = runs.stability(k) if k > 1 else None
    if k > 1:
        reason += _sureness(runs.points[k].silhouette, stability)
    curve = tuple(runs.points[k] for k in sorted(runs.points))
    return Elbow(k, reason, knee, peak, len(rows), len(points), curve, stability)


def greatest_k(n_images: int) -> int:
    """Return up to which k is looked, if nothing else is asked for."""
    return max(2, min(MAX_K, n_images // LEAST_SIZE))


def _choose(knee: int, peak: int, silhouette: float | None) -> tuple[int, str]:
    """Return the k to take, and why: the silhouette's, unless it is higher only where clusters fall apart."""
    if silhouette is None:
        return 1, "the images are all alike, so that nothing parts them"
    value = f"{silhouette or 0.0:.2f}"
    if (silhouette or 0.0) >= STRUCTURE or peak <= knee:
        return peak, f"the silhouette is highest at {peak} ({value}), and the loss has its knee at {knee}"
    return knee, f"the loss has its knee at {knee}, and beyond it the silhouette gains too little (at {peak}, {value})"


def _sureness(silhouette: float | None, stability: float | None) -> str:
    """Return how sure a choice is, in words for its reason."""
    apart = "well apart" if (silhouette or 0.0) >= STRUCTURE else "hardly apart, so other numbers may do as well"
    if stability is None:
        return f"; its clusters are {apart}"
    halves = f"random halves {'agree on it' if stability >= STABLE else 'disagree on it'} ({stability:.2f})"
    return f"; its clusters are {apart}, and {halves}"


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
        from indexes.principal_directions import principal_directions

        self.points: dict[int, ElbowPoint] = {}
        self._all_dimensions = rows
        self._rows = rows
        if rows.shape[1] > DIRECTIONS:
            self._rows = rows @ principal_directions(rows, DIRECTIONS, PCA_STEPS, random)
        self._random = random
        self._device = device
        self._centroids: dict[int, Float32] = {}
        squares = np.vecdot(rows, rows)
        squared = np.maximum(squares[:, None] + squares - 2 * (rows @ rows.T), 0)
        np.fill_diagonal(squared, 0)
        self._distances = np.sqrt(squared)

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
        self.points[k] = ElbowPoint(k, self._loss(labels, k), self._silhouette(labels, k))

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
            left = np.minimum(squared, np.square(drawn[:, None] - self._rows).sum(axis=2))
            best = int(np.argmin(left.sum(axis=1)))
            grown.append(drawn[best])
            squared = left[best]
        return np.stack(grown)

    def stability(self, k: int) -> float | None:
        """Return how far clusterings into k agree that are trained on random halves; None with too few rows for it."""
        from sklearn.metrics import adjusted_rand_score

        from indexes import kmeans

        half = len(self._rows) // 2
        if half < 2 * k:
            return None
        agreements = []
        for _ in range(HALVES):
            shuffled = self._random.permutation(len(self._rows))
            labels = []
            for rows in (shuffled[:half], shuffled[half:]):
                options = kmeans.KMeansOptions(int(self._random.integers(2**31)), ITERATIONS, STARTS, init="kmeans++")
                trained = kmeans.train(np.ascontiguousarray(self._rows[rows]), k, options, self._device)
                labels.append(kmeans.assign(self._rows, trained.centroids, self._device).labels)
            agreements.append(adjusted_rand_score(*labels))
        return float(np.mean(agreements))

    def _loss(self, labels: Int64, k: int) -> float:
        """Return the mean squared distance to the centroid in all dimensions."""
        rows = self._all_dimensions
        sums = _members(labels, k) @ rows
        sizes = np.maximum(np.bincount(labels, minlength=k), 1)
        return float((np.vecdot(rows, rows).sum(dtype=np.float64) - (np.vecdot(sums, sums) / sizes).sum()) / len(rows))

    def _silhouette(self, labels: Int64, k: int) -> float | None:
        """Return the mean silhouette, by one multiplication of matrices: scikit-learn's takes a minute for a sweep.

        Rousseeuw, Silhouettes, Journal of Computational and Applied Mathematics 20 (1987); a cluster of one counts 0.
        """
        sizes = np.bincount(labels, minlength=k)
        if not 2 <= np.count_nonzero(sizes) < len(labels):
            return None
        own = np.arange(len(labels))
        means = self._distances @ _members(labels, k).T
        within = means[own, labels] / np.maximum(sizes[labels] - 1, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            means /= sizes
        means[own, labels] = np.inf
        means[:, sizes == 0] = np.inf
        nearest = means.min(axis=1)
        largest = np.maximum(np.maximum(within, nearest), np.finfo(np.float32).tiny)
        return float(np.where(sizes[labels] > 1, (nearest - within) / largest, 0).mean(dtype=np.float64))


def _members(labels: Int64, k: int) -> Float32:
    """Return which rows belong to each cluster, (k, n) float32, as ones."""
    return np.asarray(np.arange(k)[:, None] == labels, np.float32)
