"""The life of clusterings: run one over the store, give new images their cluster, read the current one.

The rows' vectors come from the map; labels, distances and centroids go into the catalog in one transaction. FAISS is
imported where k-means is run, not with this module: adding nothing new is to need none of it.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from indexes.devices import Device
from vecstore.catalog import Catalog
from vecstore.embedders import unit_rows
from vecstore.errors import BadInput
from vecstore.results import Cluster, Clustering
from vecstore.vectors import Float16, Float32

if TYPE_CHECKING:
    from indexes.kmeans import Assignment, KMeansOptions


@dataclass(frozen=True)
class CurrentClusters:
    """The centroids of the current clustering, to assign by. ids[i] is the cluster of centroids[i]."""

    clustering: int
    ids: list[int]
    centroids: Float32
    device: Device

    def assign(self, vectors: Float32) -> list[tuple[int, float]]:
        """Return (cluster, Euclidean distance to its centroid) of each of the (n, dim) unit vectors."""
        from indexes import kmeans

        assigned = kmeans.assign(vectors, self.centroids, self.device)
        labels, distances = assigned.labels.tolist(), assigned.distances.tolist()
        return [(self.ids[label], distance) for label, distance in zip(labels, distances, strict=True)]


def current(catalog: Catalog, dim: int, device: Device) -> CurrentClusters | None:
    """Return what assigns to the current clustering, None before the first."""
    clustering = catalog.current_clustering()
    if clustering is None:
        return None
    blob, ids = catalog.centroids(clustering)
    return CurrentClusters(clustering, ids, np.frombuffer(blob, "<f4").reshape(-1, dim).astype(np.float32), device)


def run(catalog: Catalog, vectors: Float16, k: int, options: "KMeansOptions", device: Device) -> Clustering:
    """Cluster all living images and make this the current clustering.

    vectors: (rows, dim) float16, mapped. Clusters are numbered from 0, the largest first. Raises BadInput if k is
    below 1 or above the number of images; the clustering before stays current on any error.
    """
    from indexes import kmeans

    started = time.monotonic()
    rows = np.array(catalog.alive_rows(), np.int64)
    if not len(rows):
        raise BadInput("the store has no images to cluster; `vecstore add` some first")
    if not 1 <= k <= len(rows):
        raise BadInput(f"k is {k}, but the store has {len(rows)} images; choose -k from 1 to {len(rows)}")
    sample = kmeans.sample_rows(rows, k, options.seed)
    training = kmeans.train(vectors[sample].astype(np.float32), k, options, device)
    blocks = list(kmeans.assign_blocks(vectors, rows, training.centroids, device))
    labels = np.concatenate([assignment.labels for _, assignment in blocks])
    order = _largest_first(labels, k)
    report = Clustering(
        clustering=catalog.next_clustering(),
        k=k,
        rows=len(rows),
        objective=sum(assignment.objective for _, assignment in blocks),
        seconds=time.monotonic() - started,
        device=str(device),
        restarts=training.runs,
        trained_on=len(sample),
    )
    with catalog.writing():
        centroids = training.centroids[order].astype("<f4").tobytes()
        catalog.insert_clustering(report, asdict(options), catalog.row_count(), centroids, list(range(k)))
        catalog.insert_memberships(report.clustering, _memberships(blocks, order))
    return replace(report, seconds=time.monotonic() - started)


def describe(catalog: Catalog, vectors: Float16, clusters: CurrentClusters) -> list[Cluster]:
    """Return the current clustering's clusters, largest first; those whose last image was removed are left out."""
    described = []
    for cluster, name, size in catalog.cluster_sizes(clusters.clustering):
        if size:
            members = catalog.members(clusters.clustering, cluster)
            row, path, _ = members[0]
            centroid = clusters.centroids[clusters.ids.index(cluster)]
            cohesion = _cohesion(vectors, [member for member, _, _ in members], centroid)
            described.append(Cluster(cluster, name, size, cohesion, os.fsdecode(path), row))
    return described


def _cohesion(vectors: Float16, rows: list[int], centroid: Float32) -> float:
    direction = unit_rows(centroid[None])[0]
    total = 0.0
    for start in range(0, len(rows), 8_192):
        total += float(np.sum(vectors[rows[start : start + 8_192]].astype(np.float32) @ direction, dtype=np.float64))
    return total / len(rows)


def _largest_first(labels: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    return np.argsort(-np.bincount(labels, minlength=k), kind="stable")


def _memberships(
    blocks: list[tuple[NDArray[np.int64], "Assignment"]], order: NDArray[np.int64]
) -> Iterator[tuple[int, int, float]]:
    ids = np.empty_like(order)
    ids[order] = np.arange(len(order))
    for rows, assignment in blocks:
        yield from zip(rows.tolist(), ids[assignment.labels].tolist(), assignment.distances.tolist(), strict=True)
