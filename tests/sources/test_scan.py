"""What a scan finds, in which order, and what it leaves out."""

import inspect
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import paint
from vecstore.errors import NotFound, VecstoreError
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.scan import absolute, count_pictures, require_pictures, roots_of, scan, shown
from vecstore.store import Store


def names(root: Path, skip: Path | None = None) -> list[str]:
    """The paths that a scan finds, relative to the root."""
    return [os.fsdecode(os.path.relpath(file.path, os.fsencode(root))) for file in scan([absolute(root)], skip)]


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_files_come_out_sorted_folder_by_folder(tmp_path: Path) -> None:
    write(tmp_path, "b", "a/z", "a/b/c", "a.x", "B", "c/a")
    assert names(tmp_path) == ["B", "a/b/c", "a/z", "a.x", "b", "c/a"]


def test_a_stamp_is_the_path_size_and_time_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    os.utime(path, ns=(1, 1_234_567_890_123_456_789))
    assert list(scan([os.fsencode(path)])) == [FileStamp(os.fsencode(path), 5, 1_234_567_890_123_456_789)]


# Links


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/file")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/link").symlink_to(tmp_path / "elsewhere/file")
    assert [(file.path, file.size) for file in scan([absolute(tmp_path / "root")])] == [
        (os.fsencode(tmp_path / "root/link"), 1)
    ]


def test_a_link_to_a_folder_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path, "root/a/file")
    (tmp_path / "root/a/circle").symlink_to(tmp_path / "root")
    assert names(tmp_path / "root") == ["a/file"]


def test_a_link_to_a_folder_is_followed_where_it_is_a_root(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/file")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert names(tmp_path / "link") == ["file"]


def test_a_link_to_a_folder_is_followed_where_it_is_a_root_inside_another(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/file", "root/a")
    (tmp_path / "root/link").symlink_to(tmp_path / "elsewhere")
    roots = roots_of([tmp_path / "root", tmp_path / "root/link"])
    assert sorted(file.path for file in scan(roots)) == [
        os.fsencode(tmp_path / name) for name in ("root/a", "root/link/file")
    ]


def test_a_broken_link_is_found_for_its_failure_to_be_recorded(tmp_path: Path) -> None:
    (tmp_path / "link.jpg").symlink_to(tmp_path / "gone")
    assert list(scan([absolute(tmp_path)])) == [FileStamp(os.fsencode(tmp_path / "link.jpg"), 0, 0)]


@pytest.mark.parametrize("target", ["itself.jpg", "file/below", "x" * 300])
def test_a_link_that_leads_nowhere_does_not_stop_the_scan(target: str, tmp_path: Path) -> None:
    write(tmp_path, "file", "z")
    (tmp_path / "itself.jpg").symlink_to(target)
    assert names(tmp_path) == ["file", "itself.jpg", "z"]


# Roots


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["a", "a"], ["a"]),
        (["a/b", "a"], ["a"]),
        (["a", "a-b", "a/b"], ["a", "a-b"]),
        (["a/b/c", "a/b", "ab"], ["a/b", "ab"]),
        (["a/../a/", "a/."], ["a"]),
        (["b", "a"], ["a", "b"]),
    ],
)
def test_roots_inside_others_are_left_out(given: list[str], expected: list[str], tmp_path: Path) -> None:
    write(tmp_path, "a/b/c", "a-b/x", "ab/x", "b/x")
    found = roots_of([f"{tmp_path}/{path}" for path in given])
    assert found == [os.fsencode(tmp_path / path) for path in expected]


def test_everything_is_inside_the_root_of_the_file_system(tmp_path: Path) -> None:
    assert roots_of(["/", tmp_path]) == [b"/"]


def test_a_root_is_given_as_text_bytes_or_path_alike(tmp_path: Path) -> None:
    assert roots_of([str(tmp_path), os.fsencode(tmp_path), tmp_path]) == [os.fsencode(tmp_path)]


def test_a_relative_root_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a/x")
    monkeypatch.chdir(tmp_path)
    assert roots_of(["a"]) == [os.fsencode(tmp_path / "a")]


def test_a_missing_root_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as refused:
        roots_of([tmp_path, tmp_path / "gone\n"])
    assert str(refused.value) == f"no file or folder at {tmp_path}/gone\\n; nothing was done"


@pytest.mark.parametrize("name", ["notes.txt", "._a.jpg"])
def test_a_folder_without_pictures_is_refused_by_name(name: str, tmp_path: Path) -> None:
    write(tmp_path, f"a/{name}")
    with pytest.raises(NotFound) as refused:
        require_pictures([os.fsencode(tmp_path / "a")])
    assert str(refused.value) == (
        f"no pictures under {tmp_path}/a; name a folder that holds some, or the files themselves"
    )


def test_a_file_that_is_named_is_taken_for_a_picture(tmp_path: Path) -> None:
    write(tmp_path, "notes.txt")
    require_pictures([os.fsencode(tmp_path / "notes.txt")])  # raises if not


def test_a_file_that_is_named_is_tried_also_where_its_folder_is_named_too(
    tmp_path: Path, open_store: Callable[..., Store]
) -> None:
    paint(tmp_path / "pictures/a.png", 0)
    write(tmp_path, "pictures/b.bin")
    with open_store() as store:
        report = store.add(tmp_path / "pictures", tmp_path / "pictures/b.bin")
    assert (report.added, report.failed) == (1, 1)


# What is left out


def test_the_store_inside_the_folder_is_skipped(tmp_path: Path) -> None:
    write(tmp_path, "a", "store/catalog.sqlite", "store2/x", "deep/store/x")
    assert names(tmp_path, skip=tmp_path / "store") == ["a", "deep/store/x", "store2/x"]


def test_a_store_may_lie_among_its_pictures(tmp_path: Path, open_store: Callable[..., Store]) -> None:
    paint(tmp_path / "a.png", 0)
    with open_store() as store:
        counts = [(report.added, report.seen) for report in (store.add(tmp_path), store.add(tmp_path))]
    assert counts == [(1, 1), (0, 1)]


def test_the_count_is_of_files_named_and_of_those_with_a_picture_s_suffix(pictures: Path) -> None:
    write(pictures, "notes.txt")
    paint(pictures / "deep" / "UPPER.PNG", 11)
    assert count_pictures([absolute(pictures), absolute(pictures / "notes.txt")]) == 12


def test_folders_nested_deeper_than_python_s_calls_are_scanned(tmp_path: Path) -> None:
    deepest = tmp_path.joinpath(*["d"] * 300)
    write(deepest, "a.jpg")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 150)
    try:
        found = [file.path for file in scan([absolute(tmp_path)])]
    finally:
        sys.setrecursionlimit(limit)
    assert found == [os.fsencode(deepest / "a.jpg")]


# What cannot be looked into


def test_a_folder_that_vanished_is_passed_on_for_its_failure_to_be_recorded(tmp_path: Path) -> None:
    write(tmp_path, "a", "b/c", "d")
    found = scan([absolute(tmp_path)])
    paths = [next(found).path]
    shutil.rmtree(tmp_path / "b")
    assert [*paths, *(file.path for file in found)] == [os.fsencode(tmp_path / name) for name in "abd"]


@pytest.fixture
def bottomless(tmp_path: Path) -> Path:
    """A folder with a picture, and folders in folders until the path is longer than the system takes."""
    paint(tmp_path / "bottomless/a.png", 0)
    here = os.open(tmp_path / "bottomless", os.O_RDONLY)
    for _ in range(21):
        os.mkdir("x" * 200, dir_fd=here)
        deeper = os.open("x" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    return tmp_path / "bottomless"


def test_a_folder_that_cannot_be_listed_is_on_record(bottomless: Path, open_store: Callable[..., Store]) -> None:
    with open_store() as store:
        report = store.add(bottomless)
        reasons = [failure.reason for failure in store.failures()]
    shutil.rmtree(bottomless)
    assert (report.added, report.failed, reasons) == (1, 1, ["cannot be read: File name too long"])


@pytest.fixture
def _no_waiting() -> Iterator[None]:
    """Fail, instead of hanging, a test that waits for longer than it can take."""

    def give_up(_signal: int, _frame: object) -> None:
        pytest.fail("it waits for ever")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, 3)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("_no_waiting")
@pytest.mark.parametrize(("name", "failed"), [("pipe", 0), ("pipe.jpg", 1)])
def test_a_pipe_in_a_folder_does_not_stop_an_add(
    name: str, failed: int, tmp_path: Path, open_store: Callable[..., Store]
) -> None:
    paint(tmp_path / "pictures/a.png", 0)
    os.mkfifo(tmp_path / "pictures" / name)
    with open_store() as store:
        report = store.add(tmp_path / "pictures")
    assert (report.added, report.failed) == (1, failed)


@pytest.mark.usefixtures("_no_waiting")
@pytest.mark.parametrize("name", ["pipe", "pipe.jpg"])
def test_a_pipe_that_is_named_is_refused_without_waiting(
    name: str, tmp_path: Path, open_store: Callable[..., Store]
) -> None:
    os.mkfifo(tmp_path / name)
    with open_store() as store, pytest.raises(VecstoreError):
        store.add(tmp_path / name)


# Names

HOSTILE = [
    b"new\nline.png",
    b"not utf-8 \xff\xfe.png",
    b"q\"uo'te`s.png",
    b".hidden.png",
    b"x" * 251 + b".png",
    b"-e.png",
    b" spaces .png",
    b"tab\t.png",
    b"back\\slash.png",
    b"\x1b[31mred.png",
    "наклейка 🐈.png".encode(),
    "cafe\u0301.png".encode(),
    "caf\u00e9.png".encode(),
    b"%41*?[a].png",
    b"@12.png",
]


def test_hostile_names_come_back_byte_for_byte(tmp_path: Path, open_store: Callable[..., Store]) -> None:
    folder = os.fsencode(tmp_path / "pictures")
    for seed, name in enumerate(HOSTILE):
        os.rename(paint(tmp_path / "pictures/plain.png", seed), os.path.join(folder, name))
    with open_store() as store:
        store.add(tmp_path / "pictures")
        found = [os.fsencode(hit.path) for hit in store.similar(0, k=100)]
    assert sorted(found) == sorted(os.path.join(folder, name) for name in HOSTILE)


def test_a_picture_of_a_hostile_name_is_found_by_that_name(tmp_path: Path, open_store: Callable[..., Store]) -> None:
    folder = os.fsencode(tmp_path / "pictures")
    for seed, name in enumerate(HOSTILE):
        os.rename(paint(tmp_path / "pictures/plain.png", seed), os.path.join(folder, name))
    with open_store() as store:
        store.add(tmp_path / "pictures")
        found = [os.fsencode(store.similar(os.path.join(folder, name), k=1)[0].path) for name in HOSTILE]
    assert found == [os.path.join(folder, name) for name in HOSTILE]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_shown_on_one_line_without_control_characters(name: bytes) -> None:
    assert shown(name).isprintable()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"/plain/a b.png", "/plain/a b.png"),
        ("/é/猫.png".encode(), "/é/猫.png"),
        (b"/a\nb\tc\x1b", "/a\\nb\\tc\\x1b"),
        (b"/\xff.png", "/\\xff.png"),
        ("/a\u2028b".encode(), "/a\\u2028b"),
    ],
)
def test_a_name_is_shown_readable(name: bytes, expected: str) -> None:
    assert shown(name) == expected
