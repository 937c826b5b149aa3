"""A clustering for those who come from scikit-learn: the attributes of a fitted `KMeans`, read when asked for."""

from contextlib import closing
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vecstore.embedders.embedder import EmbedderSpec
from vecstore.errors import BadInput
from vecstore.given import Array, as_array, unit_vectors
from vecstore.results import Clustering
from vecstore.storage.catalog.catalog import Catalog


class FittedClustering(Clustering):
    """A clustering with `labels_`, `cluster_centers_`, `inertia_` and `predict`, as scikit-learn's KMeans has them.

    They are read from the store when first asked for, also after it was closed, and stay as they were read.
    """

    _catalog: Path

    @classmethod
    def of(cls, run: Clustering, catalog: Path) -> Self:
        """Return the clustering with what reads the rest of it. catalog: the store's catalog file."""
        fitted = cls(**asdict(run))
        object.__setattr__(fitted, "_catalog", catalog)  # frozen, and no field: it is no part of the result
        return fitted

    @cached_property
    def cluster_centers_(self) -> NDArray[np.float32]:
        """The centroids, (k, dim) float32; noise has none."""
        with closing(Catalog(self._catalog)) as catalog:
            dim = EmbedderSpec.from_json(catalog.embedder()).dim
            blob, ids = catalog.clusterings.centroids(self.clustering)
            centroids = np.frombuffer(blob, "<f4").reshape(-1, dim).astype(np.float32)
            return np.asarray(centroids[np.array(ids) != self.noise])

    @cached_property
    def cluster_ids_(self) -> NDArray[np.int64]:
        """The cluster's id of each centroid, (k,) int64: `cluster_ids_[labels_]` are the images' clusters."""
        with closing(Catalog(self._catalog)) as catalog:
            ids = np.array(catalog.clusterings.centroids(self.clustering)[1], np.int64)
            return np.asarray(ids[ids != self.noise])

    @property
    def rows_(self) -> NDArray[np.int64]:
        """The ids of the images that are labelled, (n,) int64, ascending; those removed since are left out."""
        return self._labelled[0]

    @property
    def labels_(self) -> NDArray[np.int64]:
        """The position in `cluster_centers_` of each image of `rows_`, (n,) int64; -1: it is noise."""
        position = np.full(int(max(*self.cluster_ids_, self.noise or 0)) + 1, -1, np.int64)
        position[self.cluster_ids_] = np.arange(len(self.cluster_ids_))
        return position[self._labelled[1]]

    def predict(self, vectors: Array) -> NDArray[np.int64]:
        """Return the position in `cluster_centers_` of the nearest centroid of each vector, (n,) int64.

        vectors: (n, dim), an array, a tensor or a data frame of floats, of any length but 0; they are scaled to 1, as
        stored ones are. `Store.which` takes pictures. Raises BadInput.
        """
        rows, centers = as_array(vectors), self.cluster_centers_
        if rows is None or rows.ndim != 2 or rows.shape[1] != centers.shape[1]:
            found = "are no array" if rows is None else f"have the shape {rows.shape}"
            raise BadInput(
                f"vectors {found}; (n, {centers.shape[1]}) is wanted (`Store.embed` makes them of pictures, "
                "`Store.which` takes pictures)"
            )
        # The nearest by |v - c|^2, less the |v|^2 that is the same for all.
        nearness = unit_vectors(rows, "the array") @ centers.T - np.square(centers).sum(axis=1) / 2
        return np.asarray(nearness.argmax(axis=1), np.int64)

    @property
    def inertia_(self) -> float:
        """The sum of the squared distances of the rows to their centroid, as it was when they were clustered."""
        return self.objective

    @cached_property
    def _labelled(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        with closing(Catalog(self._catalog)) as catalog, catalog.reading():
            found = [(row, cluster) for row, cluster, _ in catalog.memberships.all(self.clustering)]
        rows, clusters = np.array(found, np.int64).reshape(-1, 2).T
        return rows.copy(), clusters.copy()
