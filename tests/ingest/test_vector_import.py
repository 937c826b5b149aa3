"""Ready-made vectors: .npy and Parquet in, known by the content of their files or by their paths alone."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from cli.app import app
from tests.conftest import TinyEmbedder, paint
from vecstore.errors import BadInput, NotFound, WrongEmbedder
from vecstore.ingest import pipeline, vector_import
from vecstore.ingest.vector_import import ExportedRow, _checked
from vecstore.storage.vector_file import quantize_unit_rows
from vecstore.store import Store

Rows = NDArray[np.float32]


@pytest.fixture
def rows() -> Rows:
    """Six vectors of 5 numbers, of any length."""
    return np.random.default_rng(5).standard_normal((6, 5)).astype(np.float32)


@pytest.fixture
def new_store(tmp_path: Path) -> Callable[..., Store]:
    return lambda **options: Store.open(tmp_path / "store", create=True, **options)


def write(tmp_path: Path, rows: NDArray[np.generic], paths: list[str]) -> tuple[Path, Path]:
    np.save(tmp_path / "vectors.npy", rows)
    (tmp_path / "paths.txt").write_text("".join(f"{path}\n" for path in paths))
    return tmp_path / "vectors.npy", tmp_path / "paths.txt"


def addresses(n: int) -> list[str]:
    return [f"/nowhere/{i}.jpg" for i in range(n)]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_vectors_are_stored_as_unit_rows_in_order(
    new_store: Callable[..., Store], tmp_path: Path, rows: Rows, dtype: type
) -> None:
    rows = rows.astype(dtype)
    with new_store() as store:
        assert store.import_vectors(*write(tmp_path, rows, addresses(6))).added == 6
    units = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    stored = np.fromfile(tmp_path / "store" / "vectors.f16", "<f2").reshape(-1, 5)
    np.testing.assert_array_equal(stored, quantize_unit_rows(units.astype(np.float32)))


def test_neighbours_are_found_by_path(new_store: Callable[..., Store], tmp_path: Path, rows: Rows) -> None:
    rows[4] = 3 * rows[1] + 0.01
    with new_store() as store:
        store.import_vectors(*write(tmp_path, rows, addresses(6)))
        assert [hit.id for hit in store.similar("/nowhere/1.jpg", k=2)] == [1, 4]


ADDRESSES = [
    "https://a.example/x.jpg",
    "s3://b/y z.jpg",
    "gs://b/../z.jpg",
    "file:///home/a.jpg",
    "HTTP://a.example//b",
]


def test_addresses_stay_as_they_are_whatever_the_current_folder(
    new_store: Callable[..., Store], tmp_path: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, paths = write(tmp_path, rows[:5], ADDRESSES)
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
    paint(tmp_path / "there/https:/a.example/x.jpg", 0)  # which no address leads to
    monkeypatch.chdir(tmp_path / "here")
    with new_store() as store:
        assert store.import_vectors(vectors, paths).added == 5
        monkeypatch.chdir(tmp_path / "there")
        assert store.import_vectors(vectors, paths).known == 5
        assert [store.similar(row, k=1)[0].path for row in range(5)] == ADDRESSES
        assert [store.similar(address, k=1)[0].id for address in ADDRESSES] == [0, 1, 2, 3, 4]
        assert store.check(files=True) == []
        assert store.remove(ADDRESSES[0]).removed == 1


def test_addresses_come_back_from_an_export(new_store: Callable[..., Store], tmp_path: Path, rows: Rows) -> None:
    vectors, paths = write(tmp_path, rows[:5], ADDRESSES)
    with new_store() as store:
        store.import_vectors(vectors, paths)
        store.export(tmp_path / "out.parquet")
    with Store.open(tmp_path / "second", create=True) as second:
        assert second.import_vectors(tmp_path / "out.parquet").added == 5
        assert {second.similar(row, k=1)[0].path for row in range(5)} == {*ADDRESSES}


def test_an_address_is_no_file_to_add(new_store: Callable[..., Store]) -> None:
    with new_store(embedder="tiny") as store, pytest.raises(NotFound, match="^no file or folder at https://a.example"):
        store.add("https://a.example/x.jpg")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_a_list_of_paths_is_read_as_windows_saves_it(
    encoding: str, new_store: Callable[..., Store], tmp_path: Path, rows: Rows
) -> None:
    vectors, paths = write(tmp_path, rows[:2], [])
    paths.write_bytes("/é.jpg\r\n/b.jpg\r\n".encode(encoding))
    with new_store() as store:
        store.import_vectors(vectors, paths)
        assert [store.similar(row, k=1)[0].path for row in range(2)] == ["/é.jpg", "/b.jpg"]


def test_a_list_in_another_encoding_is_refused_by_its_line(
    new_store: Callable[..., Store], tmp_path: Path, rows: Rows
) -> None:
    vectors, paths = write(tmp_path, rows[:2], [])
    paths.write_bytes(b"/a.jpg\n/caf\xe9.jpg\n")
    with new_store() as store, pytest.raises(BadInput) as refused:
        store.import_vectors(vectors, paths)
    assert str(refused.value) == (
        f"{paths}: entry 2 (/caf\\xe9.jpg) is not UTF-8, and no file is called so; save it as UTF-8; "
        "nothing was imported"
    )


@pytest.mark.parametrize(("field", "value"), [("width", 1 << 63), ("height", -1), ("size", 1 << 80)])
def test_an_export_with_a_number_that_cannot_be_is_damaged(field: str, value: int) -> None:
    row = ExportedRow(0, b"/a.jpg", np.zeros(2, np.float16), bytes(32), 1, 1, 1, 1, None, None)
    with pytest.raises(ValueError, match="a size that cannot be"):
        _checked(replace(row, **{field: value}))


def test_parquet_brings_its_paths(new_store: Callable[..., Store], tmp_path: Path, rows: Rows) -> None:
    pq.write_table(pa.table({"vector": rows.tolist(), "path": addresses(6)}), tmp_path / "vectors.parquet")
    with new_store() as store:
        assert store.import_vectors(tmp_path / "vectors.parquet").added == 6
        assert store.similar(2, k=1)[0].path == "/nowhere/2.jpg"


def test_importing_again_adds_nothing(new_store: Callable[..., Store], tmp_path: Path, rows: Rows) -> None:
    files = write(tmp_path, rows, addresses(6))
    with new_store() as store:
        store.import_vectors(*files)
        report = store.import_vectors(*files)
        assert (report.added, report.known, store.info().images) == (0, 6, 6)


def test_files_that_are_there_are_known_by_their_content(
    new_store: Callable[..., Store], tmp_path: Path, pictures: Path, rows: Rows
) -> None:
    copy = tmp_path / "copy.png"
    copy.write_bytes((pictures / "0.png").read_bytes())
    paths = [str(pictures / "0.png"), str(pictures / "1.png"), str(copy)]
    with new_store() as store:
        report = store.import_vectors(*write(tmp_path, rows[:3], paths))
        assert (report.added, report.known, store.info().images, store.info().paths) == (2, 1, 2, 3)


def test_a_file_is_looked_for_also_beside_one_that_is_not_there(tmp_path: Path) -> None:
    paint(tmp_path / "there" / "a.png", 0)
    folders: dict[bytes, bool] = {}
    found = {
        name: vector_import.identify(os.fsencode(tmp_path / name), folders)[0].size > 0
        for name in ("there/b.png", "there/a.png", "gone/a.png", "gone/b.png", "gone/in/c.png")
    }
    assert [name for name, is_there in found.items() if is_there] == ["there/a.png"]
    known = {os.path.basename(folder): is_there for folder, is_there in folders.items()}
    assert known == {b"there": True, b"gone": False, b"in": False}


def test_pictures_can_be_added_to_vectors_whose_maker_is_named(
    new_store: Callable[..., Store], tmp_path: Path, pictures: Path
) -> None:
    vectors = np.eye(12, dtype=np.float32)[:2]
    files = write(tmp_path, vectors, [str(pictures / "0.png"), str(pictures / "1.png")])
    with new_store(embedder="tiny") as store:
        store.import_vectors(*files)
        assert (store.add(pictures).added, TinyEmbedder.embedded_count) == (8, 8)


def test_pictures_cannot_be_added_to_vectors_of_unknown_make(
    new_store: Callable[..., Store], tmp_path: Path, pictures: Path, rows: Rows
) -> None:
    with new_store() as store:
        store.import_vectors(*write(tmp_path, rows, addresses(6)))
        with pytest.raises(BadInput, match="were imported without the name of their embedder"):
            store.add(pictures)
        assert store.info().images == 6


def test_vectors_of_unknown_make_do_not_go_into_a_store_of_pictures(
    new_store: Callable[..., Store], tmp_path: Path, pictures: Path
) -> None:
    with new_store(embedder="tiny") as store:
        store.add(pictures)
    files = write(tmp_path, np.eye(12, dtype=np.float32), addresses(12))
    with new_store() as store, pytest.raises(WrongEmbedder, match="made by tiny; if those of"):
        store.import_vectors(*files)


def test_vectors_of_another_width_are_refused(new_store: Callable[..., Store], tmp_path: Path, rows: Rows) -> None:
    with new_store() as store:
        store.import_vectors(*write(tmp_path, rows, addresses(6)))
        with pytest.raises(WrongEmbedder, match="has 4 numbers a vector, and the store .* has 5"):
            store.import_vectors(*write(tmp_path, rows[:, :4], addresses(6)))


def test_imported_vectors_get_their_clusters(new_store: Callable[..., Store], tmp_path: Path, rows: Rows) -> None:
    with new_store() as store:
        store.import_vectors(*write(tmp_path, rows[:4], addresses(4)))
        store.cluster(2, restarts=1)
        store.import_vectors(*write(tmp_path, rows, addresses(6)))
        assert sum(cluster.size for cluster in store.clusters()) == 6


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_a_vector_without_a_direction_stops_the_import_before_it_starts(
    new_store: Callable[..., Store], tmp_path: Path, rows: Rows, value: float
) -> None:
    rows[3] = value
    with new_store() as store, pytest.raises(BadInput, match="vector 3 of .* nothing was imported"):
        store.import_vectors(*write(tmp_path, rows, addresses(6)))
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("header", [b"\x89(", b"(\0", b"{'shape': (3,", b"1e999"])
def test_a_file_with_a_spoilt_header_is_refused(
    header: bytes, new_store: Callable[..., Store], tmp_path: Path, rows: Rows
) -> None:
    vectors, paths = write(tmp_path, rows, addresses(6))
    whole = vectors.read_bytes()
    vectors.write_bytes(whole[:10] + header + whole[10 + len(header) :])
    with new_store() as store, pytest.raises(BadInput, match=r"vectors.npy cannot be read as .npy: "):
        store.import_vectors(vectors, paths)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (np.zeros((6, 5), np.int64), "holds int64 of shape (6, 5); (n, dim) floating-point"),
        (np.zeros(6), "holds float64 of shape (6,)"),
        (np.array([{"code": 1}], object), "cannot be read as .npy"),
    ],
    ids=["integers", "one-dimensional", "a pickle"],
)
def test_what_is_no_array_of_vectors_is_refused(
    new_store: Callable[..., Store], tmp_path: Path, content: NDArray[np.generic], expected: str
) -> None:
    with new_store() as store, pytest.raises(BadInput) as raised:
        store.import_vectors(*write(tmp_path, content, addresses(6)))
    assert expected in str(raised.value)


def test_a_file_that_is_cut_while_it_is_imported_is_one_error_and_loses_nothing(
    new_store: Callable[..., Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "COMMIT_FILES", 10)
    monkeypatch.setattr(vector_import, "READ_BYTES", 2 * 5 * 8)  # two vectors
    vectors, paths = write(tmp_path, np.random.default_rng(1).standard_normal((200, 5)), addresses(200))
    whole = vectors.read_bytes()
    with new_store() as store:
        with pytest.raises(BadInput, match="vectors.npy is shorter than it was: .*; import the whole file again"):
            store.import_vectors(vectors, paths, lambda _: os.truncate(vectors, len(whole) // 2))
        kept = store.info().images
        assert (0 < kept < 200, store.check()) == (True, [])
        vectors.write_bytes(whole)
        report = store.import_vectors(vectors, paths)
        assert (report.known, report.added, store.check()) == (kept, 200 - kept, [])


def test_vectors_written_column_by_column_are_read_row_by_row(
    new_store: Callable[..., Store], tmp_path: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_import, "READ_BYTES", 4 * 5 * 8)  # four vectors
    with new_store() as store:
        store.import_vectors(*write(tmp_path, np.asfortranarray(rows), addresses(6)))
    units = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    stored = np.fromfile(tmp_path / "store" / "vectors.f16", "<f2").reshape(-1, 5)
    np.testing.assert_array_equal(stored, quantize_unit_rows(units.astype(np.float32)))


def test_a_stored_vector_stays_bit_for_bit_beside_one_of_another_length(
    new_store: Callable[..., Store], tmp_path: Path
) -> None:
    rows = np.array([[0.5, 0.5, 0.5, 0.501], [3, 4, 0, 0]], np.float16)
    with new_store() as store:
        store.import_vectors(*write(tmp_path, rows, addresses(2)))
    stored = np.fromfile(tmp_path / "store" / "vectors.f16", "<f2").reshape(-1, 4)
    assert stored[0].tolist() == rows[0].tolist()


def test_an_archive_of_arrays_is_refused(new_store: Callable[..., Store], tmp_path: Path, rows: Rows) -> None:
    vectors, paths = write(tmp_path, rows, addresses(6))
    np.savez(tmp_path / "several.npz", rows, rows)
    vectors.write_bytes((tmp_path / "several.npz").read_bytes())
    with new_store() as store, pytest.raises(BadInput, match="it is an archive of several arrays"):
        store.import_vectors(vectors, paths)


@pytest.mark.parametrize("lists", [[[1.0, 2.0], None], [[1.0, 2.0], [1.0]], [[1.0, 2.0, 3.0], [1.0]]])
def test_parquet_with_lists_of_several_lengths_is_refused(
    lists: list[list[float] | None], new_store: Callable[..., Store], tmp_path: Path
) -> None:
    pq.write_table(pa.table({"vector": lists, "path": addresses(2)}), tmp_path / "vectors.parquet")
    with new_store() as store, pytest.raises(BadInput, match="not a Parquet file with a column `vector` of equally"):
        store.import_vectors(tmp_path / "vectors.parquet")
    assert not (tmp_path / "store").exists()


def test_another_number_of_paths_is_refused(new_store: Callable[..., Store], tmp_path: Path, rows: Rows) -> None:
    with new_store() as store, pytest.raises(BadInput, match="holds 6 vectors, but there are 5 paths"):
        store.import_vectors(*write(tmp_path, rows, addresses(5)))


def test_a_file_that_cannot_be_read_is_a_failure(new_store: Callable[..., Store], tmp_path: Path, rows: Rows) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with new_store() as store:
        report = store.import_vectors(*write(tmp_path, rows[:2], [str(tmp_path / "pipe.jpg"), "/nowhere/1.jpg"]))
        assert (report.added, report.failed) == (1, 1)


def test_the_command_imports(tmp_path: Path, rows: Rows) -> None:
    vectors, paths = write(tmp_path, rows, addresses(6))
    ended = CliRunner().invoke(app, ["import", str(vectors), str(paths), "-s", str(tmp_path / "store")])
    assert (ended.exit_code, ended.stdout[:8], ended.stderr) == (0, "added 6,", "")
