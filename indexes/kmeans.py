"""K-means by FAISS: train on rows, assign rows. It runs on all GPUs if there are any, else on the CPU."""

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.devices import Device, faiss_gpus, for_work
from indexes.faiss_on_gpus import faiss_errors, on_device
from indexes.principal_directions import principal_directions
from indexes.rows import BLOCK_ROWS, convert, in_blocks, sums_by_label
from vecstore.errors import BadInput

log = logging.getLogger(__name__)

# FAISS's own bound for a training set (ClusteringParameters.max_points_per_centroid, faiss 1.15): more rows
# hardly move a centroid.
SAMPLE_ROWS_PER_CENTROID = 256
# Up to this number of rows, k-means is trained on all of them, whatever k.
SMALL_STORE_ROWS = 10_000
# The default number of restarts: RUNS, or as many as WORK_BUDGET multiplications allow (a few seconds on two cores). A
# budget in seconds would make the result depend on the machine's load. On a small store the result of a single run
# depends on luck: docs/design.md, "Restarts".
RUNS = 30
WORK_BUDGET = 1e11
# Reading the rows once costs about as much as comparing them with this many centroids (faiss 1.15, two cores).
READING = 20
# Multiplications between two reports of a run's state, about a second's worth on two cores: the size of one call of
# FAISS. The number does not change the result.
STEP_WORK = 5e10

# Rows of at least 2 * DIRECTIONS dimensions are clustered in DIRECTIONS principal directions, found from at most
# PCA_ROWS rows; the last iterations use all dimensions. That costs a fraction, and the objective is not higher:
# docs/design.md, "PCA first".
DIRECTIONS, PCA_ROWS, PCA_STEPS = 128, 4_096, 2
# How many iterations are the last ones: on SMALL_STORE_ROWS rows and fewer, and on more. Of these the first needs no
# distances in all dimensions, and any other takes as long as all the iterations before.
LAST_OF_FEW_ROWS, LAST_OF_MANY_ROWS = 2, 1

# The number of rows that FAISS multiplies at a time. With its default of 4,096, threads mostly wait for each other:
# 25,600 x 2048 against 100 centroids took 0.26 s of two cores' time with 4,096, 0.17 s in one block (faiss 1.15.1).
faiss.cvar.distance_compute_blas_query_bs = 1 << 16

# The first half of a run's iterations only brings the centroids near, so it is made on one row of EARLY_SHARE, where
# these are no fewer than a small store has, and enough for each centroid by FAISS's own bound: docs/design.md,
# "Few rows first".
EARLY_SHARE, EARLY_ROWS_PER_CENTROID = 4, 39

# How the first centroids are drawn: random rows, or rows far from those already drawn.
INITS = {"random": faiss.ClusteringInitMethod_RANDOM, "kmeans++": faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS}


@dataclass(frozen=True)
class KMeansOptions:
    """How to run k-means.

    Attributes
    ----------
    seed: of all random numbers, at least 0.
    iterations: maximum of each run.
    restarts: number of runs; None: as many as WORK_BUDGET allows, at most RUNS.
    spherical: scale centroids to length 1 after each iteration, so that the nearest is the most cosine-similar.
    init: how the first centroids are drawn, "random" or "kmeans++".
    """

    seed: int = 0
    iterations: int = 25
    restarts: int | None = None
    spherical: bool = False
    init: str = "random"


@dataclass(frozen=True)
class State:
    """The state of a training, from which it can be resumed with the same result.

    Attributes
    ----------
    run: number of the current run, from 1.
    iteration: iterations completed in this run.
    centroids: (k, d) float32, the current ones, in the space of the runs (all dimensions, or principal directions).
    objective: of the last iteration.
    imbalance: of the last iteration; 1 means that all clusters have the same size.
    best: (k, d) float32, the centroids of the best completed run; None before the first has ended.
    least: the objective of that run.
    """

    run: int
    iteration: int
    centroids: NDArray[np.float32]
    objective: float
    imbalance: float
    best: NDArray[np.float32] | None
    least: float


Watch = Callable[[State], None]


@dataclass(frozen=True)
class Training:
    """centroids: (k, dim) float32. runs: how many were completed. rows, device, pinned: of the training."""

    centroids: NDArray[np.float32]
    runs: int
    rows: NDArray[np.float32] = field(repr=False)
    device: Device
    pinned: "Pinned | None" = field(repr=False, default=None)

    @cached_property
    def objective(self) -> float:
        """The sum of the rows' squared distances; computed when asked for, which takes as long as an iteration."""
        assigned = assign(self.rows, self.centroids, self.device)
        return hold(assigned, self.rows, self.centroids, self.pinned).objective


@dataclass(frozen=True)
class _Space:
    """The space of the runs. rows: (n, d) float32. left_out: add it to the objective for that in all dimensions.

    early: (m, d) float32, those of the rows that the first half of a run's iterations are made on; None: all.
    """

    rows: NDArray[np.float32]
    left_out: float = 0.0
    early: NDArray[np.float32] | None = None

    def stages(self, iterations: int) -> list[tuple[NDArray[np.float32], int]]:
        """Return what a run's iterations are made on, and the number of the last one of these."""
        whole = [(self.rows, iterations)]
        return whole if self.early is None else [(self.early, iterations // 2), *whole]


@dataclass(frozen=True)
class Assignment:
    """labels: (n,) int64, position of the nearest centroid. distances: (n,) float32, Euclidean, not squared."""

    labels: NDArray[np.int64]
    distances: NDArray[np.float32]

    @property
    def objective(self) -> float:
        """Sum of the squared distances."""
        return float(np.sum(np.square(self.distances, dtype=np.float64)))


@dataclass(frozen=True)
class Pinned:
    """Rows that belong to a centroid whatever their distance, and where their centroids begin.

    held: (n,) int64, the position of the centroid of such a row, -1 for any other. seeds: (n,) int64, the same of the
    rows whose mean a centroid begins as; each centroid in `held` has some.
    """

    held: NDArray[np.int64]
    seeds: NDArray[np.int64]


def train(
    rows: NDArray[np.float32],
    k: int,
    options: KMeansOptions,
    device: Device,
    *,
    start: NDArray[np.float32] | None = None,
    resume: State | None = None,
    watch: Watch | None = None,
    pinned: Pinned | None = None,
) -> Training:
    """Return the best of several k-means runs: the one with the lowest sum of squared distances over `rows`.

    On a CPU the result depends only on rows, k, options and start.

    Parameters
    ----------
    rows: (n, dim) float32, n >= k.
    k: number of clusters, at least 1.
    options: seed, iterations, restarts and kind of k-means.
    device: where to run it.
    start: (k, dim) float32, the initial centroids; there is only one run then.
    resume: the state of an interrupted training with the same rows, k, options and start.
    watch: called with the state about every second, and after each run.
    pinned: rows that belong to their centroid whatever their distance (constrained k-means: Basu, Banerjee and Mooney,
        "Semi-supervised Clustering by Seeding", ICML 2002).

    Returns
    -------
    The centroids in all dimensions, and their objective in squared Euclidean distance.

    Raises
    ------
    BadInput: k < 1, k > n, restarts < 1, an unknown init, or a wrong shape or dtype.

    Examples
    --------
    >>> rows = np.array([[0, 0], [0, 1], [9, 8], [9, 9]], np.float32)
    >>> trained = train(rows, 2, KMeansOptions(seed=0), Device("cpu"))
    >>> sorted(trained.centroids.tolist())
    [[0.0, 0.5], [9.0, 8.5]]
    >>> trained.objective
    1.0
    """
    if rows.ndim != 2 or rows.dtype != np.float32:
        raise BadInput(f"rows are {rows.dtype} of shape {rows.shape}; (n, dim) float32 is needed")
    if not 1 <= k <= len(rows):
        raise BadInput(f"k is {k}; it must be from 1 to the number of rows, {len(rows)}")
    if options.restarts is not None and options.restarts < 1:
        raise BadInput(f"the number of restarts is {options.restarts}; it must be at least 1")
    if options.init not in INITS:
        raise BadInput(f"no init of k-means is called {options.init!r}; choose one of {', '.join(INITS)}")
    if start is not None and start.shape != (k, rows.shape[1]):
        raise BadInput(f"the initial centroids have the shape {start.shape}; ({k}, {rows.shape[1]}) is needed")
    device = training_device(rows.size, k, options, device, start)
    if start is not None or rows.shape[1] < 2 * DIRECTIONS or options.iterations <= _last_iterations(rows):
        state, best = _best_of_runs(_Space(rows), k, options, device, start, resume, watch, pinned)
    else:
        state, best = _best_by_directions(rows, k, options, device, resume, watch, pinned)
    log.info("k-means on %s: k %d, %d rows, %d runs", device, k, len(rows), state.run - 1)
    return Training(best, state.run - 1, rows, device, pinned)


def training_device(
    n_numbers: int, k: int, options: KMeansOptions, device: Device, start: NDArray[np.float32] | None
) -> Device:
    """Return where `train` works: not on a GPU that was not asked for, if all runs are soon done on the CPU.

    n_numbers: of the rows to train on, all their dimensions. k, options, start: as for `train`.
    """
    runs = 1 if start is not None else options.restarts or _affordable_runs(n_numbers, k, options)
    return for_work(device, runs * _work_per_run(n_numbers, k, options))


def _best_by_directions(
    rows: NDArray[np.float32],
    k: int,
    options: KMeansOptions,
    device: Device,
    state: State | None,
    watch: Watch | None,
    pinned: Pinned | None,
) -> tuple[State, NDArray[np.float32]]:
    """Run k-means in the rows' principal directions, and the last iterations of the best run in all dimensions."""
    in_space = replace(options, iterations=options.iterations - _last_iterations(rows))
    if state is None or state.iteration < in_space.iterations:
        directions = directions_of(rows, options.seed)
        space = _reduced(rows, directions)
        if pinned is None:  # else all iterations are made on all rows
            space = _with_early_rows(space, k, options.seed)
        state, best = _best_of_runs(space, k, in_space, device, None, state, watch, pinned)
        # In all dimensions the centroids have the same rows: every squared distance of a row grows by the same amount.
        # So the first of the last iterations needs no distances there.
        assigned = hold(assign(space.rows, best, device), space.rows, best, pinned)
        centroids = means(rows, assigned.labels, best @ directions.T, options.spherical)
        objective = assigned.objective + space.left_out
        state = replace(state, iteration=in_space.iterations + 1, centroids=centroids, objective=objective)
        if watch and state.iteration < options.iterations:
            watch(state)
    return state, _train_once(_Space(rows), k, options.seed % 2**31, options, device, None, state, watch, pinned)


def _last_iterations(rows: NDArray[np.float32]) -> int:
    return LAST_OF_FEW_ROWS if len(rows) <= SMALL_STORE_ROWS else LAST_OF_MANY_ROWS


def _best_of_runs(
    space: _Space,
    k: int,
    options: KMeansOptions,
    device: Device,
    start: NDArray[np.float32] | None,
    resume: State | None,
    watch: Watch | None,
    pinned: Pinned | None,
) -> tuple[State, NDArray[np.float32]]:
    """Complete all runs, from `resume` if given; return the last state and the best run's centroids."""
    rows = space.rows
    # Where every centroid has its seeds, all runs are the same.
    is_seeded = pinned is not None and len(np.unique(pinned.seeds[pinned.seeds >= 0])) == k
    most = 1 if start is not None or is_seeded else options.restarts or _affordable_runs(rows.size, k, options)
    seeds = np.random.default_rng(options.seed)
    state = resume or State(1, 0, np.empty((0, rows.shape[1]), np.float32), np.inf, 1.0, None, np.inf)
    for _ in range(1, state.run):  # skip the seeds of completed runs
        seeds.integers(2**31)
    while state.run <= most or state.iteration:  # the latter: in the middle of a run
        centroids = _train_once(space, k, int(seeds.integers(2**31)), options, device, start, state, watch, pinned)
        objective = hold(assign(rows, centroids, device), rows, centroids, pinned).objective
        best, least = state.best, state.least
        if best is None or objective < least:
            best, least = centroids, objective
        state = State(state.run + 1, 0, centroids[:0], objective + space.left_out, state.imbalance, best, least)
        if watch:
            watch(state)
    if state.best is None:
        raise ValueError("a training needs at least one run")
    return state, state.best


def means(
    rows: NDArray[np.float32], labels: NDArray[np.int64], centroids: NDArray[np.float32], spherical: bool
) -> NDArray[np.float32]:
    """Return the centroids moved to the means of their rows. One without rows stays where it is."""
    counts = np.bincount(labels, minlength=len(centroids))[:, None]
    sums = sums_by_label(rows, labels, len(centroids), np.float32)
    means = np.where(counts > 0, sums / np.maximum(counts, 1).astype(np.float32), centroids)
    if spherical:
        lengths = np.linalg.norm(means, axis=1, keepdims=True)
        means /= np.where(lengths > 0, lengths, 1)
    return np.ascontiguousarray(means, np.float32)


def directions_of(rows: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Return principal directions through the origin, (dim, DIRECTIONS): spherical centroids have length 1 from
    there."""
    random = np.random.default_rng(seed)
    some = rows[np.sort(random.choice(len(rows), PCA_ROWS, replace=False))] if len(rows) > PCA_ROWS else rows
    return principal_directions(some, DIRECTIONS, PCA_STEPS, random)


def _reduced(rows: NDArray[np.float32], directions: NDArray[np.float32]) -> _Space:
    seen = rows @ directions
    squares = (np.einsum("ij,ij->i", part, part).sum(dtype=np.float64) for part in (rows, seen))
    return _Space(seen, float(next(squares) - next(squares)))


def _with_early_rows(space: _Space, k: int, seed: int) -> _Space:
    n_early = len(space.rows) // EARLY_SHARE
    if n_early < max(SMALL_STORE_ROWS, EARLY_ROWS_PER_CENTROID * k):
        return space
    early = np.sort(np.random.default_rng(seed).choice(len(space.rows), n_early, replace=False))
    return replace(space, early=space.rows[early])


def assign(rows: NDArray[np.float32], centroids: NDArray[np.float32], device: Device) -> Assignment:
    """Return each row's nearest centroid, and its distance.

    Parameters
    ----------
    rows: (n, dim) float32.
    centroids: (k, dim) float32.
    device: where to compute it.

    Raises
    ------
    BadInput: the device is a GPU that this build of FAISS cannot use.

    Examples
    --------
    >>> centroids = np.array([[0, 0], [10, 0]], np.float32)
    >>> assigned = assign(np.array([[0, 3], [6, 0]], np.float32), centroids, Device("cpu"))
    >>> assigned.labels.tolist(), assigned.distances.tolist(), assigned.objective
    ([0, 1], [3.0, 4.0], 25.0)
    """
    return _assign(rows, _index_of(centroids, for_work(device, rows.size * len(centroids))))


def _index_of(centroids: NDArray[np.float32], device: Device) -> Any:
    flat = faiss.IndexFlatL2(centroids.shape[1])
    flat.add(centroids)
    return on_device(flat, device)


def _assign(rows: NDArray[np.float32], index: Any) -> Assignment:
    with faiss_errors():
        squared, labels = index.search(rows, 1)
    # FAISS computes |x|^2 - 2xy + |y|^2, which rounding can make negative.
    return Assignment(labels[:, 0], np.sqrt(squared[:, 0].clip(0)))


def assign_blocks(
    vectors: NDArray[np.float16], rows: NDArray[np.int64], centroids: NDArray[np.float32], device: Device
) -> Iterator[tuple[NDArray[np.int64], Assignment]]:
    """Yield (row numbers, their assignment) for `rows` of the mapped vectors, block by block.

    Memory is bounded by BLOCK_ROWS rows in float32: pages of the mapped file are released after each block.

    Parameters
    ----------
    vectors: (n_rows, dim) float16, may be mapped.
    rows: (n,) int64, ascending.
    centroids: (k, dim) float32.
    device: where to compute it.
    """
    device = for_work(device, len(rows) * centroids.size)
    index = _index_of(centroids, device)
    # Each core converts and multiplies its own blocks: FAISS's threads would wait for each other at each product. A GPU
    # index can only be used by one thread.
    n_threads = 1 if faiss_gpus(device) else faiss.omp_get_max_threads()
    block_rows = max(1, BLOCK_ROWS // n_threads)
    own = threading.local()

    def prepare() -> None:
        faiss.omp_set_num_threads(1)  # for this thread only
        # One buffer for all blocks: fresh memory each time costs more than the conversion.
        own.buffer = np.empty((min(block_rows, len(rows)), vectors.shape[1]), np.float32)

    def assigned(block: NDArray[np.int64]) -> tuple[NDArray[np.int64], Assignment]:
        return block, _assign(convert(vectors, block, own.buffer[: len(block)]), index)

    with ThreadPoolExecutor(n_threads, initializer=prepare) as pool:
        yield from pool.map(assigned, in_blocks(rows, block_rows))


def sample_rows(rows: NDArray[np.int64], k: int, seed: int) -> NDArray[np.int64]:
    """Return the rows to train on, ascending: all of them, or a random sample.

    Parameters
    ----------
    rows: (n,) int64, ascending.
    k: number of clusters; the sample has SAMPLE_ROWS_PER_CENTROID rows for each, and at least SMALL_STORE_ROWS.
    seed: of the sample.

    Examples
    --------
    >>> len(sample_rows(np.arange(10_000), k=2, seed=0)), len(sample_rows(np.arange(100_000), k=100, seed=0))
    (10000, 25600)
    """
    wanted = sample_size(k)
    if len(rows) <= wanted:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, wanted, replace=False))


def sample_size(k: int) -> int:
    """Return how many rows k centroids are trained on, where there are as many."""
    return max(SAMPLE_ROWS_PER_CENTROID * k, SMALL_STORE_ROWS)


def _train_once(
    space: _Space,
    k: int,
    seed: int,
    options: KMeansOptions,
    device: Device,
    start: NDArray[np.float32] | None,
    state: State,
    watch: Watch | None,
    pinned: Pinned | None,
) -> NDArray[np.float32]:
    """Complete one run, from `state` on, and return its centroids."""
    if pinned is None and start is not None and k == len(space.rows):
        # FAISS would take the rows themselves for centroids, in the order of the rows and not in that of `start`.
        free = np.full(k, -1)
        pinned = Pinned(free, free)
    if pinned is not None:
        return _train_pinned(space, k, seed, options, device, start, state, watch, pinned)
    for rows, last in space.stages(options.iterations):
        kmeans = _faiss_kmeans(rows, k, seed, options, device)
        step = int(max(1, STEP_WORK // (rows.size * (k + READING))))
        while state.iteration < last:
            kmeans.cp.niter = min(step, last - state.iteration)
            with faiss_errors():
                kmeans.train(rows, init_centroids=state.centroids if state.iteration else start)
            kmeans.cp.check_input_data_for_NaNs = False  # they have been checked
            made, stats = len(kmeans.iteration_stats), kmeans.iteration_stats[-1]
            objective = float(stats["obj"]) * len(space.rows) / len(rows) + space.left_out
            # FAISS stops when an iteration gains nothing, but cannot see that in the first iteration of a call.
            ended = made < kmeans.cp.niter or (state.iteration > 0 and objective == state.objective)
            state = replace(
                state,
                iteration=last if ended else state.iteration + made,
                centroids=np.asarray(kmeans.centroids, np.float32),
                objective=objective,
                imbalance=float(stats["imbalance_factor"]),
            )
            if watch and state.iteration < options.iterations:
                watch(state)
    return state.centroids


def _train_pinned(
    space: _Space,
    k: int,
    seed: int,
    options: KMeansOptions,
    device: Device,
    start: NDArray[np.float32] | None,
    state: State,
    watch: Watch | None,
    pinned: Pinned,
) -> NDArray[np.float32]:
    """Complete one run as `_train_once` does, with Lloyd's iterations in which pinned rows keep their centroid."""
    rows = space.rows
    begin = start if start is not None else _seeded(rows, k, seed, options, pinned)
    centroids = state.centroids if state.iteration else begin
    while state.iteration < options.iterations:
        assigned = hold(assign(rows, centroids, device), rows, centroids, pinned)
        objective = assigned.objective + space.left_out
        counts = np.bincount(assigned.labels, minlength=k)
        centroids = _pinned_means(rows, assigned, centroids, counts, pinned, options.spherical)
        ended = state.iteration > 0 and objective == state.objective
        state = replace(
            state,
            iteration=options.iterations if ended else state.iteration + 1,
            centroids=centroids,
            objective=objective,
            imbalance=k * float(np.square(counts / len(rows)).sum()),
        )
        if watch and state.iteration < options.iterations:
            watch(state)
    return state.centroids


def hold(
    assigned: Assignment,
    rows: NDArray[np.float32],
    centroids: NDArray[np.float32],
    pinned: Pinned | None,
) -> Assignment:
    """Return the assignment with pinned rows at their centroid."""
    if pinned is None:
        return assigned
    held = np.flatnonzero(pinned.held >= 0)
    labels, distances = assigned.labels.copy(), assigned.distances.copy()
    labels[held] = pinned.held[held]
    distances[held] = np.linalg.norm(rows[held] - centroids[labels[held]], axis=1)
    return Assignment(labels, distances)


def _seeded(
    rows: NDArray[np.float32], k: int, seed: int, options: KMeansOptions, pinned: Pinned
) -> NDArray[np.float32]:
    """Return the first centroids: the means of their seeds, and rows drawn from the others, as `init` says."""
    random = np.random.default_rng(seed)
    centroids = np.empty((k, rows.shape[1]), np.float32)
    seeded = np.unique(pinned.seeds[pinned.seeds >= 0])
    for position in seeded:
        centroids[position] = rows[pinned.seeds == position].mean(axis=0)
    others = np.setdiff1d(np.arange(k), seeded)
    choices = (np.flatnonzero(pinned.seeds < 0), np.flatnonzero(pinned.held < 0), np.arange(len(rows)))
    drawn_from = next(free for free in choices if len(free) >= len(others))
    if options.init == "random" or not len(others):
        centroids[others] = rows[random.choice(drawn_from, len(others), replace=False)]
        return centroids
    candidates = rows[drawn_from]
    squares = np.einsum("ij,ij->i", candidates, candidates)

    def squared_to(centroid: NDArray[np.float32]) -> NDArray[np.float64]:
        squared: NDArray[np.float64] = (squares - 2 * (candidates @ centroid) + centroid @ centroid).clip(0)
        return squared.astype(np.float64)

    nearest = np.minimum.reduce([squared_to(centroids[position]) for position in seeded])
    for position in others:
        total = nearest.sum()
        drawn = random.choice(len(candidates), p=nearest / total) if total else random.integers(len(candidates))
        centroids[position] = candidates[drawn]
        nearest = np.minimum(nearest, squared_to(centroids[position]))
    return centroids


def _pinned_means(
    rows: NDArray[np.float32],
    assigned: Assignment,
    centroids: NDArray[np.float32],
    counts: NDArray[np.int64],
    pinned: Pinned,
    spherical: bool,
) -> NDArray[np.float32]:
    """Return the means of the rows of each centroid; one without rows moves to a free row that is far from its own."""
    means = sums_by_label(rows, assigned.labels, len(centroids)) / np.maximum(counts, 1)[:, None]
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        away = np.where(pinned.held < 0, assigned.distances, -1)
        means[empty] = rows[np.argsort(-away, kind="stable")[: len(empty)]]
    if spherical:
        lengths = np.linalg.norm(means, axis=1, keepdims=True)
        means /= np.where(lengths > 0, lengths, 1)
    return np.asarray(means, np.float32)


def _faiss_kmeans(rows: NDArray[np.float32], k: int, seed: int, options: KMeansOptions, device: Device) -> Any:
    kmeans = faiss.Kmeans(
        rows.shape[1],
        k,
        seed=seed,
        spherical=options.spherical,
        init_method=INITS[options.init],
        # We bound and check these numbers: FAISS would silently sample the rows, or warn on stderr.
        max_points_per_centroid=len(rows),
        min_points_per_centroid=1,
    )
    kmeans.index = on_device(kmeans.index, device)  # its own gpu=True takes every GPU, and scratch memory as it likes
    return kmeans


def _work_per_run(n_numbers: int, k: int, options: KMeansOptions) -> int:
    return n_numbers * (k + READING) * (options.iterations + 1)


def _affordable_runs(n_numbers: int, k: int, options: KMeansOptions) -> int:
    return affordable_runs(n_numbers, k, options, 1)


def affordable_runs(n_numbers: int, k: int, options: KMeansOptions, share: float) -> int:
    """Return how many runs a share of WORK_BUDGET allows. n_numbers: of the rows to train on, all their dimensions."""
    return int(min(max(share * WORK_BUDGET // _work_per_run(n_numbers, k, options), 1), RUNS))
