"""Clusters by hand: images moved and pinned, clusters merged and split.

What changes which clusters there are (a merger, a split, a new cluster) is a clustering of its own, so that the one
before is left as it was and can be gone back to. What moves or pins images changes the current clustering. A pinned
image stays in its cluster through every clustering that follows; what was moved is pinned.
"""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from indexes.rows import in_blocks, rows_per_block
from vecstore.clustering import clusters, lifecycle
from vecstore.clustering.lifecycle import CurrentClusters, Int64, Partition
from vecstore.clustering.matching import match
from vecstore.clustering.sklearn_attributes import FittedClustering
from vecstore.clustering.tree_shape import CarriedTree
from vecstore.errors import BadInput, NotFound
from vecstore.image_ref import ImageRef, named, require_stored
from vecstore.results import Clustering, MoveReport, Pin
from vecstore.session import Session
from vecstore.storage.catalog.connection import now
from vecstore.storage.checksums import require_rows
from vecstore.storage.layout import CATALOG
from vecstore.storage.vector_file import Float16, Float32

if TYPE_CHECKING:
    from indexes.kmeans import KMeansOptions

NEW = "new"


def move(session: Session, refs: Sequence[ImageRef], to: int | str) -> MoveReport:
    """Move images to another cluster, or a new one, and pin them there; see `Store.move`."""
    rows = _rows(session, refs)
    catalog = session.catalog
    with session.writing("reassign", f"{named(refs)} to {to}"), catalog.writing():
        current = clusters.current_clusters(session)
        before = _memberships_of(session, rows)
        if to == NEW and not _is_called_new(session, current):
            number, clustering = _move_to_new(session, current, rows)
        else:
            number, clustering = catalog.clusterings.require_cluster(current.clustering, to), current.clustering
            apart = _distances(session.vectors(), rows, current.centroids[current.ids.index(number)])
            changes = zip(rows.tolist(), apart.tolist(), strict=True)
            catalog.memberships.change(clustering, ((row, number, distance, True) for row, distance in changes))
        return MoveReport(clustering, number, sum(cluster != number for cluster, _ in before), len(rows))


def merge(session: Session, refs: Sequence[int | str]) -> FittedClustering:
    """Make one cluster of several, which keeps the id and the name of the first; see `Store.merge_clusters`."""
    if len(refs) < 2:
        raise BadInput("name two or more clusters to merge; the first keeps its id and its name")
    with session.writing("merge", " ".join(map(str, refs))), session.catalog.writing():
        current = clusters.current_clusters(session)
        into, *others = (session.catalog.clusterings.require_cluster(current.clustering, ref) for ref in refs)
        if current.noise in (into, *others):
            raise BadInput("noise is no cluster and is not merged with one; move its images with `vecstore move`")
        if len({into, *others}) < len(refs):
            raise BadInput(f"cluster {_repeated([into, *others])} is named twice, and cannot be merged with itself")
        state = _State.of(session, current)
        ids = np.where(np.isin(state.ids, others), into, state.ids)
        kept = [position for position, cluster in enumerate(current.ids) if cluster not in others]
        remade = replace(state, ids=ids, clusters=[current.ids[position] for position in kept])
        centroids = current.centroids[kept]
        what = f"merged {', '.join(map(str, others))} into {into}"
        gone = dict.fromkeys(others, into)
        run = _record(session, current, state, remade, centroids, {into}, what, into=gone)
    return FittedClustering.of(run, session.path / CATALOG)


def split(session: Session, cluster: int | str, k: int, options: "KMeansOptions") -> FittedClustering:
    """Split a cluster into k by k-means, and leave the others; see `Store.split_cluster`."""
    if k < 2:
        raise BadInput(f"a cluster is split into two or more; k is {k}")
    catalog = session.catalog
    with catalog.reading():
        current = clusters.current_clusters(session)
        number = catalog.clusterings.require_cluster(current.clustering, cluster)
        (size,) = catalog.clusterings.cluster_sizes(current.clustering, number)
    if size.size < k:
        images = f"{size.size} image{'s' * (size.size != 1)}"
        raise BadInput(f"cluster {cluster} has {images} and cannot be split into {k}; name a larger one, or a lower -k")
    return clusters.cluster(session, clusters.ClusterOrder(k, options, within=number), None, kind="split")


def pin(session: Session, refs: Sequence[ImageRef]) -> list[Pin]:
    """Let images stay in their cluster, and return them; see `Store.pin`."""
    return _set_pins(session, refs, True)


def unpin(session: Session, refs: Sequence[ImageRef]) -> list[Pin]:
    """Let the next clustering decide about images again, and return those that were pinned; see `Store.unpin`."""
    return _set_pins(session, refs, False)


def pins(session: Session) -> list[Pin]:
    """Return the pinned images, by id."""
    with session.catalog.reading():
        current = clusters.current_clusters(session).clustering
        found = session.catalog.memberships.pins(current)
        return [Pin(row, cluster, os.fsdecode(path)) for row, cluster, path in found]


def _set_pins(session: Session, refs: Sequence[ImageRef], pinned: bool) -> list[Pin]:
    rows = _rows(session, refs)
    catalog = session.catalog
    with session.writing("pin" if pinned else "unpin", named(refs)), catalog.writing():
        current = clusters.current_clusters(session).clustering
        held = {row for row, _ in catalog.memberships.pinned(current)}
        chosen = [row for row in rows.tolist() if (row in held) is not pinned]
        memberships = zip(chosen, _memberships_of(session, chosen), strict=True)
        changes = [(row, cluster, distance, pinned) for row, (cluster, distance) in memberships]
        if changes:
            catalog.memberships.change(current, changes)
        told = rows.tolist() if pinned else chosen
        paths = [os.fsdecode(catalog.paths.first_of(row) or b"") for row in told]
        where = [cluster for cluster, _ in _memberships_of(session, told)]
        return [Pin(row, cluster, path) for row, cluster, path in zip(told, where, paths, strict=True)]


def _rows(session: Session, refs: Sequence[ImageRef]) -> Int64:
    """Return the rows of stored images, ascending and each once. Raises BadInput for none."""
    if not refs:
        raise BadInput("name at least one image: a file, or an id such as @12")
    clusters.current_clusters(session)  # or nothing needs to be looked for
    return np.unique(np.array([require_stored(session, ref) for ref in refs], np.int64))


def _memberships_of(session: Session, rows: Iterable[int]) -> list[tuple[int, float]]:
    """Return (cluster, distance) of images. Raises NotFound for one that has no cluster: its vector is damaged."""
    found = []
    for row in rows:
        assigned = session.catalog.memberships.cluster_of(int(row))
        if assigned is None:
            raise NotFound(f"@{row} is in no cluster, as its vector is damaged; run `vecstore check --repair`")
        found.append(assigned)
    return found


def _is_called_new(session: Session, current: CurrentClusters) -> bool:
    return any(name == NEW for _, name in session.catalog.clusterings.cluster_names(current.clustering))


@dataclass(frozen=True)
class _State:
    """Which image is in which cluster. rows: ascending. ids: their clusters. clusters: of each position, in order."""

    rows: Int64
    ids: Int64
    distances: Float32
    clusters: list[int]

    @classmethod
    def of(cls, session: Session, current: CurrentClusters) -> "_State":
        return cls(*lifecycle.memberships(session.catalog, current.clustering), current.ids)


def _move_to_new(session: Session, current: CurrentClusters, rows: Int64) -> tuple[int, int]:
    """Make a clustering in which images have a cluster of their own; return its id, and the clustering's number."""
    new = session.catalog.clusterings.next_cluster_id()
    state = _State.of(session, current)
    ids = np.where(np.isin(state.rows, rows), new, state.ids)
    remade = replace(state, ids=ids, clusters=[*current.ids, new])
    centroids = np.concatenate([current.centroids, np.zeros_like(current.centroids[:1])])
    what = f"moved {len(rows)} images to a new cluster, {new}"
    run = _record(session, current, state, remade, centroids, {new}, what, pinned=rows)
    return new, run.clustering


def _record(
    session: Session,
    current: CurrentClusters,
    before: _State,
    after: _State,
    centroids: Float32,
    changed: set[int],
    what: str,
    pinned: Sequence[int] | Int64 = (),
    into: Mapping[int, int] = MappingProxyType({}),
) -> Clustering:
    """Record and return a clustering that was made by hand, and make it current. Inside a write transaction.

    centroids: (k, dim), of `after.clusters`; those of `changed` clusters follow from their images. pinned: images to
    pin beside those that are. into: what became of clusters that are no more.
    """
    catalog, vectors, started = session.catalog, session.vectors(), time.monotonic()
    options = catalog.clusterings.options(current.clustering)
    centroids, distances = centroids.copy(), before.distances.copy()
    for cluster in changed:
        at = np.flatnonzero(after.ids == cluster)
        if not len(at):
            continue
        require_rows(catalog, vectors, after.rows[at])
        position = after.clusters.index(cluster)
        centroids[position] = _mean(vectors, after.rows[at], bool(options.get("spherical")))
        distances[at] = _distances(vectors, after.rows[at], centroids[position])
    order = np.argsort(after.clusters)
    labels = order[np.searchsorted(after.clusters, after.ids, sorter=order)]
    made = Partition(after.rows, labels, distances, centroids)
    # Only for how many split and merged: who is who is known.
    noise = None if current.noise is None else (current.noise, after.clusters.index(current.noise))
    found = match(
        before.ids, labels, len(centroids), catalog.clusterings.next_cluster_id(), noise=noise or (None, None)
    )
    olds, news = (np.setdiff1d(ids, [current.noise_id]) for ids in (before.ids, after.ids))
    kept = len(np.intersect1d(olds, news))
    run = Clustering(
        clustering=catalog.clusterings.next_id(),
        k=len(centroids) - (noise is not None),
        rows=len(after.rows),
        objective=made.objective,
        seconds=time.monotonic() - started,
        device="cpu",
        restarts=0,
        trained_on=0,
        previous=current.clustering,
        kept=kept,
        split=found.split,
        merged=found.merged,
        born=len(news) - kept,
        gone=len(olds) - kept,
        moved=int(np.count_nonzero(before.ids != after.ids)),
        empty=len(centroids) - (noise is not None) - len(news),
        created=now(),
        current=True,
        k_reason=f"by hand: {what}",
        method=str(options.get("method", "kmeans")),
        noise=current.noise,
        bound=current.bound,
    )
    asked = {**options, "warm_start": False, "within": None, "k_reason": run.k_reason}
    cluster_of = dict(zip(after.rows.tolist(), after.ids.tolist(), strict=True))
    held = dict(catalog.memberships.pinned(current.clustering))
    pins = {row: cluster_of.get(row, into.get(cluster, cluster)) for row, cluster in held.items()}
    pins |= {int(row): cluster_of[int(row)] for row in pinned}
    # The images added since the clustering before stay so: the drift is not forgotten.
    horizon = catalog.clusterings.horizon(current.clustering)
    tree = CarriedTree(current.clustering, centroids, np.bincount(labels, minlength=len(centroids)))
    lifecycle.record(catalog, vectors, run, asked, horizon, made, after.clusters, pins, tree)
    return run


def _mean(vectors: Float16, rows: Int64, spherical: bool) -> Float32:
    total = np.zeros(vectors.shape[1])
    for block in in_blocks(rows, rows_per_block(vectors.shape[1], np.float32)):
        total += np.asarray(vectors[block], np.float32).sum(axis=0, dtype=np.float64)
    mean = total / len(rows)
    length = float(np.linalg.norm(mean))
    return np.asarray(mean / length if spherical and length else mean, np.float32)


def _distances(vectors: Float16, rows: Int64, centroid: Float32) -> Float32:
    blocks = in_blocks(rows, rows_per_block(vectors.shape[1], np.float32))
    return np.concatenate([np.linalg.norm(np.asarray(vectors[b], np.float32) - centroid, axis=1) for b in blocks])


def _repeated(ids: Sequence[int]) -> int:
    return next(cluster for number, cluster in enumerate(ids) if cluster in ids[:number])
