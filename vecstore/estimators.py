"""scikit-learn's ways: pictures to vectors as a transformer, and the neighbours of a store's images.

Both take pictures or vectors, not matrices alone, and say so by scikit-learn's tags. Its estimator checks that need no
matrix are passed (tests/arrays/test_estimators.py).
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from vecstore.arguments import require_image
from vecstore.embedders import calling
from vecstore.embedders.embedder import EmbedderOptions
from vecstore.embedders.registry import open_embedder, resolve_name
from vecstore.errors import BadInput
from vecstore.given import ImageRef, Pixels, as_given, items_of
from vecstore.image_ref import as_path, prepared
from vecstore.search.nearest import Images
from vecstore.sources import archives
from vecstore.sources.content import Encoded
from vecstore.sources.paths import AnyPath, absolute, shown
from vecstore.sources.unreadable import Unreadable
from vecstore.storage.vector_file import quantize_unit_rows
from vecstore.store import Store

# Stored vectors that distances are made of at a time: 64 MiB of 2,048 numbers in float32.
ROWS_AT_ONCE = 8_192


class _OfPictures(BaseEstimator):  # type: ignore[misc]
    """What is said of both: X is no matrix of numbers, and is checked here."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        return tags


class VecstoreTransformer(TransformerMixin, _OfPictures):  # type: ignore[misc]
    """Pictures to vectors, as the first step of a pipeline; nothing is stored.

    X: a list of files, bytes of files, Pillow images, or pixels as arrays of (height, width, 3) uint8.

    Parameters
    ----------
    embedder, weights, device: as for `Store.open`.
    """

    def __init__(
        self, embedder: str = "efficientnet-lite0", weights: AnyPath | None = None, device: str = "auto"
    ) -> None:
        self.embedder = embedder
        self.weights = weights
        self.device = device

    def fit(self, X: object = None, y: object = None) -> Self:
        """Open the embedder; there is nothing to learn. Raises BadInput, WeightsUnavailable."""
        weights = None if self.weights is None else Path(os.fsdecode(self.weights))
        name, options = resolve_name(self.embedder, EmbedderOptions(weights, device=self.device, precision="auto"))
        self.embedder_ = open_embedder(name, options)
        calling.load(self.embedder_)
        return self

    def transform(self, X: Iterable[ImageRef]) -> NDArray[np.float32]:
        """Return (n, dim) float32 vectors of length 1, as a store keeps them. Raises BadInput."""
        check_is_fitted(self, "embedder_")
        waiting, found = [], [np.zeros((0, self.embedder_.spec.dim), np.float32)]
        for given in items_of(X):
            waiting.append(self._prepared(require_image("X", given)))
            if len(waiting) == self.embedder_.batch_size:
                found.append(calling.vectors_of(self.embedder_, waiting))
                waiting = []
        if waiting:
            found.append(calling.vectors_of(self.embedder_, waiting))
        return np.asarray(quantize_unit_rows(np.concatenate(found)), np.float32)

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Return a name for each number of a vector: the embedder's and a number."""
        check_is_fitted(self, "embedder_")
        spec = self.embedder_.spec
        return np.array([f"{spec.name}_{number}" for number in range(spec.dim)], object)

    def _prepared(self, ref: ImageRef) -> Any:
        given = as_given(ref)
        if isinstance(given, Encoded):
            return prepared(self.embedder_, given.data, given)
        if isinstance(given, Pixels):
            return prepared(self.embedder_, given, given)
        path = absolute(as_path(given))
        try:
            return prepared(self.embedder_, archives.read_path(path).data, given)
        except (OSError, Unreadable) as error:
            raise BadInput(f"{shown(path)}: {error}") from error


class StoreNeighbors(_OfPictures):
    """The nearest images of a store, as scikit-learn's `NearestNeighbors` returns them, by the store's own index.

    Distances are cosine distances, 1 less the score. An index is a position in `Store.ids` as of `fit`. X is what
    `Store.nearest` takes: vectors, or a list of files, pictures and ids; None for all images of the store, each without
    itself.

    Parameters
    ----------
    store: the folder or URI of a store, as for `Store.open`; or an open one, which is opened anew by `fit`.
    n_neighbors, radius: used where a call gives none.
    """

    def __init__(self, store: AnyPath | Store = "", n_neighbors: int = 5, radius: float = 0.1) -> None:
        self.store = store
        self.n_neighbors = n_neighbors
        self.radius = radius

    def fit(self, X: object = None, y: object = None) -> Self:
        """Open the store and read its ids; X and y are not looked at. Raises what `Store.open` does."""
        self.store_ = self.store.reopen() if isinstance(self.store, Store) else Store.open(self.store)
        self.ids_ = self.store_.ids
        self.n_samples_fit_ = len(self.ids_)
        return self

    def kneighbors(self, X: Images | None = None, n_neighbors: int | None = None, return_distance: bool = True) -> Any:
        """Return (distances, indices), each (n, k), nearest first; indices alone without `return_distance`."""
        check_is_fitted(self, "store_")
        k = self.n_neighbors if n_neighbors is None else n_neighbors
        if X is None:
            positions, scores = self._of_each(k)
        else:
            ids, scores = self.store_.nearest(X, k)
            positions = self._positions(ids)
        distances = np.maximum(1 - scores, 0)
        return (distances, positions) if return_distance else positions

    def radius_neighbors(
        self,
        X: Images | None = None,
        radius: float | None = None,
        return_distance: bool = True,
        sort_results: bool = False,
    ) -> Any:
        """Return (distances, indices) of all images within a radius of each, arrays of arrays; every image is compared.

        sort_results: nearest first; else by id.
        """
        check_is_fitted(self, "store_")
        bound = self.radius if radius is None else radius
        vectors = self.store_.vectors
        of = vectors if X is None else X
        queries = self.store_.embed(of)
        near: list[list[NDArray[Any]]] = [[] for _ in queries]
        for start in range(0, len(vectors), ROWS_AT_ONCE):
            block = np.asarray(vectors[start : start + ROWS_AT_ONCE], np.float32)
            for place, distances in enumerate(np.maximum(1 - queries @ block.T, 0)):
                within = np.flatnonzero(distances <= bound)
                within = within[within + start != place] if X is None else within
                near[place].append(np.stack([distances[within], (within + start).astype(np.float64)]))
        pairs = [np.concatenate(parts, axis=1) if parts else np.zeros((2, 0)) for parts in near]
        if sort_results:
            pairs = [pair[:, np.argsort(pair[0], kind="stable")] for pair in pairs]
        positions = _ragged([self._positions(vectors.ids[pair[1].astype(np.int64)]) for pair in pairs])
        return (_ragged([pair[0] for pair in pairs]), positions) if return_distance else positions

    def kneighbors_graph(
        self, X: Images | None = None, n_neighbors: int | None = None, mode: str = "connectivity"
    ) -> Any:
        """Return the graph as a SciPy CSR matrix, (n, images): 1 for each neighbour, or with mode "distance" that."""
        from scipy.sparse import csr_matrix

        if mode not in ("connectivity", "distance"):
            raise BadInput(f"mode is {mode!r}; 'connectivity' or 'distance' is wanted")
        distances, positions = self.kneighbors(X, n_neighbors)
        values = np.ones(positions.size) if mode == "connectivity" else distances.ravel().astype(np.float64)
        starts = np.arange(0, positions.size + 1, max(positions.shape[1], 1))
        return csr_matrix((values, positions.ravel(), starts), shape=(len(positions), self.n_samples_fit_))

    def _of_each(self, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the neighbours of every image, without itself."""
        ids, scores = self.store_.nearest(self.ids_, k + 1)
        others = ids != self.ids_[:, None]
        others[others.all(axis=1), -1] = False  # of more equals than k, one that is not among its own
        shape = (len(ids), max(ids.shape[1] - 1, 0))
        return self._positions(ids[others].reshape(shape)), scores[others].reshape(shape)

    def _positions(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where ids are in those of `fit`. Raises BadInput for one that was added since."""
        positions = np.searchsorted(self.ids_, ids)
        if not np.array_equal(self.ids_[np.minimum(positions, len(self.ids_) - 1)], ids):
            raise BadInput(f"the store {self.store_.path} has images that were added since; call `fit` again")
        return np.asarray(positions, np.int64)


def _ragged(parts: list[NDArray[Any]]) -> NDArray[np.object_]:
    found = np.empty(len(parts), object)
    for place, part in enumerate(parts):
        found[place] = part
    return found
