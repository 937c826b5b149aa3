"""Following folders: what is looked at after a change, and a store that follows one."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import filelock
import pytest

from tests.conftest import paint
from tests.programs import start_program
from vecstore.errors import NotFound
from vecstore.ingest import sync
from vecstore.results import AddReport
from vecstore.sources.watch import affected_folders, require_roots
from vecstore.storage import lock
from vecstore.store import Store

PATIENCE_SECONDS = 20


@pytest.mark.parametrize(
    ("changed", "looked_at"),
    [
        (["deep/9.png"], ["deep"]),
        (["0.png"], [""]),
        (["deep/9.png", "deep/new.png", "0.png"], [""]),
        (["gone/one.png"], [""]),
        (["../elsewhere.png"], []),
    ],
    ids=["below", "at the top", "both", "in a folder that is gone", "outside"],
)
def test_what_changed_is_looked_at_and_no_more(pictures: Path, changed: list[str], looked_at: list[str]) -> None:
    root = os.fsencode(pictures)
    found = affected_folders([root], [os.path.normpath(os.path.join(root, os.fsencode(path))) for path in changed])
    assert found == [os.fsencode(pictures / path) for path in looked_at]


def test_a_change_in_what_is_passed_over_is_not_looked_at(pictures: Path) -> None:
    root = os.fsencode(pictures)
    changed = [root + b"/deep/5.png", root + b"/5.png"]
    assert affected_folders([root], changed, lambda path, _: path != changed[0]) == [root + b"/deep"]


def test_a_file_that_is_followed_is_looked_at_itself(pictures: Path) -> None:
    root = os.fsencode(pictures / "0.png")
    assert affected_folders([root], [root]) == [root]


@pytest.mark.parametrize("state", ["gone", "emptied"])
def test_a_root_that_is_gone_or_emptied_is_refused(tmp_path: Path, state: str) -> None:
    if state == "emptied":
        (tmp_path / "root").mkdir()
    with pytest.raises(NotFound, match="nothing was forgotten"):
        require_roots([os.fsencode(tmp_path / "root")])


class Follower:
    """Follows a folder on a thread of its own; `wait_for` waits until the store holds what is expected."""

    def __init__(self, store: Path, folder: Path) -> None:
        self.store, self.folder = store, folder
        self.stop = threading.Event()
        self.reports: list[AddReport] = []
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._follow, daemon=True)
        self.thread.start()

    def _follow(self) -> None:
        try:
            with Store.open(self.store, embedder="tiny", create=True) as store:
                self.reports.extend(store.follow(self.folder, stop=self.stop))
        except BaseException as error:
            self.error = error

    def wait_for(self, expected: set[str]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := self._names()) != expected:
            assert time.monotonic() < deadline, f"{found} and not {expected}; {self.error}"
            time.sleep(0.05)

    def _names(self) -> set[str]:
        try:
            with Store.open(self.store) as store:
                known = store.session.catalog.paths.under(os.fsencode(self.folder))
                return {os.path.relpath(os.fsdecode(path), self.folder) for path in known}
        except NotFound:
            return set()


@pytest.fixture
def follower(tmp_path: Path) -> Iterator[Follower]:
    paint(tmp_path / "root" / "0.png", 0)
    follower = Follower(tmp_path / "store", tmp_path / "root")
    yield follower
    follower.stop.set()
    follower.thread.join(PATIENCE_SECONDS)


def test_additions_changes_renames_and_deletions_are_followed(follower: Follower) -> None:
    root = follower.folder
    follower.wait_for({"0.png"})
    paint(root / "deep" / "1.png", 1)
    follower.wait_for({"0.png", "deep/1.png"})
    (root / "0.png").rename(root / "deep" / "renamed.png")
    follower.wait_for({"deep/1.png", "deep/renamed.png"})
    (root / "deep" / "1.png").unlink()
    follower.wait_for({"deep/renamed.png"})


def test_a_root_that_goes_away_ends_the_following_and_forgets_nothing(follower: Follower, tmp_path: Path) -> None:
    follower.wait_for({"0.png"})
    follower.folder.rename(tmp_path / "elsewhere")
    follower.thread.join(PATIENCE_SECONDS)
    assert isinstance(follower.error, NotFound)
    follower.wait_for({"0.png"})


def test_a_root_that_goes_away_during_a_sync_takes_nothing_along(
    open_store: Callable[..., Store], pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest = sync._ingest

    def unplugged(*args: Any, **values: Any) -> Any:
        done = ingest(*args, **values)
        pictures.rename(tmp_path / "elsewhere")
        return done

    with open_store() as store:
        store.add(pictures)
        monkeypatch.setattr(sync, "_ingest", unplugged)
        with pytest.raises(NotFound, match="is gone or has nothing left in it; nothing was forgotten"):
            store.sync(pictures)
        assert store.info().paths == 10


def test_a_writer_that_takes_longer_than_anybody_waits_is_waited_for_all_the_same(
    follower: Follower, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    follower.wait_for({"0.png"})
    monkeypatch.setattr(lock, "LOCK_TIMEOUT_SECONDS", 0.05)  # a minute
    monkeypatch.setattr(sync, "PAUSE_SECONDS", 0.05)
    with filelock.FileLock(follower.store / "lock"):
        paint(follower.folder / "1.png", 1)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while caplog.text.count("another process is still writing") < 2 and follower.thread.is_alive():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    follower.wait_for({"0.png", "1.png"})
    assert follower.error is None


def test_the_command_follows_until_it_is_interrupted(tmp_path: Path) -> None:
    paint(tmp_path / "root" / "0.png", 0)
    process = start_program("sync", tmp_path / "root", "--watch", "-e", "hsv", "-s", tmp_path / "store", "--json")
    assert process.stdout is not None
    process.stdout.readline()
    paint(tmp_path / "root" / "1.png", 1)
    second = process.stdout.readline()
    process.terminate()
    process.communicate(timeout=PATIENCE_SECONDS)
    assert ('"added": 1' in second, process.returncode) == (True, 130)
