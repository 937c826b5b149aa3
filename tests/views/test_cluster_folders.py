"""Folders of copies and links: names as long as may be, and files that cannot be copied."""

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import paint
from vecstore.curation import file_acts
from vecstore.store import Store
from vecstore.views.cluster_folders import free_name

OpenStore = Callable[..., Store]


def copied(store: Store, target: Path) -> list[bytes]:
    store.cluster(1)
    store.make_folders(target)
    return sorted(os.listdir(os.fsencode(next(target.iterdir()))))


@pytest.mark.parametrize("stem", ["x" * 251, "é" * 125 + "x", "猫" * 83 + "xx"])
def test_names_of_255_bytes_are_numbered_by_cutting_whole_characters(
    stem: str, tmp_path: Path, open_store: OpenStore
) -> None:
    for seed in range(3):
        paint(tmp_path / f"in/{seed}/{stem}.png", seed)
    with open_store() as store:
        store.add(tmp_path / "in")
        names = copied(store, tmp_path / "out")
    assert len(names) == 3
    assert all(len(name) <= 255 and name.endswith(b".png") for name in names)
    assert all(name.decode().startswith(stem[:60]) for name in names)  # which decodes: no character is cut


def test_a_member_of_a_longer_name_than_a_file_may_have_is_copied(tmp_path: Path, open_store: OpenStore) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("é" * 1000 + ".png", paint(tmp_path / "a.png", 0).read_bytes())
    with open_store() as store:
        store.add(tmp_path / "x.zip")
        assert copied(store, tmp_path / "out") == [("é" * 125 + ".png").encode()]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.jpg", "A.JPG"], ["a.jpg", "A (2).JPG"]),
        (["é.jpg", "É.jpg"], ["é.jpg", "É (2).jpg"]),
        (["é.jpg", "e\u0301.jpg"], ["é.jpg", "e\u0301 (2).jpg"]),
        (["a." + "b" * 300, "a." + "b" * 300], ["a." + "b" * 253, "a." + "b" * 249 + " (2)"]),
    ],
)
def test_names_that_some_disks_take_for_one_are_numbered(names: list[str], expected: list[str]) -> None:
    taken: set[str] = set()
    assert [free_name(name.encode(), taken, 255).decode() for name in names] == expected


def test_a_time_that_the_disk_cannot_have_costs_no_copy(
    tmp_path: Path, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: bytes, target: bytes) -> None:
        raise OverflowError("timestamp out of range")

    monkeypatch.setattr(shutil, "copystat", refuse)
    paint(tmp_path / "in/a.png", 0)
    with open_store() as store:
        store.add(tmp_path / "in")
        assert copied(store, tmp_path / "out") == [b"a.png"]


def test_a_picture_that_may_not_be_read_is_left_out_and_told(
    tmp_path: Path, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, name in enumerate("ab"):
        paint(tmp_path / f"in/{name}.png", seed)
    (tmp_path / "out").mkdir()
    with open_store() as store:
        store.add(tmp_path / "in")
        store.cluster(1)
        monkeypatch.setattr(os, "open", refusing(bytes(tmp_path / "in/a.png")))
        report = store.make_folders(tmp_path / "out")
    assert (report.files, report.missing) == (1, (str(tmp_path / "in/a.png"),))


def refusing(path: bytes) -> Callable[..., int]:
    real = os.open

    def opened(file: Any, *arguments: Any, **options: Any) -> int:
        if file == path:
            raise PermissionError(13, "Permission denied")
        return real(file, *arguments, **options)

    return opened


def test_no_transaction_is_open_while_pictures_are_copied(
    open_store: OpenStore, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[bool] = set()
    with open_store() as store:
        store.add(pictures)
        store.cluster(2, restarts=1)
        copy = file_acts.copy

        def look(*arguments: Any) -> None:
            seen.add(store.session.catalog.db.in_transaction)
            copy(*arguments)

        monkeypatch.setattr(file_acts, "copy", look)
        assert store.make_folders(tmp_path / "out").files == 10
    assert seen == {False}
