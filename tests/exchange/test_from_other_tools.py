"""What other tools have written: labels of FiftyOne, picks of embedding-atlas, indexes of usearch and hnswlib."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.exchange.conftest import sets
from vecstore.errors import BadInput
from vecstore.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")


def test_tags_and_ground_truth_of_fiftyone_become_selections(store: Store, pictures: Path) -> None:
    samples = [
        {"filepath": "0.png", "tags": ["a", "b"], "ground_truth": {"_cls": "Classification", "label": "cat"}},
        {"filepath": f"{pictures}/deep/5.png", "tags": ["b"], "cluster": {"_cls": "Classification", "label": "c"}},
        {"filepath": "2.png", "tags": None, "ground_truth": {"_cls": "Detections", "detections": []}},
    ]
    (pictures / "samples.json").write_text(json.dumps({"samples": samples}))
    assert store.import_from(pictures).format == "fiftyone"
    assert sets(store) == {"a": [0], "b": [0, 5], "cat": [0]}


def test_labels_go_out_to_fiftyone_and_come_back(store: Store, tmp_path: Path) -> None:
    store.select("a", 2, 9)
    store.select("b", 3)
    store.export_as(tmp_path / "fo", "fiftyone")
    for name in ("a", "b"):
        store.delete_selection(name)
    store.import_from(tmp_path / "fo")
    assert sets(store) == {"a": [2, 9], "b": [3]}


@pytest.mark.parametrize(
    "said", ["{", "[]", '{"samples": [3]}', '{"samples": [{"tags": []}]}', '{"samples": 1}', '{"samples": {"a": 1}}']
)
def test_damaged_samples_are_one_clear_line(said: str, store: Store, tmp_path: Path) -> None:
    (tmp_path / "fo").mkdir()
    (tmp_path / "fo/samples.json").write_text(said)
    with pytest.raises(BadInput, match=r"samples.json"):
        store.import_from(tmp_path / "fo")


def test_what_was_picked_in_embedding_atlas_becomes_a_selection(store: Store, tmp_path: Path) -> None:
    store.export_as(tmp_path / "atlas.parquet", "embedding-atlas")
    table = pq.read_table(tmp_path / "atlas.parquet")
    pq.write_table(table.slice(2, 3), tmp_path / "odd ones.parquet")
    store.import_from(tmp_path / "odd ones.parquet", "embedding-atlas")
    assert sets(store) == {"odd ones": [2, 3, 4]}
    pq.write_table(table.drop_columns(["path"]), tmp_path / "bad.parquet")
    with pytest.raises(BadInput, match=r"bad.parquet has no column path"):
        store.import_from(tmp_path / "bad.parquet", "embedding-atlas")


def write_index(kind: str, vectors: np.ndarray, keys: list[int], file: Path) -> Path:
    """Write an index as its own library does."""
    if kind == "usearch":
        index = pytest.importorskip("usearch.index").Index(ndim=vectors.shape[1], metric="cos", dtype="f32")
        index.add(np.array(keys, np.uint64), vectors)
        index.save(str(file))
    else:
        index = pytest.importorskip("hnswlib").Index(space="cosine", dim=vectors.shape[1])
        index.init_index(max_elements=len(keys), ef_construction=50, M=8)
        index.add_items(vectors, np.array(keys))
        index.save_index(str(file))
    return file


@pytest.mark.parametrize(("kind", "suffix"), [("usearch", "usearch"), ("hnswlib", "hnsw")])
def test_vectors_of_an_index_come_in_by_their_keys(kind: str, suffix: str, tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((5, 12)).astype(np.float32)
    source = write_index(kind, vectors, [4, 0, 2, 7, 1], tmp_path / f"a.{suffix}")
    (tmp_path / "paths.txt").write_text("".join(f"pictures/{number}.png\n" for number in range(8)))
    with Store.open(tmp_path / "second", create=True) as second:
        report = second.import_from(source, pictures=tmp_path, paths=tmp_path / "paths.txt")
        assert (report.format, report.added and report.added.added) == (kind, 5)
        assert second.paths == [f"{tmp_path}/pictures/{number}.png" for number in (0, 1, 2, 4, 7)]
        by_key = vectors[[1, 4, 2, 0, 3]]
        expected = by_key / np.linalg.norm(by_key, axis=1, keepdims=True)
        np.testing.assert_allclose(np.asarray(second.vectors, np.float32), expected, atol=1e-3)


@pytest.mark.parametrize("kind", ["usearch", "hnswlib"])
def test_an_index_that_cannot_be_taken_is_one_clear_line(kind: str, tmp_path: Path) -> None:
    source = write_index(kind, np.eye(3, dtype=np.float32), [0, 1, 5], tmp_path / "a.index")
    few, many = tmp_path / "few.txt", tmp_path / "many.txt"
    few.write_text("a\nb\n")
    many.write_text("a\nb\nc\nd\ne\nf\n")
    (tmp_path / "bad.index").write_bytes(b"no index at all, however long it may be" * 9)
    (tmp_path / "none.index").write_bytes(b"")
    with Store.open(tmp_path / "second", create=True) as second:
        for file, paths, message in (
            (source, None, r"a.index has keys and no paths"),
            (source, few, r"a.index has the key 5, and .*few.txt has 2 paths"),
            (tmp_path / "bad.index", many, r"bad.index (is not|cannot be read as) an index of"),
            (tmp_path / "none.index", many, r"none.index (is not|cannot be read as) an index of"),
        ):
            with pytest.raises(BadInput, match=message):
                second.import_from(file, kind, paths=paths)
    assert not (tmp_path / "second").exists()
