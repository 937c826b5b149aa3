"""Queries that are no file: vectors, tensors, pixels and bytes, one by one and many at once. The oracle is NumPy."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow
import pytest
import torch
from PIL import Image

from tests.conftest import TinyEmbedder
from vecstore import Encoded
from vecstore.errors import BadInput, NotFound
from vecstore.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def store(open_store: Callable[..., Store], pictures: Path) -> Store:
    """A store of the ten pictures, in two clusters; a picture's row is its number."""
    opened = open_store()
    opened.add(pictures)
    opened.cluster(2, restarts=1)
    return opened


def rows_of(store: Store) -> Any:
    return np.fromfile(store.path / "vectors.f16", "<f2").reshape(-1, 12)


def picture_of(pictures: Path, row: int) -> Path:
    return pictures / ("deep" if row >= 5 else "") / f"{row}.png"


def as_every_kind(store: Store, pictures: Path, row: int) -> dict[str, Any]:
    """The same stored picture in every way that it can be given."""
    file, vector = picture_of(pictures, row), rows_of(store)[row]
    pixels = Image.open(file)
    return {
        "path": file,
        "bytes": file.read_bytes(),
        "bytearray": bytearray(file.read_bytes()),
        "Encoded": Encoded(file.read_bytes()),
        "Pillow": pixels,
        "transparent": pixels.convert("RGBA"),
        "pixels": np.asarray(pixels.convert("RGB")),
        "float16": vector,
        "float64, longer": vector.astype(np.float64) * 3,
        "tensor": torch.from_numpy(vector.astype(np.float32)).requires_grad_(),
        "bfloat16": torch.from_numpy(vector.astype(np.float32)).bfloat16(),
        "floats": vector.tolist(),
        "NumPy's floats": [*vector],
        "column": pandas.Series(vector.astype(np.float64)),
    }


def test_a_picture_given_in_any_way_finds_the_same_and_is_in_the_same_cluster(store: Store, pictures: Path) -> None:
    by_id, cluster = store.similar(7, k=3), store.which(7)[0].cluster
    for kind, given in as_every_kind(store, pictures, 7).items():
        found = store.similar(given, k=3)
        assert [hit.id for hit in found] == [hit.id for hit in by_id], kind
        assert [hit.score for hit in found] == pytest.approx([hit.score for hit in by_id], abs=1e-3), kind
        assert store.which(given)[0].cluster == cluster, kind


def test_many_queries_at_once_find_what_each_finds_alone(store: Store, pictures: Path) -> None:
    mixed = [*as_every_kind(store, pictures, 3).values(), 8, "@2"]
    alone = [store.similar(query, k=4) for query in mixed]
    ids, scores = store.nearest(mixed, 4)
    assert (str(ids.dtype), ids.shape, str(scores.dtype), scores.shape) == ("int64", (16, 4), "float32", (16, 4))
    np.testing.assert_array_equal(ids, [[hit.id for hit in hits] for hits in alone])
    np.testing.assert_allclose(scores, [[hit.score for hit in hits] for hits in alone], atol=1e-6)
    assert [[hit.id for hit in hits] for hits in store.similar_to_each(mixed, 4)] == ids.tolist()


def test_a_matrix_of_vectors_is_searched_as_brute_force_does_and_removed_images_are_not_found(store: Store) -> None:
    store.remove(4)
    queries = np.random.default_rng(0).standard_normal((6, 12))
    scores = queries @ rows_of(store).astype(np.float64).T / np.linalg.norm(queries, axis=1, keepdims=True)
    scores[:, 4] = -2
    expected = np.argsort(-scores, axis=1)
    # The names of the frame's columns, 0 to 11, could be ids.
    for given in (queries, torch.from_numpy(queries), pandas.DataFrame(queries), queries.tolist()):
        np.testing.assert_array_equal(store.nearest(given, 5).ids, expected[:, :5])
    assert store.nearest(queries, 100).ids.shape == (6, 9)
    assert store.nearest(queries, 5, path="*deep*").ids.min() >= 5


def test_columns_of_data_frames_are_lists_of_what_is_in_them(store: Store, pictures: Path) -> None:
    paths = [str(picture_of(pictures, row)) for row in (6, 2)]
    frame = pandas.DataFrame({"path": paths, "id": [6, 2], "vector": [*store.vectors[[6, 2]]]})
    for given in (
        frame["path"],
        frame["path"].to_numpy(),
        frame["id"],
        frame["id"].to_numpy(np.uint32),
        frame["vector"],
    ):
        assert store.nearest(given, 1).ids.tolist() == [[6], [2]]
    for column in pyarrow.Table.from_pandas(frame).columns:
        assert store.nearest(column, 1).ids.tolist() == [[6], [2]]
    with pytest.raises(BadInput, match=r"^an array of the shape \(3,\) and object is neither|^the vector is of object"):
        store.nearest(frame, 1)


def test_new_pictures_are_embedded_in_batches_and_not_added(store: Store) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (9, 8, 8, 3), np.uint8)
    before = TinyEmbedder.embedded_count
    vectors = store.embed([*map(Image.fromarray, pixels), 3])
    assert TinyEmbedder.embedded_count == before + 9
    np.testing.assert_array_equal(vectors[9], rows_of(store)[3])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    np.testing.assert_array_equal(store.embed([pixels[5]])[0], vectors[5])
    assert len(store.images()) == 10


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.ones(3), "a vector of 3 numbers cannot be compared with those of the store"),
        (np.zeros(12), "the vector has no direction"),
        (np.full(12, np.nan), "the vector has no direction"),
        (np.arange(12), "the vector is of int64, and floats are needed"),
        (np.ones((2, 12)), "an array of the shape (2, 12) and float64 is neither a vector"),
        (torch.ones(3), "a vector of 3 numbers cannot be compared with those of the store"),
        (torch.ones(12, device="meta"), "the tensor cannot be read as an array"),
        (b"\x89PNG\r\n\x1a\n and no more", "the picture: "),
        (np.array(3), "array(3) is not an image"),
        (io.BytesIO(b"\x89PNG\r\n\x1a\n"), "<_io.BytesIO object"),
    ],
)
def test_what_cannot_be_a_query_is_refused_in_a_line(given: Any, message: str, store: Store) -> None:
    with pytest.raises(BadInput, match=f"^{re.escape(message)}[^\n]*$"):
        store.similar(given)


@pytest.mark.parametrize("given", [5, "x.png", b"x.png", np.ones(12), np.ones((2, 3)), np.array(3), [], [None], None])
def test_many_queries_are_a_list_or_a_matrix(given: Any, store: Store) -> None:
    with pytest.raises(BadInput, match=r"^[^\n]+$"):
        store.nearest(given)


def test_bytes_of_a_path_name_a_file_and_are_never_taken_for_a_picture(store: Store, pictures: Path) -> None:
    assert store.similar(bytes(picture_of(pictures, 2)), k=1)[0].id == 2
    with pytest.raises(NotFound):
        store.similar(b"nothing.png")


@pytest.mark.parametrize("given", [np.ones(12), Image.new("RGB", (4, 4)), bytearray(b"no picture")])
def test_where_a_stored_image_is_needed_a_nameless_one_is_refused(given: Any, store: Store) -> None:
    with pytest.raises((BadInput, NotFound), match="name a file or a stored id|is not in the store"):
        store.remove(given)
    with pytest.raises((BadInput, NotFound)):
        store.image(given)


def test_a_picture_that_was_closed_is_refused(store: Store, pictures: Path) -> None:
    with Image.open(picture_of(pictures, 0)) as opened:
        pass
    with pytest.raises(BadInput, match="^the picture: its pixels cannot be read"):
        store.similar(opened)
