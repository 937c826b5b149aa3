"""What other tools open: embedding-atlas's Parquet, index files of usearch and hnswlib, FiftyOne's JSON, Lance."""

import base64
import io
import json
import os
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.conftest import paint
from vecstore.errors import BadInput, NotFound
from vecstore.exchange.formats import EXPORTS
from vecstore.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def store(open_store: Callable[..., Store], pictures: Path) -> Store:
    """The ten pictures without @4, with clusters and the selection best."""
    opened = open_store()
    opened.add(pictures)
    opened.cluster(2, restarts=1)
    opened.select("best", 3)
    opened.remove(4)
    return opened


def test_embedding_atlas_gets_map_neighbours_and_thumbnails(store: Store, tmp_path: Path) -> None:
    store.export_as(tmp_path / "atlas.parquet", "embedding-atlas")
    found = pq.read_table(tmp_path / "atlas.parquet").to_pylist()
    ids = [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert [row["id"] for row in found] == ids
    assert [(row["x"], row["y"]) for row in found] == [(point.x, point.y) for point in store.map().points]
    assert (found[3]["selections"], found[3]["image"]["bytes"]) == (["best"], store.thumbnail(3))
    for row in found:
        assert row["neighbors"]["ids"] == [ids.index(hit.id) for hit in store.similar(row["id"], k=9)]
        assert row["neighbors"]["distances"][0] == 0


def test_embedding_atlas_leaves_out_no_picture_whose_file_is_gone(store: Store, pictures: Path, tmp_path: Path) -> None:
    for file in pictures.rglob("*.png"):
        file.unlink()
    assert store.export_as(tmp_path / "atlas.parquet", "embedding-atlas").rows == 9


def unit_rows(store: Store) -> np.ndarray:
    return np.fromfile(store.path / "vectors.f16", "<f2").reshape(-1, 12).astype(np.float32)


def test_usearch_finds_each_image_by_its_id(store: Store, tmp_path: Path) -> None:
    usearch = pytest.importorskip("usearch.index")
    store.export_as(tmp_path / "a.usearch", "usearch")
    index = usearch.Index.restore(str(tmp_path / "a.usearch"))
    assert len(index) == 9
    assert 4 not in index
    assert index.search(unit_rows(store)[7], 3).keys.tolist() == [hit.id for hit in store.similar(7, k=3)]


def test_hnswlib_finds_each_image_by_its_id(store: Store, tmp_path: Path) -> None:
    hnswlib = pytest.importorskip("hnswlib")
    store.export_as(tmp_path / "a.hnsw", "hnswlib")
    index = hnswlib.Index(space="cosine", dim=12)
    index.load_index(str(tmp_path / "a.hnsw"))
    index.set_ef(50)
    found, _ = index.knn_query(unit_rows(store)[7:8], 3)
    assert found[0].tolist() == [hit.id for hit in store.similar(7, k=3)]


def test_lance_and_lancedb_read_the_table_and_it_comes_back(store: Store, pictures: Path, tmp_path: Path) -> None:
    lance = pytest.importorskip("lance")
    (tmp_path / "db").mkdir()
    store.export_as(tmp_path / "db" / "photos.lance", "lance")
    found = lance.dataset(str(tmp_path / "db" / "photos.lance")).to_table().to_pylist()
    assert [(row["id"], row["path"]) for row in found][4:6] == [
        (5, f"{pictures}/deep/5.png"),
        (6, f"{pictures}/deep/6.png"),
    ]
    assert found[3]["selections"] == ["best"]
    for source in ("db/photos.lance", "db"):
        with Store.open(tmp_path / "second", create=True) as second:
            report = second.import_from(tmp_path / source)
            assert (report.format, report.added and report.added.added + report.added.known) == ("lance", 9)
    stored = unit_rows(store)[[0, 1, 2, 3, 5, 6, 7, 8, 9]].astype("<f2").tobytes()
    assert (tmp_path / "second/vectors.f16").read_bytes() == stored


def test_lancedb_searches_the_table(store: Store, tmp_path: Path) -> None:
    lancedb = pytest.importorskip("lancedb")
    (tmp_path / "db").mkdir()
    store.export_as(tmp_path / "db" / "photos.lance", "lance")
    table = lancedb.connect(str(tmp_path / "db")).open_table("photos")
    found = table.search(unit_rows(store)[7].tolist()).distance_type("cosine").limit(3).to_arrow().to_pylist()
    assert [row["id"] for row in found] == [hit.id for hit in store.similar(7, k=3)]


def test_a_folder_of_several_tables_names_them(open_store: Callable[..., Store], tmp_path: Path) -> None:
    pytest.importorskip("lance")
    for name in ("a.lance", "b.lance"):
        (tmp_path / "db" / name).mkdir(parents=True)
    with pytest.raises(BadInput, match=r"db is neither NAME.lance nor a folder of one such table; it has a.lance, b"):
        open_store().import_from(tmp_path / "db")
    with pytest.raises(BadInput, match=r"a.lance cannot be read as a table of Lance"):
        open_store().import_from(tmp_path / "db/a.lance")


def test_fiftyone_gets_vectors_clusters_selections_and_duplicates(store: Store, pictures: Path, tmp_path: Path) -> None:
    paint(pictures / "copy.png", 3)
    store.add(pictures)
    store.export_as(tmp_path / "fo", "fiftyone")
    samples = json.loads((tmp_path / "fo/samples.json").read_text())["samples"]
    third = next(sample for sample in samples if sample["vecstore_id"] == 3)
    assert (third["tags"], third["filepath"], third["copies"]) == (
        ["best"],
        f"{pictures}/3.png",
        [f"{pictures}/copy.png"],
    )
    assert third["duplicate_group"] is not None
    assert third["cluster"]["label"] == f"cluster {store.which(3)[0].cluster}"
    raw = zlib.decompress(base64.b64decode(third["embedding"]["$binary"]["base64"]))
    np.testing.assert_array_equal(np.load(io.BytesIO(raw)), unit_rows(store)[3])


def test_the_samples_are_those_that_fiftyone_reads(store: Store, pictures: Path, tmp_path: Path) -> None:
    python = os.environ.get("VECSTORE_TEST_FIFTYONE")
    if not python:
        pytest.skip("VECSTORE_TEST_FIFTYONE names no Python that has FiftyOne; `scripts/test --peers` makes one")
    paint(pictures / "copy.png", 3)
    store.add(pictures)
    store.export_as(tmp_path / "fo", "fiftyone")
    command = [python, "-c", READ_SAMPLES, tmp_path / "fo"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    samples = json.loads(done.stdout.splitlines()[-1])
    assert [one["id"] for one in samples] == store.ids.tolist()
    for one in samples:
        np.testing.assert_array_equal(one["embedding"], store.embed([one["id"]])[0])
        assert one["cluster"] == f"cluster {store.which(one['id'])[0].cluster}"
    third = samples[3]
    assert (third["tags"], third["path"], third["copies"]) == (
        ["best"],
        f"{pictures}/3.png",
        [f"{pictures}/copy.png"],
    )
    assert (third["group"], third["width"]) == (next(iter(store.duplicates())).group, 32)


# By FiftyOne's own importer, which needs no database; `fiftyone.Dataset.from_dir` puts what it yields into one.
READ_SAMPLES = """
import json, sys
from fiftyone.utils.data.importers import LegacyFiftyOneDatasetImporter
importer = LegacyFiftyOneDatasetImporter(dataset_dir=sys.argv[1])
with importer:
    print(json.dumps([
        {
            "id": s.vecstore_id, "path": s.filepath, "tags": s.tags, "cluster": s.cluster.label, "copies": s.copies,
            "group": s.duplicate_group, "width": s.metadata.width, "embedding": s.embedding.tolist(),
        }
        for s in importer
    ]))
"""


@pytest.mark.parametrize("name", EXPORTS)
def test_a_store_without_images_leaves_nothing_behind(
    name: str, open_store: Callable[..., Store], pictures: Path, tmp_path: Path
) -> None:
    store = open_store()
    store.add(pictures)
    store.remove(pictures)
    with pytest.raises((NotFound, BadInput), match=r"no images|no selections|install vecstore"):
        store.export_as(tmp_path / ("out.lance" if name == "lance" else "out"), name)
    assert {file.name for file in tmp_path.iterdir()} == {"pictures", "store"}
