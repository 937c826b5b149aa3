"""What a folder can hold besides pictures, and what can happen to a file between one look at it and the next."""

import hashlib
import io
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import paint
from vecstore.errors import BadInput, NotFound
from vecstore.search.filters import path_test
from vecstore.sources import archives, content, decoding
from vecstore.sources.decoding import Content
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.path_pattern import PathPattern
from vecstore.sources.paths import absolute
from vecstore.sources.scan import Patterns
from vecstore.store import Store

OpenStore = Callable[..., Store]


def outcome(store: Store, folder: Path) -> tuple[int, int, dict[str, str]]:
    """Add a folder; return how many were added and failed, and the reason by name."""
    report = store.add(folder)
    return report.added, report.failed, {Path(f.path).name: f.reason for f in store.failures()}


# What a folder can hold


def test_links_that_lead_in_circles_end(tmp_path: Path, open_store: OpenStore) -> None:
    folder = paint(tmp_path / "pictures/a/b/1.png", 1).parents[2]
    (folder / "a/b/up").symlink_to(folder)
    (folder / "a/itself").symlink_to("itself")
    (folder / "one.png").symlink_to("two.png")
    (folder / "two.png").symlink_to("one.png")
    with open_store() as store:
        reason = "cannot be read: Too many levels of symbolic links"
        assert outcome(store, folder) == (1, 2, {"one.png": reason, "two.png": reason})


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="there is no /dev/zero")
@pytest.mark.parametrize("device", ["zero", "full", "null", "random"])
def test_a_device_that_poses_as_a_picture_is_not_read(device: str, tmp_path: Path, open_store: OpenStore) -> None:
    folder = paint(tmp_path / "pictures/1.png", 1).parent
    (folder / "endless.jpg").symlink_to(f"/dev/{device}")
    (folder / "unnamed").symlink_to(f"/dev/{device}")
    with open_store() as store:
        assert outcome(store, folder) == (1, 1, {"endless.jpg": "not a regular file"})


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="there is no /dev/zero")
def test_a_device_that_is_named_is_refused(tmp_path: Path, open_store: OpenStore) -> None:
    with open_store() as store:
        store.add(paint(tmp_path / "1.png", 1))
        with pytest.raises(BadInput, match="^/dev/zero: not a regular file$"):
            store.similar("/dev/zero")


def test_a_socket_that_poses_as_a_picture_is_not_read(tmp_path: Path, open_store: OpenStore) -> None:
    folder = paint(tmp_path / "pictures/1.png", 1).parent
    with socket.socket(socket.AF_UNIX) as listening, tempfile.TemporaryDirectory() as short:
        listening.bind(f"{short}/s")  # such a name has a hundred characters at the most
        os.rename(f"{short}/s", folder / "socket.jpg")
    with open_store() as store:
        assert outcome(store, folder) == (1, 1, {"socket.jpg": "cannot be read: No such device or address"})


@pytest.fixture
def _nobody() -> Iterator[None]:
    """Run without root's right to read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        yield Path(folder)


@pytest.mark.usefixtures("_nobody")
def test_a_folder_that_may_not_be_read_is_a_failure_and_forgets_nothing(open_folder: Path) -> None:
    folder = paint(open_folder / "pictures/1.png", 1).parent
    secret = paint(folder / "secret/2.png", 2).parent
    unreadable = paint(folder / "3.png", 3)
    try:
        with Store.open(open_folder / "store", embedder="tiny", create=True) as store:
            assert store.add(folder).added == 3
            secret.chmod(0)
            unreadable.chmod(0)
            report = store.sync(folder)
            assert (report.forgotten, report.failed, store.info().images) == (0, 1, 3)
            assert {f.path: f.reason for f in store.failures()} == {str(secret): "cannot be read: Permission denied"}
            secret.chmod(0o700)
            assert (store.sync(folder).known, store.failures()) == (3, [])
    finally:
        secret.chmod(0o700)
        shutil.rmtree(open_folder / "store")
        shutil.rmtree(folder)


# What can happen to a file


@pytest.fixture
def while_reading(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, Callable[[Path], object]], None]:
    """Let something happen to a file, once, when it is open and its state known, before its content is read."""

    def arrange(path: Path, happens: Callable[[Path], object]) -> None:
        opened, todo = content._open_regular, [happens]

        class Watched(io.FileIO):
            def __init__(self, name: bytes) -> None:
                with opened(name) as file:
                    super().__init__(os.dup(file.fileno()))
                self.is_it = name == bytes(path)

            def read(self, n: int = -1) -> bytes:
                if self.is_it and n != decoding.MAGIC_BYTES and todo:
                    todo.pop()(path)
                return super().read(n)

        monkeypatch.setattr(content, "_open_regular", Watched)

    return arrange


def rewrite(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))
    os.utime(path, (2, 2))


CHANGED = "changed while it was read; add it again when no program writes to it"
CHANGES = {
    "cut": lambda path: os.truncate(path, 60),
    "emptied": lambda path: os.truncate(path, 0),
    "grown": lambda path: os.truncate(path, path.stat().st_size + 1),
    "written anew": rewrite,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_while_it_is_read_is_not_believed_and_tried_again(
    change: str, tmp_path: Path, open_store: OpenStore, while_reading: Callable[..., None]
) -> None:
    path = paint(tmp_path / "pictures/1.png", 1)
    paint(tmp_path / "pictures/2.png", 2)
    while_reading(path, CHANGES[change])
    with open_store() as store:
        assert outcome(store, path.parent) == (1, 1, {"1.png": CHANGED})
        paint(path, 1)
        assert outcome(store, path.parent) == (1, 0, {})


def test_a_file_without_end_is_not_read_without_end(tmp_path: Path, while_reading: Callable[..., None]) -> None:
    path = paint(tmp_path / "1.png", 1)
    while_reading(path, lambda path: os.truncate(path, decoding.MAX_FILE_BYTES))  # takes no room on the disk
    with pytest.raises(decoding.Unreadable, match=f"^{CHANGED}$"):
        decoding.read(bytes(path))


def test_a_file_that_is_replaced_is_taken_in_the_state_in_which_it_was_opened(
    tmp_path: Path, while_reading: Callable[..., None]
) -> None:
    path, other = paint(tmp_path / "1.png", 1), paint(tmp_path / "2.png", 2)
    content, state = path.read_bytes(), path.stat()
    while_reading(path, lambda path: os.replace(other, path))
    assert decoding.read(bytes(path)) == Content(
        content, hashlib.sha256(content).digest(), state.st_size, state.st_mtime_ns
    )


def test_a_file_that_vanishes_between_scan_and_reading_is_a_failure_until_the_next_sync(
    tmp_path: Path, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, read = paint(tmp_path / "pictures/1.png", 1).parent, archives.read
    paint(folder / "2.png", 2)

    def vanish_and_read(file: FileStamp) -> Content:
        if file.path.endswith(b"1.png"):
            os.unlink(file.path)
        return read(file)

    monkeypatch.setattr(archives, "read", vanish_and_read)
    with open_store() as store:
        assert outcome(store, folder) == (1, 1, {"1.png": "cannot be read: No such file or directory"})
        report = store.sync(folder)
        assert (report.known, report.failed, report.forgotten, store.failures()) == (1, 0, 0, [])


# What cannot be the name of a file


@pytest.mark.parametrize("path", ["a\0b", b"a\0b", "\ud800.jpg"])
def test_what_no_file_can_be_called_is_refused(path: str | bytes, open_store: OpenStore, pictures: Path) -> None:
    with open_store() as store:
        store.add(pictures)
        for ask in (store.add, store.sync, store.remove, store.similar):
            with pytest.raises(BadInput, match="is not a path"):
                ask(path)


@pytest.mark.parametrize("path", [b"~\xff", b"~\xc3\xa9/a.jpg", "~é/a.jpg"])
def test_a_home_folder_of_a_name_that_is_not_ascii_is_a_path_like_any_other(
    path: str | bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_store: OpenStore, pictures: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute(path) == os.path.join(os.fsencode(tmp_path), os.fsencode(path))  # found by fuzzing
    with open_store() as store, pytest.raises(NotFound):
        store.add(path)


@pytest.mark.parametrize(
    "path", ["/a/b.jpg", "/", "//a", "//", "/a//b", "/a/", "/./a", "/a/.", "/a/..", "/a/../b", "/.hidden/b", "/..."]
)
def test_an_absolute_path_is_what_the_system_makes_of_it(path: str) -> None:
    assert absolute(path) == os.path.abspath(os.fsencode(path))


@pytest.mark.parametrize("pattern", ["\\", "a\\", "\n\\", "~\0", "~\n\0"])
def test_a_pattern_that_can_fit_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(BadInput, match="is not a path pattern"):
        path_test(pattern)  # found by fuzzing


@pytest.mark.parametrize("pattern", ["*" * 100 + "b", "a" + "*" * 67 + "b"])
def test_a_pattern_of_many_asterisks_takes_no_longer_than_one_of_one(pattern: str) -> None:
    # Found by fuzzing: the time doubled with each, and 60 of them took longer than anybody waits.
    name = b"a" * 200
    assert (path_test(pattern)(name), path_test(pattern)(name + b"b")) == (False, True)
    patterns = Patterns(only=(pattern,))
    assert (patterns.take_file(name), patterns.take_file(name + b"b")) == (False, True)


@pytest.mark.parametrize(
    ("pattern", "same"),
    [("**", "**"), ("a/**/b", "a/**/b"), ("a**b", "a*b"), ("***/c", "*/c"), ("\\***", "\\**"), ("[*]*", "[*]*")],
)
def test_asterisks_beside_another_mean_what_one_does(pattern: str, same: str) -> None:
    assert PathPattern.compile(pattern) == PathPattern.compile(same)
