"""Segments: rows where other machines can read them, never changed, and never another store's."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from vecstore.engines import segments
from vecstore.engines.segments import RowFile, Segments
from vecstore.errors import BadInput, StoreDamaged
from vecstore.storage.vector_file import Float16, VectorFile, quantize_unit_rows

DIM = 8


@pytest.fixture
def vectors() -> Float16:
    rows = np.random.default_rng(0).standard_normal((100, DIM)).astype(np.float32)
    return quantize_unit_rows(rows / np.linalg.norm(rows, axis=1, keepdims=True))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Segments:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 32 * DIM * 2)
    return Segments(str(tmp_path / "rows"), DIM, "a store")


def names(place: Segments) -> list[str]:
    return sorted(file.name[:25] for file in Path(place.uri).glob("*.f16"))


def test_what_is_published_is_read_back_by_whoever_the_segments_are_sent_to(place: Segments, vectors: Float16) -> None:
    assert place.publish(vectors) == 100
    elsewhere = pickle.loads(pickle.dumps(place))
    np.testing.assert_array_equal(elsewhere.read(0, 100), vectors)
    np.testing.assert_array_equal(elsewhere.read(30, 67), vectors[30:67])


def test_publishing_again_writes_nothing(place: Segments, vectors: Float16) -> None:
    place.publish(vectors)
    before = {file: file.stat().st_mtime_ns for file in Path(place.uri).iterdir()}
    assert place.publish(vectors) == 0
    assert {file: file.stat().st_mtime_ns for file in Path(place.uri).iterdir()} == before


def test_only_the_last_segment_is_written_again_when_rows_come(place: Segments, vectors: Float16) -> None:
    place.publish(vectors[:40])
    assert names(place) == ["000000000000-000000000032", "000000000032-000000000040"]
    assert place.publish(vectors) == 60
    assert names(place) == [
        "000000000000-000000000032",
        "000000000032-000000000064",
        "000000000064-000000000096",
        "000000000096-000000000100",
    ]


def test_a_reader_of_before_finds_the_rows_under_their_new_name(place: Segments, vectors: Float16) -> None:
    place.publish(vectors[:40])
    reader = pickle.loads(pickle.dumps(place))
    assert reader.count() == 40
    place.publish(vectors)
    np.testing.assert_array_equal(reader.read(32, 40), vectors[32:40])
    np.testing.assert_array_equal(reader.read(32, 100), vectors[32:])


def test_the_segment_that_a_killed_publishing_left_beside_a_longer_one_is_passed_over(
    place: Segments, vectors: Float16
) -> None:
    place.publish(vectors[:40])
    short = next(Path(place.uri).glob("000000000032-*"))
    kept = short.read_bytes()
    place.publish(vectors)
    short.write_bytes(kept)
    np.testing.assert_array_equal(Segments(place.uri, DIM, "a store").read(0, 100), vectors)


def test_another_stores_rows_are_not_added_to(place: Segments, vectors: Float16) -> None:
    place.publish(vectors)
    with pytest.raises(BadInput, match="holds the rows of another store; name another place with --segments"):
        Segments(place.uri, DIM, "another").publish(vectors)


def test_a_damaged_segment_is_noticed(place: Segments, vectors: Float16) -> None:
    place.publish(vectors)
    file = next(Path(place.uri).glob("000000000032-*"))
    file.write_bytes(file.read_bytes()[:-1] + b"\x00")
    with pytest.raises(StoreDamaged, match="000000000032-.* is damaged; delete it, and the next run writes it again"):
        place.read(0, 100)
    file.unlink()
    assert place.publish(vectors) == 68
    np.testing.assert_array_equal(place.read(0, 100), vectors)


def test_rows_beyond_the_segments_are_not_there(place: Segments, vectors: Float16) -> None:
    place.publish(vectors)
    with pytest.raises(StoreDamaged, match="has no rows 90 to 119"):
        place.read(90, 120)


def test_a_place_that_is_none_is_refused() -> None:
    with pytest.raises(BadInput, match="segments cannot be kept at nowhere://x"):
        Segments("nowhere://x", DIM, "a store").publish(np.empty((0, DIM), np.float16))


def test_the_vector_file_itself_can_be_read_from(tmp_path: Path, vectors: Float16) -> None:
    VectorFile(tmp_path / "vectors.f16", DIM).append(vectors, 0)
    np.testing.assert_array_equal(RowFile(tmp_path / "vectors.f16", DIM).read(20, 50), vectors[20:50])
