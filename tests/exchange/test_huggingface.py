"""Data sets of Hugging Face on disk: pictures, unpacked, with their labels in; pictures with what is known out."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.conftest import TinyEmbedder, paint
from vecstore.errors import BadInput
from vecstore.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")
FEATURES = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}


def encoded(seed: int) -> bytes:
    file = io.BytesIO()
    colours = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), np.uint8)
    Image.fromarray(colours).resize((8, 8), Image.Resampling.NEAREST).save(file, "PNG")
    return file.getvalue()


def table(rows: list[dict[str, Any]], features: Any = FEATURES) -> pa.Table:
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.Table.from_pylist(rows, pa.schema([("image", picture), ("label", pa.int64())], metadata=metadata))


def inside(n: int) -> list[dict[str, Any]]:
    """Rows whose pictures are in the table; the last has no label, and the one before no picture."""
    rows: list[dict[str, Any]] = [
        {"image": {"bytes": encoded(i), "path": f"a b{i}.png" if i else None}, "label": i % 2} for i in range(n)
    ]
    return [*rows, {"image": None, "label": 1}, {"image": {"bytes": encoded(n), "path": None}, "label": -1}]


def save(folder: Path, found: pa.Table) -> None:
    """Write what `Dataset.save_to_disk` writes."""
    folder.mkdir(parents=True)
    with (
        pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as file,
        pa.ipc.new_stream(file, found.schema) as to,
    ):
        to.write_table(found)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))


def sets(store: Store) -> dict[str, list[int]]:
    return {one.name: [image.id for image in store.selected(one.name)] for one in store.selections()}


@pytest.mark.parametrize("form", ["parquet", "saved", "splits"])
def test_pictures_are_unpacked_and_labels_become_selections(
    form: str, open_store: Callable[..., Store], tmp_path: Path
) -> None:
    source = tmp_path / "data"
    if form == "parquet":
        source = tmp_path / "train.parquet"
        pq.write_table(table(inside(3)), source)
    elif form == "saved":
        save(source, table(inside(3)))
    else:
        save(source / "train", table(inside(3)))
        (source / "dataset_dict.json").write_text('{"splits": ["train"]}')
    store = open_store()
    report = store.import_from(source, pictures=tmp_path / "unpacked")
    assert report.format == "huggingface"
    assert (report.added and report.added.added, sets(store)) == (4, {"cat": [0, 2], "dog": [1]})
    names = sorted(path.name for path in (tmp_path / "unpacked").rglob("*") if path.is_file())
    assert names == ["00000000.png", "00000001-a_b1.png", "00000002-a_b2.png", "00000004.png"]
    store.undo()
    assert (sets(store), len(store)) == ({}, 0)


def test_importing_again_embeds_nothing_and_completes_what_was_cut(
    open_store: Callable[..., Store], tmp_path: Path
) -> None:
    pq.write_table(table(inside(3)), tmp_path / "train.parquet")
    store = open_store()
    store.import_from(tmp_path / "train.parquet", pictures=tmp_path / "unpacked")
    cut = next((tmp_path / "unpacked").rglob("00000000.png"))
    whole = cut.read_bytes()
    cut.write_bytes(whole[:9])
    report = store.import_from(tmp_path / "train.parquet", pictures=tmp_path / "unpacked")
    assert (cut.read_bytes(), report.added and report.added.known) == (whole, 4)
    assert TinyEmbedder.embedded_count == 4


def test_pictures_that_are_files_are_added_where_they_are(open_store: Callable[..., Store], tmp_path: Path) -> None:
    rows = [{"image": {"bytes": None, "path": str(paint(tmp_path / f"{i}.png", i))}, "label": i} for i in range(2)]
    save(tmp_path / "data", table(rows))
    store = open_store()
    store.import_from(tmp_path / "data")
    assert [image.paths for image in store.images()] == [(str(tmp_path / "1.png"),), (str(tmp_path / "0.png"),)]


def test_pictures_inside_need_a_folder(open_store: Callable[..., Store], tmp_path: Path) -> None:
    pq.write_table(table(inside(1)), tmp_path / "train.parquet")
    with pytest.raises(BadInput, match=r"in .*train.parquet itself; name a folder .* --pictures"):
        open_store().import_from(tmp_path / "train.parquet")


@pytest.mark.parametrize("trouble", ["state", "outside", "arrow", "no pictures", "features", "label", "kind", "empty"])
def test_what_is_damaged_is_one_clear_line(trouble: str, open_store: Callable[..., Store], tmp_path: Path) -> None:
    folder = tmp_path / "data"
    features: Any = [] if trouble == "features" else FEATURES
    rows = [{"image": {"bytes": encoded(0), "path": None}, "label": 5 if trouble == "label" else 0}]
    save(folder, table(rows, features).drop(["image"]) if trouble == "no pictures" else table(rows, features))
    if trouble == "kind":  # a picture's bytes are no text
        shutil.rmtree(folder)
        save(folder, pa.table({"image": [{"bytes": "text", "path": "x"}]}))
    elif trouble == "state":
        (folder / "state.json").write_text("[]")
    elif trouble == "outside":
        (folder / "state.json").write_text('{"_data_files": [{"filename": "../x.arrow"}]}')
    elif trouble == "arrow":
        (folder / "data-00000-of-00001.arrow").write_bytes(b"junk")
    elif trouble == "empty":
        (folder / "state.json").unlink()
    with pytest.raises(BadInput, match="data"):
        open_store().import_from(folder, "huggingface", pictures=tmp_path / "unpacked")


def test_what_was_written_is_read_by_its_own_reader(
    open_store: Callable[..., Store], pictures: Path, tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets")
    store = open_store()
    store.add(pictures)
    store.select("best", 3, 4)
    store.cluster(2, restarts=1)
    store.export_as(tmp_path / "out", "huggingface")
    found = datasets.load_from_disk(str(tmp_path / "out"))
    assert (len(found), found[3]["selections"], found[5]["path"]) == (10, ["best"], f"{pictures}/deep/5.png")
    assert found[0]["image"].size == (32, 24)
    stored = np.fromfile(store.path / "vectors.f16", "<f2").reshape(10, 12)
    np.testing.assert_array_equal(np.array(found["vector"][:], np.float16), stored)


def test_what_was_written_comes_back(open_store: Callable[..., Store], pictures: Path, tmp_path: Path) -> None:
    store = open_store()
    store.add(pictures)
    store.select("best", 3, 4)
    store.export_as(tmp_path / "out", "huggingface")
    with Store.open(tmp_path / "second", create=True, embedder="tiny") as second:
        second.import_from(tmp_path / "out")
        assert sets(second) == {"best": [3, 4]}
