"""A store as arrays and as a collection: aligned with each other, whatever was removed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vecstore.errors import BadInput
from vecstore.search.arrays import StoredVectors
from vecstore.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def store(open_store: Callable[..., Store], pictures: Path) -> Store:
    opened = open_store()
    opened.add(pictures)
    return opened


def assert_aligned(store: Store) -> None:
    """Compare position i of each array with what the store says of that image by itself."""
    images = list(store)
    matrix = np.asarray(store.vectors)
    assert [image.id for image in images] == store.ids.tolist() == store.vectors.ids.tolist()
    assert [image.paths[0] for image in images] == store.paths
    assert [-1 if image.cluster is None else image.cluster for image in images] == store.labels.tolist()
    np.testing.assert_array_equal(matrix, store.embed(store.ids).astype(np.float16))
    np.testing.assert_array_equal(store.nearest(store.vectors, 1).ids[:, 0], store.ids)
    assert len(store) == len(images) == len(store.vectors)
    assert store.vectors.shape == matrix.shape


def test_arrays_are_aligned_also_when_images_were_removed_and_the_store_was_compacted(
    store: Store, pictures: Path
) -> None:
    assert_aligned(store)
    store.cluster(3, restarts=1)
    assert_aligned(store)
    store.remove(0, 4)
    assert store.ids.tolist() == [1, 2, 3, 5, 6, 7, 8, 9]
    assert_aligned(store)
    store.compact()
    assert_aligned(store)
    store.add(pictures)
    assert len(store) == 10
    assert_aligned(store)


def test_vectors_are_mapped_and_read_only_and_a_copy_only_where_images_are_missing(store: Store) -> None:
    vectors = np.asarray(store.vectors)
    assert isinstance(vectors.base, np.memmap)
    assert vectors.dtype == np.float16
    with pytest.raises(ValueError, match="read-only"):
        vectors[0] = 0
    store.remove(2)
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(store.vectors, copy=False)
    assert torch.from_numpy(np.asarray(store.vectors, np.float32)).shape == (9, 12)


KEYS = st.one_of(
    st.integers(-4, 3),
    st.slices(4),
    st.lists(st.integers(-4, 3), max_size=5).map(lambda places: np.array(places, np.int64)),
    st.lists(st.booleans(), min_size=4, max_size=4).map(lambda mask: np.array(mask)),
    st.tuples(st.slices(4), st.slices(3)),
    st.tuples(st.integers(0, 3), st.integers(0, 2)),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(KEYS)
def test_indexing_is_as_of_the_matrix(key: object) -> None:
    rows, ids = np.arange(18, dtype=np.float16).reshape(6, 3), np.array([0, 2, 3, 5])
    np.testing.assert_array_equal(StoredVectors(rows, ids)[key], rows[ids][key])


def test_what_is_in_a_store(store: Store, pictures: Path, tmp_path: Path) -> None:
    store.remove(3)
    copy = tmp_path / "a copy.png"
    copy.write_bytes((pictures / "1.png").read_bytes())
    assert 1 in store
    assert pictures / "1.png" in store
    assert copy in store
    assert copy.read_bytes() in store
    assert 3 not in store
    assert 10 not in store
    assert pictures / "3.png" not in store
    assert tmp_path / "none.png" not in store
    with pytest.raises(BadInput):
        assert None in store


def test_a_store_that_is_not_there_yet_is_empty_and_true(open_store: Callable[..., Store]) -> None:
    store = open_store()
    assert len(store) == 0
    assert store
