"""Iterations over all rows agree with their definition, however the rows are divided."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from indexes import lloyd
from indexes.devices import Device
from vecstore.errors import BadInput
from vecstore.storage.vector_file import Float16, quantize_unit_rows
from vecstore.store import Store

CPU = Device("cpu")


@pytest.fixture
def vectors() -> Float16:
    rows = np.random.default_rng(1).standard_normal((500, 16)).astype(np.float32)
    return quantize_unit_rows(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def means(vectors: Float16, centroids: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    wide = vectors.astype(np.float64)
    squared = ((wide[:, None] - centroids[None].astype(np.float64)) ** 2).sum(axis=2)
    labels = squared.argmin(axis=1)
    return np.stack([wide[labels == c].mean(axis=0) for c in range(len(centroids))]), float(squared.min(axis=1).sum())


def test_an_iteration_moves_centroids_to_the_means_of_their_rows(vectors: Float16) -> None:
    centroids = vectors[:7].astype(np.float32)
    total = lloyd.sums_of(vectors, np.arange(500), centroids, CPU)
    expected, objective = means(vectors, centroids)
    np.testing.assert_allclose(lloyd.update_centroids(centroids, total, spherical=False), expected, atol=1e-6)
    assert total.objective == pytest.approx(objective, rel=1e-5)


def test_parts_add_up_to_the_whole(vectors: Float16) -> None:
    centroids = vectors[:7].astype(np.float32)
    whole = lloyd.sums_of(vectors, np.arange(500), centroids, CPU)
    parts = [lloyd.sums_of(vectors, np.arange(a, a + 100), centroids, CPU) for a in range(0, 500, 100)]
    total = lloyd.reduce_sums(iter(parts))
    np.testing.assert_allclose(total.sums, whole.sums, atol=1e-6)
    np.testing.assert_array_equal(total.counts, whole.counts)


def test_only_the_rows_asked_for_count(vectors: Float16) -> None:
    total = lloyd.sums_of(vectors, np.arange(0, 500, 2), vectors[:3].astype(np.float32), CPU)
    assert total.counts.sum() == 250


def test_a_centroid_without_rows_stays_where_it_is(vectors: Float16) -> None:
    far = np.full((1, 16), 100, np.float32)
    centroids = np.concatenate([vectors[:2].astype(np.float32), far])
    total = lloyd.sums_of(vectors, np.arange(500), centroids, CPU)
    np.testing.assert_array_equal(lloyd.update_centroids(centroids, total, spherical=False)[2], far[0])


def test_spherical_centroids_have_length_1(vectors: Float16) -> None:
    centroids = vectors[:7].astype(np.float32)
    total = lloyd.sums_of(vectors, np.arange(500), centroids, CPU)
    np.testing.assert_allclose(
        np.linalg.norm(lloyd.update_centroids(centroids, total, spherical=True), axis=1), 1, rtol=1e-6
    )


@pytest.fixture
def store(tmp_path: Path, vectors: Float16) -> Iterator[Store]:
    np.save(tmp_path / "vectors.npy", vectors)
    (tmp_path / "paths.txt").write_text("\n".join(f"{i}.jpg" for i in range(len(vectors))))
    with Store.open(tmp_path / "store", create=True) as opened:
        opened.import_vectors(tmp_path / "vectors.npy", tmp_path / "paths.txt")
        yield opened


def test_iterations_over_all_rows_go_on_where_the_sample_ended(store: Store) -> None:
    options = {"k": 5, "iterations": 1, "restarts": 1}
    objectives = [store.cluster(**options, full_iterations=n).objective for n in (0, 1, 100)]
    assert objectives[0] > objectives[1] > objectives[2]


def test_they_end_where_no_centroid_moves_any_more(store: Store, vectors: Float16) -> None:
    run = store.cluster(5, iterations=1, restarts=1, full_iterations=100)
    moved, _ = means(vectors, run.cluster_centers_)
    assert run.objective - means(vectors, moved.astype(np.float32))[1] < 1e-4 * run.objective


def test_fewer_than_no_full_iterations_are_refused(store: Store) -> None:
    with pytest.raises(BadInput, match="^full_iterations is -1; it must be at least 0$"):
        store.cluster(5, full_iterations=-1)


def test_segments_without_a_cluster_of_machines_are_refused(store: Store) -> None:
    with pytest.raises(BadInput, match="segments are for a Ray cluster; name one with --ray"):
        store.cluster(5, segments="rows")
