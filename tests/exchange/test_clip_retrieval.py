"""clip-retrieval's folders, in and out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vecstore.errors import BadInput
from vecstore.exchange import clip_retrieval
from vecstore.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")


def write(folder: Path, *sizes: int, dim: int = 5, dtype: str = "float32") -> np.ndarray:
    """Write a folder of so many parts, as `clip-retrieval inference` does; return its vectors."""
    (folder / "img_emb").mkdir(parents=True)
    (folder / "metadata").mkdir()
    rows = np.random.default_rng(3).standard_normal((sum(sizes), dim)).astype(dtype)
    first = 0
    for number, size in enumerate(sizes):
        np.save(folder / f"img_emb/img_emb_{number:02}.npy", rows[first : first + size])
        names = [f"{first + i}.jpg" for i in range(size)]
        pq.write_table(pa.table({"image_path": names}), folder / f"metadata/metadata_{number:02}.parquet")
        first += size
    return rows


def test_parts_are_taken_one_after_the_other(tmp_path: Path) -> None:
    rows = write(tmp_path / "clip", 3, 4, 1)
    (tmp_path / "photos").mkdir()
    with Store.open(tmp_path / "store", create=True) as store:
        report = store.import_from(tmp_path / "clip", pictures=tmp_path / "photos")
        assert report.added is not None
        assert (report.format, report.added.added) == ("clip-retrieval", 8)
        assert [Path(image.paths[0]).name for image in reversed(store.images())] == [f"{i}.jpg" for i in range(8)]
    stored = np.fromfile(tmp_path / "store/vectors.f16", "<f2").reshape(8, 5)
    np.testing.assert_allclose(stored, rows / np.linalg.norm(rows, axis=1, keepdims=True), atol=1e-3)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_blocks_have_the_size_that_was_asked_for(size: int, tmp_path: Path) -> None:
    rows = write(tmp_path / "clip", 3, 4, 1)
    given, _ = clip_retrieval.load(tmp_path / "clip", None)
    blocks = [read() for read in given.blocks(size)]
    assert [len(block) for block in blocks[:-1]] == [size] * (len(blocks) - 1)
    np.testing.assert_array_equal(np.concatenate(blocks), rows)


def test_what_was_written_comes_back_bit_for_bit(
    open_store: Callable[..., Store], pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip_retrieval, "PART_ROWS", 4)
    store = open_store()
    store.add(pictures)
    report = store.export_as(tmp_path / "clip", "clip-retrieval")
    assert (report.images, len([*(tmp_path / "clip/img_emb").iterdir()])) == (10, 3)
    with Store.open(tmp_path / "second", create=True) as second:
        second.import_from(tmp_path / "clip")
        assert [one.paths for one in second.images()] == [one.paths for one in store.images()]
    assert (tmp_path / "second/vectors.f16").read_bytes() == (tmp_path / "store/vectors.f16").read_bytes()


def test_its_own_reader_reads_it(open_store: Callable[..., Store], pictures: Path, tmp_path: Path) -> None:
    reader = pytest.importorskip("embedding_reader")
    store = open_store()
    store.add(pictures)
    store.export_as(tmp_path / "clip", "clip-retrieval")
    found = reader.EmbeddingReader(
        embeddings_folder=str(tmp_path / "clip/img_emb"),
        metadata_folder=str(tmp_path / "clip/metadata"),
        meta_columns=["image_path"],
        file_format="parquet_npy",
    )
    batches = [*found(batch_size=4)]
    assert sum(len(vectors) for vectors, _ in batches) == 10


@pytest.mark.parametrize("trouble", ["no vectors", "no metadata", "fewer paths", "another width", "no column", "junk"])
def test_a_folder_that_does_not_fit_is_refused_whole(trouble: str, tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    write(folder, 3, 4)
    metadata = folder / "metadata/metadata_01.parquet"
    if trouble == "no vectors":
        for file in (folder / "img_emb").iterdir():
            file.unlink()
    elif trouble == "no metadata":
        metadata.unlink()
    elif trouble == "fewer paths":
        pq.write_table(pa.table({"image_path": ["a"]}), metadata)
    elif trouble == "another width":
        np.save(folder / "img_emb/img_emb_01.npy", np.ones((4, 6), np.float32))
    elif trouble == "no column":
        pq.write_table(pa.table({"x": ["a"] * 4}), metadata)
    else:
        metadata.write_bytes(b"junk")
    with Store.open(tmp_path / "store", create=True) as store, pytest.raises(BadInput, match=f"{folder}[:/]"):
        store.import_from(folder)
    assert not (tmp_path / "store").exists()
