"""K-means by FAISS: train on rows, assign rows. On every GPU where there are some, else on the CPU."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.devices import Device, faiss_gpus
from vecstore.errors import BadInput

log = logging.getLogger(__name__)

# FAISS's own bound for a training set (ClusteringParameters.max_points_per_centroid, faiss 1.15): more rows
# hardly move a centroid.
SAMPLE_ROWS_PER_CENTROID = 256
# A store of up to so many rows is trained on whole, whatever k.
SMALL_STORE_ROWS = 10_000
# Rows held in float32 at a time while assigning: 64 MiB at 2048 dimensions.
BLOCK_ROWS = 8_192
# Without a number of restarts: at least LEAST_RUNS, then until the least objective has come up MEETINGS times, and no
# more than MOST_RUNS or than WORK_BUDGET multiplications allow (a few seconds on two cores). A budget in seconds would
# make the result depend on the machine's load. A single run on a small store is a lottery: docs/design.md, "Restarts".
MEETINGS = 5
LEAST_RUNS = 300
MOST_RUNS = 1_000
WORK_BUDGET = 1e11
# Going through the rows once costs as much as comparing them with so many centroids, about (faiss 1.15, two cores).
READING = 20
# Two runs have met the same optimum when their objectives differ by less than this part.
SAME_OBJECTIVE = 1e-6


@dataclass(frozen=True)
class KMeansOptions:
    """seed: all randomness comes from it. iterations: at the most, of each run. restarts: runs; None: as many as pay.

    spherical: centroids are scaled to length 1 after each iteration, so that the nearest is the most cosine-similar.
    """

    seed: int = 0
    iterations: int = 25
    restarts: int | None = None
    spherical: bool = False


@dataclass(frozen=True)
class Training:
    """centroids: (k, dim) float32. objective: over the training rows. runs: how many were made."""

    centroids: NDArray[np.float32]
    objective: float
    runs: int


@dataclass(frozen=True)
class Assignment:
    """labels: (n,) int64, position of the nearest centroid. distances: (n,) float32, Euclidean, not squared."""

    labels: NDArray[np.int64]
    distances: NDArray[np.float32]

    @property
    def objective(self) -> float:
        """Sum of the squared distances."""
        return float(np.sum(np.square(self.distances, dtype=np.float64)))


def train(rows: NDArray[np.float32], k: int, options: KMeansOptions, device: Device) -> Training:
    """Return the best of several k-means runs: the one with the least sum of squared distances over `rows`.

    rows: (n, dim) float32, n >= k. On a CPU the result depends on rows, k and options alone.
    Raises BadInput on k < 1, k > n, or a wrong shape or type.
    """
    if rows.ndim != 2 or rows.dtype != np.float32:
        raise BadInput(f"rows are {rows.dtype} of shape {rows.shape}; (n, dim) float32 is wanted")
    if not 1 <= k <= len(rows):
        raise BadInput(f"k is {k}; it must be from 1 to the number of rows, {len(rows)}")
    if options.restarts is not None and options.restarts < 1:
        raise BadInput(f"the number of restarts is {options.restarts}; it must be at least 1")
    most = options.restarts or _affordable_runs(rows, k, options)
    seeds = np.random.default_rng(options.seed)
    best, least, met = np.empty((k, rows.shape[1]), np.float32), np.inf, 0
    for runs in range(1, most + 1):
        centroids = _train_once(rows, k, int(seeds.integers(2**31)), options, device)
        objective = assign(rows, centroids, device).objective
        if objective < least * (1 - SAME_OBJECTIVE):
            best, least, met = centroids, objective, 1
        elif objective <= least * (1 + SAME_OBJECTIVE):
            met += 1
        if options.restarts is None and met >= MEETINGS and runs >= LEAST_RUNS:
            break
    log.info("k-means on %s: k %d, %d rows, %d runs, objective %.6g", device, k, len(rows), runs, least)
    return Training(best, least, runs)


def assign(rows: NDArray[np.float32], centroids: NDArray[np.float32], device: Device) -> Assignment:
    """Return each row's nearest centroid. rows: (n, dim) float32, centroids: (k, dim) float32."""
    flat = faiss.IndexFlatL2(centroids.shape[1])
    flat.add(centroids)
    index = faiss.index_cpu_to_all_gpus(flat) if faiss_gpus(device) else flat
    squared, labels = index.search(rows, 1)
    # FAISS works out |x|^2 - 2xy + |y|^2, which rounding can take below zero.
    return Assignment(labels[:, 0], np.sqrt(squared[:, 0].clip(0)))


def assign_blocks(
    vectors: NDArray[np.float16], rows: NDArray[np.int64], centroids: NDArray[np.float32], device: Device
) -> Iterator[tuple[NDArray[np.int64], Assignment]]:
    """Yield (row numbers, their assignment) for `rows` of the mapped vectors, a block at a time."""
    for start in range(0, len(rows), BLOCK_ROWS):
        block = rows[start : start + BLOCK_ROWS]
        yield block, assign(vectors[block].astype(np.float32), centroids, device)


def sample_rows(rows: NDArray[np.int64], k: int, seed: int) -> NDArray[np.int64]:
    """Return the rows to train on, ascending: all of them, or a random sample of what k-means gains by."""
    wanted = max(SAMPLE_ROWS_PER_CENTROID * k, SMALL_STORE_ROWS)
    if len(rows) <= wanted:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, wanted, replace=False))


def _train_once(
    rows: NDArray[np.float32], k: int, seed: int, options: KMeansOptions, device: Device
) -> NDArray[np.float32]:
    kmeans = faiss.Kmeans(
        rows.shape[1],
        k,
        niter=options.iterations,
        seed=seed,
        spherical=options.spherical,
        # Ours to bound and to check: FAISS would sample in silence, or warn on stderr.
        max_points_per_centroid=len(rows),
        min_points_per_centroid=1,
        # True means every GPU; a number n means n of them, but 1 == True: never pass the count.
        gpu=faiss_gpus(device) > 0,
    )
    kmeans.train(rows)
    return np.asarray(kmeans.centroids, np.float32)


def _affordable_runs(rows: NDArray[np.float32], k: int, options: KMeansOptions) -> int:
    work_per_run = rows.size * (k + READING) * (options.iterations + 1)
    return int(min(max(WORK_BUDGET // work_per_run, 1), MOST_RUNS))
