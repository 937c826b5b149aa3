"""Files are replaced whole or not at all, and are on the disk when they are."""

import errno
import fcntl
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from vecstore.curation import file_acts
from vecstore.storage import durable_files
from vecstore.storage.durable_files import move_into_place, replacing, replacing_in_cache

WAYS = [replacing, replacing_in_cache]
Way = Callable[[Path], AbstractContextManager[Any]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that is there already."""
    (tmp_path / "file").write_bytes(b"old")
    return tmp_path / "file"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the disk, in order: `sync NAME` and `rename`."""
    made: list[str] = []
    sync, rename = os.fsync, os.replace

    def noted_sync(descriptor: int) -> None:
        made.append(f"sync {os.path.basename(os.readlink(f'/dev/fd/{descriptor}'))}")
        sync(descriptor)

    def noted_rename(source: Any, target: Any) -> None:
        made.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "replace", noted_rename)
    return made


@pytest.mark.parametrize("way", WAYS)
def test_the_old_content_is_there_until_all_is_written(way: Way, path: Path) -> None:
    with way(path) as file:
        file.write(b"new")
        file.flush()
        before = path.read_bytes()
    assert (before, path.read_bytes(), os.listdir(path.parent)) == (b"old", b"new", ["file"])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_file_and_nothing_else(way: Way, error: BaseException, path: Path) -> None:
    def write() -> None:
        with way(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert (path.read_bytes(), os.listdir(path.parent)) == (b"old", ["file"])


def test_the_bytes_are_on_the_disk_before_the_name_and_the_name_at_the_end(path: Path, calls: list[str]) -> None:
    with replacing(path) as file:
        file.write(b"new")
    assert calls == ["sync .file.new", "rename", f"sync {path.parent.name}"]


def test_a_draft_is_on_the_disk_before_it_takes_the_place(path: Path, calls: list[str]) -> None:
    draft = path.with_name("draft")
    draft.write_bytes(b"new")
    move_into_place(draft, path)
    assert (path.read_bytes(), calls) == (b"new", ["sync draft", "rename", f"sync {path.parent.name}"])


def test_what_is_kept_in_a_cache_does_not_wait_for_the_disk(path: Path, calls: list[str]) -> None:
    with replacing_in_cache(path) as file:
        file.write(b"new")
    assert calls == ["rename"]


def test_two_may_replace_a_file_of_a_cache_at_once(path: Path) -> None:
    with replacing_in_cache(path) as one, replacing_in_cache(path) as other:
        one.write(b"one")
        other.write(b"other")
    assert (path.read_bytes(), os.listdir(path.parent)) == (b"one", ["file"])


def test_files_are_synced_where_only_what_is_open_for_writing_can_be(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where no directory can be opened either."""
    synced, open_file = [], os.open

    def sync(descriptor: int) -> None:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        synced.append(os.readlink(f"/dev/fd/{descriptor}"))

    def open_no_directory(name: str, *arguments: int) -> int:
        if os.path.isdir(name):
            raise PermissionError(errno.EACCES, "Permission denied", name)
        return open_file(name, *arguments)

    monkeypatch.setattr(durable_files, "IS_WINDOWS", True)
    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "open", open_no_directory)
    with replacing(path) as file:
        file.write(b"new")
    file_acts.secure(bytes(path))
    assert (path.read_bytes(), synced) == (b"new", [str(durable_files.draft_of(path)), str(path)])
