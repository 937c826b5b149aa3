"""Stores that earlier versions wrote: they open, are brought up to date in one transaction, and answer the same."""

import json
import shutil
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fixtures.make_store import ask
from vecstore.errors import StoreDamaged, VecstoreError
from vecstore.storage.catalog import catalog as catalog_module
from vecstore.storage.catalog.checksums import Checksums
from vecstore.storage.catalog.schema import MIGRATIONS
from vecstore.store import Store

FORMATS = sorted(Path(__file__).parents[1].glob("fixtures/format-*.zip"))
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(params=FORMATS, ids=lambda path: path.stem)
def unpacked(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with the store, its pictures, and answers.json."""
    with zipfile.ZipFile(request.param) as packed:
        packed.extractall(tmp_path)
    return tmp_path


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


def test_an_older_store_answers_the_same(unpacked: Path) -> None:
    expected = json.loads((unpacked / "answers.json").read_text())
    with Store.open(unpacked / "store") as store:
        found = json.loads(json.dumps(ask(store)))
        assert (without_scores(found), store.check()) == (without_scores(expected), [])
    assert version(unpacked / "store") == len(MIGRATIONS)


def test_an_older_store_grows_without_embedding_anything_again(unpacked: Path) -> None:
    with Store.open(unpacked / "store") as store:
        before = np.array(store.session.vectors())
        report = store.add(unpacked / "photos")
        assert (report.added, report.known, report.failed, report.embedded) == (2, 11, 1, 0)
        np.testing.assert_array_equal(store.session.vectors(), before)
        store.undo()
        assert store.check() == []


def test_a_checksum_says_that_it_is_younger_than_its_vector(unpacked: Path) -> None:
    with Store.open(unpacked / "store") as store:
        assert store.session.catalog.checksums.known_from() == store.session.catalog.images.row_count() == 12


def test_a_later_upgrade_takes_no_checksum_anew(unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(unpacked / "store") as store:
        exchanged = np.array(store.session.vectors())[::-1]
    (unpacked / "store/vectors.f16").write_bytes(exchanged.tobytes())
    monkeypatch.setattr(catalog_module, "MIGRATIONS", (*MIGRATIONS, lambda db: None))
    with Store.open(unpacked / "store") as store:
        assert len([found for found in store.check() if found.kind == "vector"]) == 12


def test_an_upgrade_that_fails_in_the_middle_leaves_the_store_as_it_was(
    unpacked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    shutil.copytree(unpacked / "store", unpacked / "before")
    with monkeypatch.context() as patch:
        patch.setattr(Checksums, "record", fail)
        with pytest.raises(VecstoreError, match=r"has to be brought up to date once.*disk"):
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
