"""The life of clusterings: run one over the store, give new images their cluster, read the current one, go back.

The rows' vectors come from the map; labels, distances and centroids go into the catalog in one transaction, which also
makes the clustering the current one: until then the one before answers. FAISS is imported where k-means is run, not
with this module: adding nothing new is to need none of it.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from indexes.devices import Device
from vecstore.arguments import whole_number
from vecstore.clustering import tree_training
from vecstore.clustering.checkpoint import Checkpoint
from vecstore.clustering.kept_names import is_doubtful, keep_names
from vecstore.clustering.matching import Match, match
from vecstore.clustering.methods import Method
from vecstore.clustering.row_blocks import Blocks, LocalBlocks
from vecstore.clustering.separation import nearest_other, nearest_others
from vecstore.clustering.tree_shape import CarriedTree
from vecstore.errors import BadInput, NotFound
from vecstore.results import Cluster, Clustering
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.catalog.clusterings import ClusterSize
from vecstore.storage.catalog.conditions import Condition
from vecstore.storage.catalog.connection import now
from vecstore.storage.checksums import require_rows
from vecstore.storage.vector_file import Float16, Float32

if TYPE_CHECKING:
    from indexes.kmeans import KMeansOptions, Pinned, State

Int64 = NDArray[np.int64]

# Iterations over all rows end when one lowers the objective by less than this part.
LEAST_GAIN = 1e-5
# Past this drift a new clustering is advised. `scripts/bench drift` measures it: docs/design.md, "Drift".
DRIFT_BOUND = 0.05


@dataclass(frozen=True)
class CurrentClusters:
    """The centroids of the current clustering, to assign by. ids[i] is the cluster of centroids[i].

    noise: the one of the ids that stands for images in no cluster. bound: what is farther from every centroid is that.
    """

    clustering: int
    ids: list[int]
    centroids: Float32
    device: Device
    noise: int | None = None
    bound: float | None = None

    @property
    def positions(self) -> Int64:
        """Where in `ids` the clusters are, noise left out."""
        return np.flatnonzero(np.array(self.ids, np.int64) != self.noise_id)

    @property
    def noise_id(self) -> int:
        """The id of the noise, -1 where there is none: no cluster has it."""
        return -1 if self.noise is None else self.noise

    def assign(self, vectors: Float32) -> list[tuple[int, float]]:
        """Return (cluster, Euclidean distance to its centroid) of each of the (n, dim) unit vectors."""
        from indexes import kmeans

        found = kmeans.assign(vectors, self.centroids[self.positions], self.device)
        labels, distances = self.beyond_bound(self.positions[found.labels], found.distances, vectors.__getitem__)
        return [(self.ids[label], away) for label, away in zip(labels.tolist(), distances.tolist(), strict=True)]

    def beyond_bound(
        self, labels: Int64, distances: NDArray[np.float32], vectors_at: Callable[[Int64], Float32]
    ) -> tuple[Int64, NDArray[np.float32]]:
        """Return positions and distances, those of noise where a distance is beyond the bound."""
        if self.noise is None or self.bound is None:
            return labels, distances
        far = np.flatnonzero(distances > self.bound)
        labels, distances, at = labels.copy(), distances.copy(), self.ids.index(self.noise)
        labels[far], distances[far] = at, np.linalg.norm(vectors_at(far) - self.centroids[at], axis=1)
        return labels, distances


@dataclass(frozen=True)
class Request:
    """What to cluster. k: None with `warm_start`, which keeps the number. within: split this cluster alone.

    warm_start: begin with the current centroids. full_iterations: at the most so many of Lloyd's over all rows, after
    the training on a sample. k_reason: why k is what it is, where it was chosen. among: look for the clusters in the
    images alone that this holds of; the others get the nearest. method: how, if not by plain k-means (`by_method.py`).
    levels: make a tree of so many nodes in each level; k is the last of them.
    """

    k: int | None
    options: "KMeansOptions"
    warm_start: bool = False
    within: int | None = None
    full_iterations: int = 0
    k_reason: str | None = None
    among: Condition | None = None
    method: Method = field(default_factory=Method)
    levels: tuple[int, ...] | Literal["auto"] = ()


@dataclass(frozen=True)
class ClusterProgress:
    """How far a k-means is. run: the one under way, from 1. objective, imbalance: after its last iteration.

    step: what another method is doing, None of a k-means; its other numbers say nothing but `iteration`, the step's.
    """

    run: int
    iteration: int
    iterations: int
    objective: float
    imbalance: float
    step: str | None = None


OnClusterProgress = Callable[[ClusterProgress], None]


@dataclass(frozen=True)
class _Held:
    """Pinned images: rows, ascending, the position of the centroid of each, and its (m, dim) float32 vectors.

    seeds: more rows, ascending, and positions: the images that are in the clusters of pinned ones now.
    """

    rows: Int64
    positions: Int64
    vectors: Float32
    seeds: tuple[Int64, Int64]

    def among(self, rows: Int64) -> "Pinned | None":
        """Return what is pinned of rows, ascending, with all pinned ones among them; None without any."""
        from indexes.kmeans import Pinned

        if not len(self.rows):
            return None
        held, seeds = np.full((2, len(rows)), -1, np.int64)
        held[np.searchsorted(rows, self.rows)] = self.positions
        _, here, there = np.intersect1d(rows, self.seeds[0], assume_unique=True, return_indices=True)
        seeds[here] = self.seeds[1][there]
        seeds[held >= 0] = held[held >= 0]
        return Pinned(held, seeds)


@dataclass(frozen=True)
class Partition:
    """Rows, ascending, and for each the position of its centroid and the distance to it.

    noise: the position that stands for rows in no cluster.
    parents: of the nodes of a tree, in all levels but the first; those of the last level are the centroids.
    """

    rows: Int64
    labels: Int64
    distances: NDArray[np.float32]
    centroids: Float32
    noise: int | None = None
    parents: list[Int64] | None = None

    @property
    def objective(self) -> float:
        return float(np.sum(np.square(self.distances, dtype=np.float64)))

    def largest_first(self) -> "Partition":
        """Return the same with its clusters in the order of their sizes, and noise last."""
        sizes = np.bincount(self.labels, minlength=len(self.centroids))
        if self.noise is not None:
            sizes[self.noise] = -1
        order = np.argsort(-sizes, kind="stable")
        position = np.empty_like(order)
        position[order] = np.arange(len(order))
        noise = None if self.noise is None else len(order) - 1
        parents = self.parents and [*self.parents[:-1], self.parents[-1][order]]
        return replace(
            self, labels=position[self.labels], centroids=self.centroids[order], noise=noise, parents=parents
        )


def current(catalog: Catalog, dim: int, device: Device) -> CurrentClusters | None:
    """Return what assigns to the current clustering, None before the first."""
    clustering = catalog.clusterings.current()
    return None if clustering is None else clusters_of(catalog, clustering, dim, device)


def clusters_of(catalog: Catalog, clustering: int, dim: int, device: Device) -> CurrentClusters:
    """Return what assigns to a clustering. Raises StoreDamaged if its centroids are damaged."""
    blob, ids = catalog.clusterings.centroids(clustering)
    centroids = np.frombuffer(blob, "<f4").reshape(-1, dim).astype(np.float32)
    return CurrentClusters(clustering, ids, centroids, device, *catalog.clusterings.noise_of(clustering))


def run(
    catalog: Catalog,
    vectors: Float16,
    request: Request,
    device: Device,
    folder: Path,
    on_progress: OnClusterProgress | None = None,
    blocks: Blocks | None = None,
) -> Clustering:
    """Cluster all living images, or those of one cluster, and make this the current clustering.

    vectors: (rows, dim) float16, mapped. folder: where checkpoints go; a run that was killed is gone on with.
    blocks: who goes through all rows, if others than this machine.
    Clusters that carry no id of before are numbered from the first id that was never given, the largest first.
    Raises BadInput if k is below 1 or above the number of images, NotFound for no cluster to split or to start from;
    the clustering before stays current on any error.
    """
    from indexes import kmeans

    started = time.monotonic()
    before = current(catalog, vectors.shape[1], device)
    rows, k, start = _asked_for(catalog, before, request)
    levels: tuple[int, ...] = ()
    if request.levels:
        levels = tree_training.require_levels(request.levels, len(rows), holder_of(None, request.among))
        k = levels[-1]
    options = request.options
    held = _held(catalog, vectors, before, rows, k, request)
    if levels:
        made, training_of = _grown(catalog, vectors, rows, levels, request, device, folder, on_progress, blocks, held)
        report = _finished(catalog, vectors, before, made, request, device, training_of, started, levels)
        tree_training.TreeCheckpoint(folder, "").remove()
        return report
    sample = np.union1d(kmeans.sample_rows(rows, k, options.seed), held.rows)
    training_rows = _training_rows(catalog, vectors, rows, sample)
    device = kmeans.training_device(training_rows.size, k, options, device, start)
    checkpoint = Checkpoint(folder, _stamp(catalog, rows, k, start, request, device, held))

    def watch(state: "State") -> None:
        checkpoint.save(state)
        if on_progress:
            on_progress(
                ClusterProgress(state.run, state.iteration, options.iterations, state.objective, state.imbalance)
            )

    training = kmeans.train(
        training_rows,
        k,
        options,
        device,
        start=start,
        resume=checkpoint.load(),
        watch=watch,
        pinned=held.among(sample),
    )
    blocks = blocks or LocalBlocks(vectors, device)
    centroids = _over_all_rows(blocks, rows, training.centroids, request, on_progress, held, device)
    if request.among is not None:
        rows = searchable_rows(catalog)
    made = _assigned(blocks, rows, centroids, held).largest_first()
    if request.within is not None and before is not None:
        made = _spliced(catalog, before, request.within, made)
    report = _finished(catalog, vectors, before, made, request, device, (training.runs, len(sample)), started)
    checkpoint.remove()
    return report


def _grown(
    catalog: Catalog,
    vectors: Float16,
    rows: Int64,
    levels: tuple[int, ...],
    request: Request,
    device: Device,
    folder: Path,
    on_progress: OnClusterProgress | None,
    blocks: Blocks | None,
    held: _Held,
) -> tuple[Partition, tuple[int, int]]:
    """Return the leaves of a tree with their images, and (runs, rows trained on)."""
    require_rows(catalog, vectors, rows)

    def on_node(level: int, n_nodes: int) -> None:
        if on_progress:
            on_progress(ClusterProgress(level, n_nodes, (1, *levels)[level - 1], np.nan, np.nan))

    tree = tree_training.train(catalog, vectors, rows, levels, request.options, device, folder, on_node)
    held = _held_by_nearest(held, tree.centroids)
    blocks = blocks or LocalBlocks(vectors, device)
    centroids = _over_all_rows(blocks, rows, tree.centroids, request, on_progress, held, device)
    if request.among is not None:
        rows = searchable_rows(catalog)
    made = replace(_assigned(blocks, rows, centroids, held), parents=tree.parents)
    return made.largest_first(), (tree.runs, tree.trained_on)


def _held_by_nearest(held: _Held, centroids: Float32) -> _Held:
    """Return pinned images at the nearest centroids to their means, one for each of their clusters."""
    positions, free = held.positions.copy(), np.ones(len(centroids), np.bool_)
    for position in np.unique(held.positions):
        mean = held.vectors[held.positions == position].mean(axis=0)
        nearest = int(np.argmin(np.where(free, np.linalg.norm(centroids - mean, axis=1), np.inf)))
        free[nearest] = False
        positions[held.positions == position] = nearest
    return replace(held, positions=positions)


def _finished(
    catalog: Catalog,
    vectors: Float16,
    before: CurrentClusters | None,
    made: Partition,
    request: Request,
    device: Device,
    training: tuple[int, int],
    started: float,
    levels: tuple[int, ...] = (),
) -> Clustering:
    """Match, record and return a clustering. training: runs, and rows trained on. levels: of a tree."""
    pins = dict(catalog.memberships.pinned(before.clustering)) if before else {}
    has_noise = made.noise is not None and before is not None
    noise, bound = (before.noise, before.bound) if has_noise and before is not None else (None, None)
    if before is not None and not has_noise:  # k-means leaves no image over, so that none can be pinned there
        pins = {row: cluster for row, cluster in pins.items() if cluster != before.noise}
    in_clusters = [id for id in before.ids if not levels or id != before.noise] if before else []
    olds = tree_training.levels_of(catalog, before.clustering, in_clusters) if before else []
    if pins or request.within is not None:  # it is of clusters that these speak, not of what is above them
        olds = olds[-1:]
    sizes = levels or (len(made.centroids),)
    goes_on = tree_training.paired([len({*old.values()}) for old in olds], sizes)
    if (pins or request.within is not None) and olds:
        goes_on = {len(sizes) - 1: 0}
    old_of: list[dict[int, int] | None] = [olds[goes_on[new]] if new in goes_on else None for new in range(len(sizes))]
    shared, ids_before = _shared(catalog, before, made)
    if levels and before is not None and before.noise is not None:  # no node of a tree goes on from what was left over
        shared, ids_before = shared[ids_before != before.noise], ids_before[ids_before != before.noise]
    then = shared, _nodes_then(ids_before, old_of[-1])
    found = matched(catalog, before, made, pins, noise, then)
    report = Clustering(
        clustering=catalog.clusterings.next_id(),
        k=len(made.centroids) - has_noise,
        rows=len(made.rows),
        objective=made.objective,
        seconds=time.monotonic() - started,
        device=str(device),
        restarts=training[0],
        trained_on=training[1],
        previous=before.clustering if before else None,
        empty=len(made.centroids) - has_noise - found.kept - found.born,
        **{name: count for name, count in vars(found).items() if name != "ids"},
        created=now(),
        current=True,
        k_reason=request.k_reason,
        noise=noise,
        bound=bound,
    )
    asked = {
        **asdict(request.options),
        **{"warm_start": request.warm_start, "within": request.within, "full_iterations": request.full_iterations},
        "k_reason": request.k_reason,
    }
    nodes: tree_training.Nodes | CarriedTree | None = None
    sizes_of_clusters = np.bincount(made.labels, minlength=len(made.centroids))
    if request.within is not None and before is not None:
        nodes = CarriedTree(before.clustering, made.centroids, sizes_of_clusters, request.within)
    if made.parents is not None:
        asked["levels"] = levels
        nodes = tree_training.nodes_of(
            made.centroids,
            sizes_of_clusters,
            made.parents,
            levels,
            (made.labels[shared], [_nodes_then(ids_before, old) for old in old_of[:-1]]),
            max(catalog.clusterings.next_cluster_id(), max(found.ids) + 1),
        )
    record(catalog, vectors, report, asked, catalog.images.row_count(), made, found.ids, pins, nodes)
    return replace(report, seconds=time.monotonic() - started)


def _training_rows(catalog: Catalog, vectors: Float16, rows: Int64, sample: Int64) -> Float32:
    """Return the sample in float32, and verify all rows meanwhile: checksums keep one core busy, conversion another."""
    from indexes.rows import as_float32

    with ThreadPoolExecutor(1) as pool:
        converting = pool.submit(as_float32, vectors, sample)
        require_rows(catalog, vectors, rows)
        return converting.result()


def record(
    catalog: Catalog,
    vectors: Float16,
    report: Clustering,
    asked: dict[str, Any],
    horizon: int,
    made: Partition,
    ids: list[int],
    pins: Mapping[int, int],
    nodes: tree_training.Nodes | CarriedTree | None = None,
) -> None:
    """Record a clustering with each image's cluster and make it current, in one transaction.

    asked: the options. horizon: the first row that counts as added since. ids: of the centroids. pins: (row, cluster)
    of the images that are pinned, also of removed ones, which come back to their cluster if it is still there. nodes:
    of a tree.
    """
    pinned = np.array([*pins], np.int64)
    is_made = np.isin(pinned, made.rows)
    returning = ~is_made & np.isin([*pins.values()], ids) & ~np.isin(pinned, catalog.checksums.quarantined_rows())
    away = pinned[returning].tolist()
    centroids = made.centroids[[ids.index(pins[row]) for row in away]]
    apart = np.linalg.norm(np.asarray(vectors[away], np.float32) - centroids, axis=1).tolist()
    with catalog.writing():
        blob = made.centroids.astype("<f4").tobytes()
        catalog.clusterings.insert(report, asked, horizon, blob, ids)
        clusters = np.array(ids)[made.labels].tolist()
        memberships = zip(made.rows.tolist(), clusters, made.distances.tolist(), strict=True)
        catalog.memberships.insert(report.clustering, memberships)
        removed = [(row, pins[row], distance) for row, distance in zip(away, apart, strict=True)]
        catalog.memberships.insert(report.clustering, removed)
        catalog.memberships.pin(report.clustering, [*pinned[is_made].tolist(), *away])
        if nodes is not None:
            nodes.record(catalog, report.clustering, ids)
        keep_names(catalog, report.clustering, report.previous)
        catalog.clusterings.make_current(report.clustering)


def _held(
    catalog: Catalog, vectors: Float16, before: CurrentClusters | None, rows: Int64, k: int, request: Request
) -> _Held:
    """Return the pinned images among the rows, with the centroids they belong to: the first ones, or those there are.

    Raises BadInput for fewer clusters than images are pinned to.
    """
    pins = catalog.memberships.pinned(before.clustering) if before is not None else []
    found = np.array(pins, np.int64).reshape(-1, 2)
    found = found[np.isin(found[:, 0], rows) & (found[:, 1] != (-1 if before is None else before.noise_id))]
    clusters = np.unique(found[:, 1])
    if len(clusters) > k:
        raise BadInput(
            f"k is {k}, but images are pinned to {len(clusters)} clusters; choose -k from {len(clusters)} on, or "
            "`vecstore unpin` some"
        )
    if before is None or not len(found):
        none = np.empty(0, np.int64)
        return _Held(none, none, np.empty((0, vectors.shape[1]), np.float32), (none, none))
    order = np.array(before.ids, np.int64)[before.positions] if request.warm_start else clusters
    by_id = np.argsort(order)

    def positions_of(ids: Int64) -> Int64:
        return by_id[np.searchsorted(order, ids, sorter=by_id)]

    members, ids, _ = memberships(catalog, before.clustering)
    # A cluster that is split begins from its pinned images alone, as all others are in it too.
    is_seed = np.isin(ids, clusters) & np.isin(members, rows) & (request.within is None)
    seeds = members[is_seed], positions_of(ids[is_seed])
    return _Held(found[:, 0], positions_of(found[:, 1]), np.asarray(vectors[found[:, 0]], np.float32), seeds)


def pinned_clusters(catalog: Catalog) -> int:
    """Return to how many clusters of the current clustering images are pinned."""
    clustering = catalog.clusterings.current()
    if clustering is None:
        return 0
    noise, _ = catalog.clusterings.noise_of(clustering)
    return len({cluster for _, cluster, _ in catalog.memberships.pins(clustering)} - {noise})


def _asked_for(catalog: Catalog, before: CurrentClusters | None, request: Request) -> tuple[Int64, int, Float32 | None]:
    """Return the rows to cluster, ascending, into how many clusters, and the centroids to begin with."""
    rows = searchable_rows(catalog, request.within, request.among)
    holder = holder_of(request.within, request.among)
    start = None
    k = 1 if request.levels else request.k
    if request.warm_start:
        if before is None:
            raise NotFound("there are no clusters yet to start from; make some with `vecstore cluster -k N`")
        start = before.centroids[before.positions]
        if k not in (None, len(start)):
            raise BadInput(f"k is {k}, but a warm start keeps the {len(start)} clusters that there are; leave -k out")
        k = len(start)
    if k is None:
        raise BadInput("the number of clusters is missing; give -k N or -k auto")
    require_k(k, len(rows), holder)
    return rows, k, start


def require_k(k: int, n_images: int, holder: str) -> None:
    """Raise BadInput unless what is to be clustered, called by its holder, has enough images for so many clusters."""
    if not 1 <= k <= n_images:
        images = f"{n_images} image{'s' * (n_images != 1)}"
        raise BadInput(f"k is {k}, but {holder} has {images}; choose -k from 1 to {n_images}")


def searchable_rows(catalog: Catalog, within: int | str | None = None, among: Condition | None = None) -> Int64:
    """Return the living images, those of one cluster or that a condition holds of, ascending.

    Raises NotFound, and BadInput if there are none.
    """
    alive = catalog.images.searchable_rows()
    if within is not None:
        clustering = catalog.clusterings.current()
        if clustering is None:
            raise NotFound("there are no clusters yet to split one of; make some with `vecstore cluster -k N`")
        within = catalog.clusterings.require_cluster(clustering, within)
        alive = sorted({*alive}.intersection(catalog.memberships.member_rows(clustering, within)))
    if among is not None:
        alive = sorted({*alive}.intersection(catalog.facts.fitting(among)))
    if not alive:
        step = "ask for others" if among is not None else "`vecstore add` some first"
        raise BadInput(f"{holder_of(within, among)} has no images to cluster; {step}")
    return np.array(alive, np.int64)


def holder_of(within: int | str | None, among: Condition | None = None) -> str:
    """Return what the images that are clustered are those of, in words."""
    if among is not None:
        return "what the condition leaves"
    return "the store" if within is None else f"cluster {within}"


def _stamp(
    catalog: Catalog, rows: Int64, k: int, start: Float32 | None, request: Request, device: Device, held: _Held
) -> dict[str, Any]:
    """Return all that a training depends on. Rows stand for their vectors: these are appended and never rewritten."""
    return {
        "format": 2,
        "store": [catalog.created(), catalog.embedder()],
        "rows": hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest(),
        "k": k,
        "start": hashlib.sha256(start.astype("<f4").tobytes()).hexdigest() if start is not None else None,
        "options": asdict(request.options),
        "device": str(device),
        "pinned": hashlib.sha256(np.stack([held.rows, held.positions]).astype("<i8").tobytes()).hexdigest(),
    }


def _over_all_rows(
    blocks: Blocks,
    rows: Int64,
    centroids: Float32,
    request: Request,
    on_progress: OnClusterProgress | None,
    held: _Held,
    device: Device,
) -> Float32:
    """Return the centroids after the iterations over all rows that were asked for, or as many as gain something."""
    if not request.full_iterations:
        return centroids
    from indexes.lloyd import hold, reduce_sums, update_centroids

    before = np.inf
    for iteration in range(1, request.full_iterations + 1):
        total = reduce_sums(blocks.sums(rows, centroids))
        if len(held.rows):
            total = hold(total, held.vectors, held.positions, centroids, device)
        if total.objective > before * (1 - LEAST_GAIN):
            break
        before = total.objective
        centroids = update_centroids(centroids, total, request.options.spherical)
        if on_progress:
            imbalance = len(centroids) * float(np.square(total.counts / len(rows)).sum())
            on_progress(ClusterProgress(1, iteration, request.full_iterations, total.objective, imbalance))
    return centroids


def _assigned(blocks: Blocks, rows: Int64, centroids: Float32, held: _Held | None = None) -> Partition:
    assigned = list(blocks.assign(rows, centroids))
    labels = np.concatenate([assignment.labels for assignment in assigned])
    distances = np.concatenate([assignment.distances for assignment in assigned])
    if held is not None and len(held.rows):
        at = np.searchsorted(rows, held.rows)
        labels[at] = held.positions
        distances[at] = np.linalg.norm(held.vectors - centroids[held.positions], axis=1)
    return Partition(rows, labels, distances, centroids)


def memberships(catalog: Catalog, clustering: int) -> tuple[Int64, Int64, NDArray[np.float32]]:
    """Return rows, ascending, cluster ids and distances of the living images that a clustering has a label for."""
    fields = np.dtype([("row", np.int64), ("cluster", np.int64), ("distance", np.float32)])
    found = np.fromiter(catalog.memberships.all(clustering), fields)
    return found["row"].copy(), found["cluster"].copy(), found["distance"].copy()


def _spliced(catalog: Catalog, before: CurrentClusters, within: int, parts: Partition) -> Partition:
    """Return the clustering of before with one cluster replaced by its parts; the others keep their images.

    Noise that is split stays, without images.
    """
    rows, ids, distances = memberships(catalog, before.clustering)
    others = ids != within
    kept = [at for at, cluster in enumerate(before.ids) if cluster != within or cluster == before.noise]
    position_of = {before.ids[position]: new for new, position in enumerate(kept)}
    labels = np.array([position_of[cluster] for cluster in ids[others].tolist()], np.int64)
    all_rows = np.concatenate([rows[others], parts.rows])
    order = np.argsort(all_rows)
    return Partition(
        rows=all_rows[order],
        labels=np.concatenate([labels, parts.labels + len(kept)])[order],
        distances=np.concatenate([distances[others], parts.distances])[order],
        centroids=np.concatenate([before.centroids[kept], parts.centroids]),
        noise=None if before.noise is None else position_of[before.noise],
    ).largest_first()


def _shared(catalog: Catalog, before: CurrentClusters | None, made: Partition) -> tuple[Int64, Int64]:
    """Return where in `made` the rows are that were clustered before too, and their clusters of then."""
    if before is None:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    rows, ids, _ = memberships(catalog, before.clustering)
    _, in_before, in_made = np.intersect1d(rows, made.rows, assume_unique=True, return_indices=True)
    return in_made, ids[in_before]


def _nodes_then(ids: Int64, node_of: Mapping[int, int] | None) -> Int64 | None:
    """Return the nodes above clusters, None for no such level."""
    if node_of is None:
        return None
    clusters, places = np.unique(ids, return_inverse=True)
    return np.array([node_of[cluster] for cluster in clusters.tolist()], np.int64)[places]


def matched(
    catalog: Catalog,
    before: CurrentClusters | None,
    made: Partition,
    pins: Mapping[int, int],
    noise: int | None,
    then: tuple[Int64, Int64 | None] | None = None,
) -> Match:
    """Return which clusters are which of before.

    pins: the clusters of rows, which carry their id. noise: the id of what stands for no cluster, if it is there.
    then: where in `made` the rows are that were clustered before too, and what they were in, None if no level of then
    goes on; by default, their clusters.
    """
    k, next_id = len(made.centroids), max(catalog.clusterings.next_cluster_id(), -1 if noise is None else noise + 1)
    shared, ids = _shared(catalog, before, made) if then is None else then
    none = np.empty(0, np.int64)
    ids, labels = (none, none) if ids is None else (ids, made.labels[shared])
    held = np.flatnonzero(np.isin(made.rows, [*pins]) & (made.labels != (-1 if made.noise is None else made.noise)))
    fixed = {int(made.labels[at]): pins[int(made.rows[at])] for at in held}
    no_cluster = noise if noise is not None or before is None else before.noise
    found = match(ids, labels, k, next_id, fixed, (no_cluster, made.noise))
    # Clusters of images that the clustering before did not have are born too.
    with_images = np.unique(made.labels)
    return replace(found, born=int(np.count_nonzero(with_images != made.noise)) - found.kept)


def use(catalog: Catalog, vectors: Float16, clustering: int, device: Device) -> tuple[Clustering, int]:
    """Make an earlier clustering the current one; return it, and how many images added since it assigned.

    They are assigned in the same transaction, so that every living image has a cluster of the one that answers.
    Raises NotFound if there is no such clustering.
    """
    with catalog.writing():
        known = [run.clustering for run in catalog.clusterings.all()]
        if clustering not in known:
            there = ", ".join(map(str, known)) or "none; make one with `vecstore cluster -k N`"
            raise NotFound(f"no clustering {clustering}; there are {there}")
        n_assigned = assign_missing(catalog, vectors, clustering, device)
        catalog.clusterings.make_current(clustering)
        return next(run for run in catalog.clusterings.all() if run.current), n_assigned


def assign_missing(catalog: Catalog, vectors: Float16, clustering: int, device: Device) -> int:
    """Give the living images that a clustering has no cluster for their nearest one; return how many there were."""
    clusters = clusters_of(catalog, clustering, vectors.shape[1], device)
    missing = catalog.memberships.rows_without_cluster(clustering)
    if missing:
        rows = np.array(missing, np.int64)
        made = nearest(clusters, LocalBlocks(vectors, device), vectors, rows)
        ids = np.array(clusters.ids)[made.labels].tolist()
        catalog.memberships.insert(clustering, zip(missing, ids, made.distances.tolist(), strict=True))
    return len(missing)


def nearest(clusters: CurrentClusters, blocks: Blocks, vectors: Float16, rows: Int64) -> Partition:
    """Return the nearest cluster of each row, or noise for what is beyond the bound."""
    made = _assigned(blocks, rows, clusters.centroids[clusters.positions])
    labels, distances = clusters.beyond_bound(
        clusters.positions[made.labels], made.distances, lambda at: np.asarray(vectors[rows[at]], np.float32)
    )
    at = None if clusters.noise is None else clusters.ids.index(clusters.noise)
    return Partition(rows, labels, distances, clusters.centroids, at)


def distances_of(
    clusters: CurrentClusters, vectors: Float16, rows: Iterable[int], cluster_of: Mapping[int, int]
) -> list[tuple[int, float]]:
    """Return (row, distance to the centroid of its cluster) of rows."""
    chosen = sorted(rows)
    centroids = clusters.centroids[[clusters.ids.index(cluster_of[row]) for row in chosen]]
    apart = np.linalg.norm(np.asarray(vectors[chosen], np.float32) - centroids, axis=1)
    return list(zip(chosen, apart.tolist(), strict=True))


def give_name(catalog: Catalog, clustering: int, cluster: int, name: str) -> None:
    """Name a cluster of a clustering, or a node above, "" for none. Raises what `Store.name_cluster` does."""
    name = name.strip()
    if not name.isprintable():
        raise BadInput(f"{name!r} is no name for a cluster: it has control characters or line breaks; leave them out")
    if whole_number(name) is not None:
        raise BadInput(f"{name!r} is a number, and would be taken for a cluster's id; add a word to it")
    with catalog.writing():
        holder = catalog.clusterings.cluster_named(name, clustering)
        if holder not in (None, cluster):
            raise BadInput(f"cluster {holder} is called {name!r} already; choose another name")
        catalog.clusterings.name_cluster(cluster, name or None)


def describe(catalog: Catalog, clusters: CurrentClusters) -> list[Cluster]:
    """Return the current clustering's clusters that have images, largest first."""
    sizes = [found for found in catalog.clusterings.cluster_sizes(clusters.clustering) if found.size]
    position_of = {cluster: position for position, cluster in enumerate(clusters.ids)}
    centroids = clusters.centroids[[position_of[found.cluster] for found in sizes]]
    nearest: list[tuple[int, float] | None] = [None] * len(sizes)
    n_clusters = sum(not found.noise for found in sizes)  # noise is last, and lies nowhere
    if n_clusters > 1:
        others, distances = nearest_others(centroids[:n_clusters])
        found_near = zip(others.tolist(), distances.tolist(), strict=True)
        nearest[:n_clusters] = [(sizes[other].cluster, distance) for other, distance in found_near]
    return [
        _described(catalog, clusters.clustering, found, centroid, near)
        for found, centroid, near in zip(sizes, centroids, nearest, strict=True)
    ]


def describe_one(catalog: Catalog, clusters: CurrentClusters, cluster: int | str) -> Cluster:
    """Return one cluster of the current clustering, which may have no image left, without reading the others' images.

    Raises NotFound if there is no such cluster.
    """
    cluster = catalog.clusterings.require_cluster(clusters.clustering, cluster)
    (found,) = catalog.clusterings.cluster_sizes(clusters.clustering, cluster)
    position = clusters.ids.index(cluster)
    held = {*catalog.clusterings.with_images(clusters.clustering)} - {clusters.noise}
    with_images = np.flatnonzero(np.isin(clusters.ids, [*held]))
    near = None if found.noise else nearest_other(clusters.centroids, position, with_images)
    nearest = None if near is None else (clusters.ids[near[0]], near[1])
    return _described(catalog, clusters.clustering, found, clusters.centroids[position], nearest)


def _described(
    catalog: Catalog, clustering: int, found: ClusterSize, centroid: Float32, nearest: tuple[int, float] | None
) -> Cluster:
    typical = catalog.memberships.members(clustering, found.cluster, limit=1)
    return Cluster(
        cluster=found.cluster,
        name=found.name,
        size=found.size,
        cohesion=_cohesion(found.squared, centroid) if found.squared is not None else None,
        separation=nearest[1] if nearest is not None else None,
        nearest=nearest[0] if nearest is not None else None,
        drift=drift(found.then, found.since),
        representative=os.fsdecode(typical[0][1]) if typical else None,
        representative_id=typical[0][0] if typical else None,
        suggested=found.suggested,
        noise=found.noise,
        kept=found.kept,
        doubtful=is_doubtful(found.kept),
    )


def drift(then: float | None, since: float | None) -> float | None:
    """Return how much farther, as a fraction, the images added since lie: mean distances / each other - 1."""
    return since / then - 1 if then and since is not None else None


def is_past_bound(value: float | None) -> bool:
    """Say whether a drift is such that a new clustering is advised."""
    return value is not None and value > DRIFT_BOUND


def _cohesion(squared: float, centroid: Float32) -> float | None:
    """Return the mean cosine to a centroid; None to one at the origin, as of noise that began without images."""
    # |x - c|^2 = |x|^2 - 2 x.c + |c|^2, and |x| is 1: the mean of x.c follows from that of the squared distances.
    length = float(np.linalg.norm(centroid))
    return (1 + length**2 - squared) / (2 * length) if length else None
