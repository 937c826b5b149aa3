"""Ready-made vectors: .npy and Parquet in, known by the content of their files or by their paths alone."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from cli.app import app
from tests.conftest import TinyEmbedder
from vecstore.errors import BadInput, WrongEmbedder
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
        with pytest.raises(BadInput, match="were imported, and what made them was not named"):
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
