"""Stores that earlier versions wrote: they open, are brought up to date in one transaction, and answer the same."""

import json
import shutil
import sqlite3
import zipfile
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fixtures.make_store import ask
from vecstore.errors import StoreDamaged, VecstoreError
from vecstore.storage.catalog import catalog as catalog_module
from vecstore.storage.catalog.checksums import Checksums
from vecstore.storage.catalog.schema import MIGRATIONS, m005_checksums, m006_operations
from vecstore.store import Store

FIXTURES = sorted(Path(__file__).parents[1].glob("fixtures/format-*.zip"))
FORMATS = [int(file.stem.removeprefix("format-")) for file in FIXTURES]
OLDER = [number for number in FORMATS if number < len(MIGRATIONS)]
WITHOUT_CHECKSUMS = [number for number in FORMATS if number <= MIGRATIONS.index(m005_checksums)]
WITH_UNDO = [number for number in FORMATS if number > MIGRATIONS.index(m006_operations)]
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(params=FORMATS, ids=lambda number: f"format {number}")
def unpacked(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with the store, its pictures, and answers.json."""
    with zipfile.ZipFile(FIXTURES[FORMATS.index(request.param)]) as packed:
        packed.extractall(tmp_path)
    return tmp_path


only = partial(pytest.mark.parametrize, "unpacked", indirect=True, ids=lambda number: f"format {number}")


def version(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as db:
        return int(db.execute("pragma user_version").fetchone()[0])


def without_scores(found: Any) -> Any:
    """Answers with every measured number rounded: what adds floats may differ in the last digits."""
    if isinstance(found, dict):
        return {name: without_scores(value) for name, value in found.items()}
    if isinstance(found, list | tuple):
        return [without_scores(value) for value in found]
    return round(found, 4) if isinstance(found, float) else found


def in_order(answers: Any) -> Any:
    """Answers with neighbours of one score by their ids; the programs of format 1 left that to chance."""
    for query, hits in answers["similar"].items():
        ordered = sorted(hits, key=lambda hit: (-hit["score"], hit["id"]))
        answers["similar"][query] = [{**hit, "rank": rank} for rank, hit in enumerate(ordered, 1)]
    return answers


def test_every_format_that_was_written_is_tried() -> None:
    # The step to format 5 came in the same commit as the one to 6, and those to 10, 11, 12 and 13 with that to 14.
    assert FORMATS == [*range(1, 5), *range(6, 10), *range(14, len(MIGRATIONS) + 1)]


def test_a_fixture_is_of_the_format_that_it_is_named_for(unpacked: Path, request: pytest.FixtureRequest) -> None:
    assert version(unpacked / "store") == request.node.callspec.params["unpacked"]


def test_an_older_store_answers_the_same(unpacked: Path) -> None:
    expected = json.loads((unpacked / "answers.json").read_text())
    with Store.open(unpacked / "store") as store:
        found = {name: answer for name, answer in json.loads(json.dumps(ask(store))).items() if name in expected}
        assert (without_scores(found), store.check()) == (in_order(without_scores(expected)), [])
    assert version(unpacked / "store") == len(MIGRATIONS)


def test_an_older_store_grows_without_embedding_anything_again(unpacked: Path) -> None:
    with Store.open(unpacked / "store") as store:
        before = np.array(store.session.vectors())
        report = store.add(unpacked / "photos")
        assert (report.added, report.known, report.failed, report.embedded) == (2, 11, 1, 0)
        np.testing.assert_array_equal(store.session.vectors(), before)
        store.undo()
        assert store.check() == []


@only(WITH_UNDO)
def test_what_an_older_version_did_can_be_undone(unpacked: Path) -> None:
    with Store.open(unpacked / "store") as store:
        store.undo()  # of the removal of two images
        assert (store.info().images, store.check()) == (12, [])


@only(WITHOUT_CHECKSUMS)
def test_a_checksum_says_that_it_is_younger_than_its_vector(unpacked: Path) -> None:
    with Store.open(unpacked / "store") as store:
        assert store.session.catalog.checksums.known_from() == store.session.catalog.images.row_count() == 12


@only(OLDER)
def test_a_later_upgrade_takes_no_checksum_anew(unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(unpacked / "store") as store:
        exchanged = np.array(store.session.vectors())[::-1]
    (unpacked / "store/vectors.f16").write_bytes(exchanged.tobytes())
    monkeypatch.setattr(catalog_module, "MIGRATIONS", (*MIGRATIONS, lambda db: None))
    with Store.open(unpacked / "store") as store:
        assert len([found for found in store.check() if found.kind == "vector"]) == 12


def fail(*_: object) -> None:
    raise sqlite3.OperationalError("disk I/O error")


LAST_STEP = (catalog_module, "MIGRATIONS", (*MIGRATIONS[:-1], fail))
CHECKSUMS = (Checksums, "record", fail)  # which come after all steps, in their transaction


@pytest.mark.parametrize(
    ("unpacked", "broken"),
    [*((number, LAST_STEP) for number in OLDER), *((number, CHECKSUMS) for number in WITHOUT_CHECKSUMS)],
    indirect=["unpacked"],
)
def test_an_upgrade_that_fails_leaves_the_store_as_it_was(
    unpacked: Path, broken: tuple[Any, str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(unpacked / "store", unpacked / "before")
    with monkeypatch.context() as patch:
        patch.setattr(*broken)
        with pytest.raises(VecstoreError, match=r"must be upgraded once.*disk"):
            Store.open(unpacked / "store")

    def dump(folder: Path) -> list[str]:
        with closing(sqlite3.connect(folder / "catalog.sqlite")) as db:
            return list(db.iterdump())

    assert (version(unpacked / "store"), dump(unpacked / "store")) == (
        version(unpacked / "before"),
        dump(unpacked / "before"),
    )
    with Store.open(unpacked / "store") as store:
        assert store.check() == []


def test_a_store_of_a_later_version_is_refused_with_the_next_step(unpacked: Path) -> None:
    with closing(sqlite3.connect(unpacked / "store/catalog.sqlite")) as db:
        db.execute("pragma user_version = 99")
    with pytest.raises(StoreDamaged, match="upgrade vecstore to use this store"):
        Store.open(unpacked / "store")
