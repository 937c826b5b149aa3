"""scikit-learn's ways. The oracle is its own NearestNeighbors over the store's vectors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks

from vecstore import StoreNeighbors, VecstoreTransformer
from vecstore.errors import BadInput
from vecstore.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def store(open_store: Callable[..., Store], pictures: Path) -> Store:
    """Nine pictures, one of ten having been removed."""
    opened = open_store()
    opened.add(pictures)
    opened.remove(4)
    return opened


# Those that need no matrix of numbers; `check_estimator` leaves out all but the first for what takes pictures.
CHECKS = (
    *("check_estimator_cloneable", "check_estimator_repr", "check_no_attributes_set_in_init"),
    *("check_parameters_default_constructible", "check_get_params_invariance", "check_set_params"),
    *("check_valid_tag_types", "check_mixin_order"),
)


@pytest.mark.parametrize("check", CHECKS)
def test_the_estimator_checks_that_apply_are_passed(check: str, tmp_path: Path) -> None:
    for made in (VecstoreTransformer("tiny"), StoreNeighbors(str(tmp_path))):
        getattr(estimator_checks, check)(type(made).__name__, made)


def test_pictures_become_the_vectors_of_the_store(store: Store, pictures: Path) -> None:
    files: list[Any] = [pictures / "0.png", (pictures / "1.png").read_bytes(), Image.open(pictures / "2.png")]
    transformer = VecstoreTransformer("tiny").fit()
    np.testing.assert_array_equal(transformer.transform(files), store.embed([0, 1, 2]))
    assert transformer.get_feature_names_out()[11] == "tiny_11"
    assert transformer.transform([]).shape == (0, 12)
    labels = make_pipeline(VecstoreTransformer("tiny"), KMeans(2, n_init=1, random_state=0)).fit_predict(files)
    assert len(labels) == 3
    names = pandas.DataFrame({"path": [str(pictures / "0.png"), str(pictures / "1.png")]})
    np.testing.assert_array_equal(transformer.transform(names["path"]), store.embed([0, 1]))
    with pytest.raises(BadInput, match="none.png: cannot be read"):
        transformer.transform([pictures / "none.png"])
    with pytest.raises(BadInput):
        transformer.transform([7])


@pytest.fixture
def oracle(store: Store) -> Any:
    return NearestNeighbors(n_neighbors=3, radius=0.8, metric="cosine").fit(np.asarray(store.vectors, np.float64))


@pytest.mark.parametrize("of_all", [False, True])
def test_neighbours_are_those_of_scikit_learn(of_all: bool, store: Store, oracle: Any) -> None:
    queries = None if of_all else np.random.default_rng(0).standard_normal((4, 12))
    with_store = clone(StoreNeighbors(str(store.path), n_neighbors=3, radius=0.8)).fit()
    distances, positions = with_store.kneighbors(queries)
    expected = oracle.kneighbors(queries)
    np.testing.assert_array_equal(positions, expected[1])
    np.testing.assert_allclose(distances, expected[0], atol=1e-3)
    for mode in ("connectivity", "distance"):
        graph, wanted = with_store.kneighbors_graph(queries, mode=mode), oracle.kneighbors_graph(queries, mode=mode)
        np.testing.assert_allclose(graph.toarray(), wanted.toarray(), atol=1e-3)
    near, wanted = (
        with_store.radius_neighbors(queries, sort_results=True),
        oracle.radius_neighbors(queries, sort_results=True),
    )
    assert [list(found) for found in near[1]] == [list(found) for found in wanted[1]]
    with_store.store_.close()


def test_neighbours_of_pictures(store: Store, pictures: Path) -> None:
    with_store = StoreNeighbors(store, n_neighbors=1).fit()
    found = with_store.kneighbors([pictures / "deep/7.png", 5], return_distance=False)
    assert with_store.ids_[found].tolist() == [[7], [5]]
    with_store.store_.close()


def test_a_clustering_predicts_as_scikit_learn_would(store: Store) -> None:
    run = store.cluster(3, restarts=1)
    vectors = np.asarray(store.vectors, np.float32)
    for given in (vectors, store.vectors, pandas.DataFrame(vectors)):
        np.testing.assert_array_equal(run.predict(given), run.labels_)
    queries = np.random.default_rng(0).standard_normal((20, 12)).astype(np.float32)
    units = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    distances = np.linalg.norm(units[:, None] - run.cluster_centers_, axis=2)
    np.testing.assert_array_equal(run.predict(queries), distances.argmin(axis=1))
    with pytest.raises(BadInput, match=r"vectors have the shape \(3,\); \(n, 12\) is wanted"):
        run.predict(np.ones(3))
    with pytest.raises(
        BadInput, match=r"vectors are no array; \(n, 12\) is wanted \(`Store.embed` makes them of pictures"
    ):
        run.predict(["a.png"])  # type: ignore[arg-type]
