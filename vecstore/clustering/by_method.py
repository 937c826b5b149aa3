"""A clustering by a method that gives labels and no centroids: what makes it live as one of k-means does.

Each cluster's centroid is the mean of its images, in all dimensions, so that new images have something to be near.
"""

import time
from collections.abc import Callable, Mapping

import numpy as np

from indexes.devices import Device
from indexes.rows import in_blocks, rows_per_block, sums_by_label, to_float32
from vecstore.clustering import costs, lifecycle, methods
from vecstore.clustering.lifecycle import ClusterProgress, CurrentClusters, Int64, OnClusterProgress, Partition, Request
from vecstore.clustering.row_blocks import LocalBlocks
from vecstore.results import Clustering, ClusteringCost
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.catalog.connection import now
from vecstore.storage.checksums import require_rows
from vecstore.storage.vector_file import Float16, Float32

# A new image that is farther from its centroid than this part of those that were clustered is noise.
BOUND_QUANTILE = 0.99


def run(
    catalog: Catalog,
    vectors: Float16,
    request: Request,
    device: Device,
    on_cost: Callable[[ClusteringCost], None] | None = None,
    on_progress: OnClusterProgress | None = None,
) -> Clustering:
    """Cluster all living images, or those that a condition holds of, and make this the current clustering.

    Raises BadInput; the clustering before stays current on any error, and when it is interrupted.
    """
    started, method, options = time.monotonic(), request.method, request.options
    before = lifecycle.current(catalog, vectors.shape[1], device)
    rows = lifecycle.searchable_rows(catalog, None, request.among)
    holder = lifecycle.holder_of(None, request.among)
    if request.k is not None:
        lifecycle.require_k(request.k, len(rows), holder)
    methods.require_enough(method, len(rows), vectors.shape[1], holder)
    expected = costs.of_method(method, len(rows), vectors.shape[1], request.k or 1, options)
    costs.require_memory(expected, method)
    if on_cost:
        on_cost(expected)
    require_rows(catalog, vectors, rows)
    n_steps = 0

    def on_step(what: str) -> None:
        nonlocal n_steps
        n_steps += 1
        if on_progress:
            on_progress(ClusterProgress(1, n_steps, n_steps, 0.0, 0.0, what))

    labels, seen = methods.find(vectors, rows, method, request.k, options, device, on_step)
    pins = dict(catalog.memberships.pinned(before.clustering)) if before else {}
    noise_id = catalog.clusterings.noise_id()
    if before is not None:
        labels = _hold_pins(catalog, before, rows, labels, pins)
    made = _partition(vectors, rows, labels, method.name in methods.LEAVE_NOISE or bool((labels < 0).any()))
    noise = noise_id if made.noise is not None else None
    if before is not None and noise is None:
        pins = {row: cluster for row, cluster in pins.items() if cluster != before.noise}
    clustered = made.distances[made.labels != (-1 if made.noise is None else made.noise)]
    bound = float(np.quantile(clustered, BOUND_QUANTILE)) + 1e-6 if noise is not None else None
    found = lifecycle.matched(catalog, before, made, pins, noise)
    number = catalog.clusterings.next_id()
    if request.among is not None:  # the others get the nearest of the clusters, or noise
        others = np.setdiff1d(lifecycle.searchable_rows(catalog), rows)
        if len(others):
            require_rows(catalog, vectors, others)
            clusters = CurrentClusters(number, found.ids, made.centroids, device, noise, bound)
            made = _joined(made, lifecycle.nearest(clusters, LocalBlocks(vectors, device), vectors, others))
            found = lifecycle.matched(catalog, before, made, pins, noise)
    k = len(made.centroids) - (made.noise is not None)
    report = Clustering(
        clustering=number,
        k=k,
        rows=len(made.rows),
        objective=made.objective,
        seconds=time.monotonic() - started,
        device="cpu",
        restarts=0,
        trained_on=seen,
        previous=before.clustering if before else None,
        empty=k - found.kept - found.born,
        **{name: count for name, count in vars(found).items() if name != "ids"},
        created=now(),
        current=True,
        k_reason=request.k_reason,
        method=method.name,
        noise=noise,
        bound=bound,
    )
    asked = {**vars(options), "by": method.to_json(), "k_reason": request.k_reason}
    lifecycle.record(catalog, vectors, report, asked, catalog.images.row_count(), made, found.ids, pins)
    return report


def _hold_pins(catalog: Catalog, before: CurrentClusters, rows: Int64, labels: Int64, pins: Mapping[int, int]) -> Int64:
    """Return the labels with pinned images in the cluster that most images of theirs are in now.

    Where another one's images are there already, or most are noise, they get a cluster of their own.
    """
    labels, taken = labels.copy(), set()
    members, ids, _ = lifecycle.memberships(catalog, before.clustering)
    held = {cluster: [row for row in pins if pins[row] == cluster] for cluster in {*pins.values()}}
    for cluster in sorted(held, key=lambda one: -int(np.count_nonzero(ids == one))):
        pinned = np.flatnonzero(np.isin(rows, held[cluster]))
        if cluster == before.noise:
            labels[pinned] = -1
            continue
        if not len(pinned):
            continue
        now_in = labels[np.isin(rows, members[ids == cluster])]
        found, counts = np.unique(now_in, return_counts=True)
        most = int(found[np.argmax(counts)])
        chosen = most if most >= 0 and most not in taken else int(labels.max()) + 1
        taken.add(chosen)
        labels[pinned] = chosen
    return labels


def _partition(vectors: Float16, rows: Int64, labels: Int64, has_noise: bool) -> Partition:
    """Return rows with the means of their clusters. labels: -1 for noise, which is the last position."""
    used, positions = np.unique(labels[labels >= 0], return_inverse=True)
    labels = labels.copy()
    labels[labels >= 0] = positions
    labels[labels < 0] = len(used)
    k = len(used) + has_noise
    sums, sizes = np.zeros((k, vectors.shape[1])), np.bincount(labels, minlength=k)
    step = rows_per_block(vectors.shape[1], np.float32)
    for at in in_blocks(np.arange(len(rows)), step):
        sums += sums_by_label(to_float32(vectors[rows[at]]), labels[at], k)
    centroids: Float32 = (sums / np.maximum(sizes, 1)[:, None]).astype(np.float32)
    distances = np.concatenate(
        [
            np.linalg.norm(to_float32(vectors[rows[at]]) - centroids[labels[at]], axis=1)
            for at in in_blocks(np.arange(len(rows)), step)
        ]
    )
    noise = len(used) if has_noise else None
    return Partition(rows, labels, distances.astype(np.float32), centroids, noise).largest_first()


def _joined(one: Partition, other: Partition) -> Partition:
    """Return two partitions into the same clusters as one."""
    rows = np.concatenate([one.rows, other.rows])
    order = np.argsort(rows)
    labels, distances = np.concatenate([one.labels, other.labels]), np.concatenate([one.distances, other.distances])
    return Partition(rows[order], labels[order], distances[order], one.centroids, one.noise)
