"""What `duplicates` says of files: which to keep, what is a copy, and that deleting copies loses no picture."""

import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from tests.conftest import paint
from vecstore.errors import VecstoreError
from vecstore.results import Duplicate
from vecstore.sources import archives, decoding
from vecstore.sources.decoding import Content, Unreadable
from vecstore.store import Store

OpenStore = Callable[..., Store]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "d").mkdir()
    return tmp_path / "d"


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> set[tuple[int, int]]:
    """Files that no one may read, by device and number: root may read what chmod forbids."""
    refused: set[tuple[int, int]] = set()
    access, read = os.access, decoding.read

    def is_refused(path: object) -> bool:
        state = os.stat(path)  # type: ignore[call-overload]
        return (state.st_dev, state.st_ino) in refused

    def refusing_read(path: bytes) -> Content:
        if refused and os.path.exists(path) and is_refused(path):
            raise Unreadable("cannot be read: Permission denied")
        return read(path)

    monkeypatch.setattr(os, "access", lambda path, mode: access(path, mode) and not is_refused(path))
    monkeypatch.setattr(decoding, "read", refusing_read)
    return refused


def refuse(path: Path, refused: set[tuple[int, int]]) -> None:
    state = path.stat()
    refused.add((state.st_dev, state.st_ino))


def kinds(found: Iterator[Duplicate], below: Path) -> list[tuple[str, str]]:
    return [(one.kind, str(Path(one.path).relative_to(below))) for one in found]


def change(path: Path, seed: int, keep_time: bool = False) -> None:
    """Put another picture of the same size in bytes at a path."""
    before = path.stat()
    paint(path, seed)
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(0, before.st_mtime_ns if keep_time else before.st_mtime_ns + 10**9))


def copies_of(store: Store, below: Path, *roots: Path) -> list[tuple[str, str]]:
    store.add(*roots or (below,))
    return kinds(store.duplicates(exact=True), below)


# The same content


def test_a_link_is_not_kept_over_its_target(open_store: OpenStore, folder: Path) -> None:
    paint(folder / "zoo/p.bmp", 1)
    (folder / "0.bmp").symlink_to("zoo/p.bmp")
    with open_store() as store:
        assert copies_of(store, folder) == [("keep", "zoo/p.bmp"), ("link", "0.bmp")]


def test_a_link_to_a_copy_is_a_link(open_store: OpenStore, folder: Path) -> None:
    shutil.copy(paint(folder / "a.bmp", 1), folder / "b.bmp")
    (folder / "0.bmp").symlink_to("b.bmp")
    with open_store() as store:
        assert copies_of(store, folder) == [("keep", "a.bmp"), ("link", "0.bmp"), ("copy", "b.bmp")]


def test_a_link_whose_target_is_not_stored_is_not_kept_over_a_file(open_store: OpenStore, folder: Path) -> None:
    shutil.copy(paint(folder.parent / "outside.bmp", 1), folder / "p.bmp")
    (folder / "0.bmp").symlink_to("../outside.bmp")
    with open_store() as store:
        assert copies_of(store, folder) == [("keep", "p.bmp"), ("link", "0.bmp")]


def test_a_hard_link_is_the_same_file(open_store: OpenStore, folder: Path) -> None:
    (folder / "b.bmp").hardlink_to(paint(folder / "a.bmp", 1))
    with open_store() as store:
        assert copies_of(store, folder) == [("keep", "a.bmp"), ("same file", "b.bmp")]


def test_hard_links_of_a_copy_are_one_copy(open_store: OpenStore, folder: Path) -> None:
    shutil.copy(paint(folder / "a.bmp", 1), folder / "b.bmp")
    (folder / "c.bmp").hardlink_to(folder / "b.bmp")
    with open_store() as store:
        assert copies_of(store, folder) == [("keep", "a.bmp"), ("copy", "b.bmp"), ("same file", "c.bmp")]


def test_a_path_through_a_linked_folder_is_the_same_file(open_store: OpenStore, folder: Path) -> None:
    paint(folder / "real/p.bmp", 1)
    (folder / "0").symlink_to("real")
    with open_store() as store:
        found = copies_of(store, folder, folder / "0", folder / "real")
    assert found == [("keep", "real/p.bmp"), ("same file", "0/p.bmp")]


def test_a_disk_mounted_twice_has_every_file_once(
    open_store: OpenStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "two.bmp").hardlink_to(paint(folder / "one.bmp", 1))
    stat = os.stat

    def on_two_devices(path: object, **options: object) -> os.stat_result | SimpleNamespace:
        state = stat(path, **options)  # type: ignore[call-overload]
        if not str(path).endswith("two.bmp'"):
            return state
        names = ("st_ino", "st_nlink", "st_mode", "st_size", "st_mtime_ns", "st_ctime_ns", "st_atime_ns")
        return SimpleNamespace(st_dev=state.st_dev + 1, **{name: getattr(state, name) for name in names})

    with open_store() as store:
        store.add(folder)
        monkeypatch.setattr(os, "stat", on_two_devices)
        found = kinds(store.duplicates(exact=True), folder)
    assert found == [("keep", "one.bmp"), ("same file", "two.bmp")]


def test_a_path_that_is_gone_is_missing_and_never_kept(open_store: OpenStore, folder: Path) -> None:
    shutil.copy(paint(folder / "a.bmp", 1), folder / "b.bmp")
    with open_store() as store:
        store.add(folder)
        (folder / "a.bmp").unlink()
        assert kinds(store.duplicates(exact=True), folder) == [("keep", "b.bmp"), ("missing", "a.bmp")]


def test_after_a_root_is_moved_its_new_place_is_kept(open_store: OpenStore, folder: Path) -> None:
    paint(folder / "1/p.bmp", 1)
    with open_store() as store:
        store.add(folder / "1")
        (folder / "1").rename(folder / "2")
        assert copies_of(store, folder, folder / "2") == [("keep", "2/p.bmp"), ("missing", "1/p.bmp")]


def test_a_group_of_which_nothing_is_there_has_nothing_to_keep(open_store: OpenStore, folder: Path) -> None:
    shutil.copy(paint(folder / "a.bmp", 1), folder / "b.bmp")
    with open_store() as store:
        store.add(folder)
        shutil.rmtree(folder)
        assert kinds(store.duplicates(exact=True), folder) == [("missing", "a.bmp"), ("missing", "b.bmp")]


def test_a_folder_in_the_place_of_a_file_is_not_that_file(open_store: OpenStore, folder: Path) -> None:
    shutil.copy(paint(folder / "a.bmp", 1), folder / "b.bmp")
    with open_store() as store:
        store.add(folder)
        (folder / "a.bmp").unlink()
        (folder / "a.bmp").mkdir()
        assert kinds(store.duplicates(exact=True), folder) == [("keep", "b.bmp"), ("missing", "a.bmp")]


@pytest.mark.parametrize("keep_time", [False, True])
@pytest.mark.parametrize(("changed", "other"), [("a.bmp", "b.bmp"), ("b.bmp", "a.bmp")])
def test_a_file_of_another_content_by_now_is_neither_kept_nor_a_copy(
    open_store: OpenStore, folder: Path, changed: str, other: str, keep_time: bool
) -> None:
    shutil.copy(paint(folder / "a.bmp", 1), folder / "b.bmp")
    with open_store() as store:
        store.add(folder)
        change(folder / changed, 2, keep_time)
        assert kinds(store.duplicates(exact=True), folder) == [("keep", other), ("missing", changed)]


def test_a_file_that_was_only_touched_is_still_itself(open_store: OpenStore, folder: Path) -> None:
    shutil.copy(paint(folder / "a.bmp", 1), folder / "b.bmp")
    with open_store() as store:
        store.add(folder)
        os.utime(folder / "a.bmp", (1, 1))
        assert kinds(store.duplicates(exact=True), folder) == [("keep", "a.bmp"), ("copy", "b.bmp")]


def test_a_file_that_cannot_be_read_is_neither_kept_nor_a_copy(
    open_store: OpenStore, folder: Path, unreadable: set[tuple[int, int]]
) -> None:
    for name in ("b.bmp", "c.bmp"):
        shutil.copy(paint(folder / "a.bmp", 1), folder / name)
    with open_store() as store:
        store.add(folder)
        refuse(folder / "a.bmp", unreadable)
        found = kinds(store.duplicates(exact=True), folder)
    assert found == [("keep", "b.bmp"), ("unreadable", "a.bmp"), ("copy", "c.bmp")]


def test_a_file_that_fails_as_it_is_read_is_not_kept(
    open_store: OpenStore, folder: Path, unreadable: set[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("b.bmp", "c.bmp"):
        shutil.copy(paint(folder / "a.bmp", 1), folder / name)
    (folder / "d.bmp").hardlink_to(folder / "a.bmp")
    with open_store() as store:
        store.add(folder)
        refuse(folder / "a.bmp", unreadable)
        monkeypatch.setattr(os, "access", lambda path, mode: True)  # a bad sector shows in nothing but reading
        found = kinds(store.duplicates(exact=True), folder)
    assert found == [("keep", "b.bmp"), ("unreadable", "a.bmp"), ("copy", "c.bmp"), ("unreadable", "d.bmp")]


def test_what_is_in_an_archive_is_no_copy_and_is_kept_over_no_file(open_store: OpenStore, folder: Path) -> None:
    paint(folder / "z.bmp", 1)
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.write(folder / "z.bmp", "in.bmp")
    with open_store() as store:
        assert copies_of(store, folder) == [("keep", "z.bmp"), ("archived", "a.zip!/in.bmp")]
        size = (folder / "z.bmp").stat().st_size
        assert {one.bytes for one in store.duplicates()} == {size} != {(folder / "a.zip").stat().st_size}
        assert [file.bytes for group in store.duplicate_groups() for file in group.files] == [size, size]


def test_what_is_in_an_archive_is_kept_where_nothing_else_is(open_store: OpenStore, folder: Path) -> None:
    paint(folder / "z.bmp", 1)
    with tarfile.open(folder / "a.tar", "w") as archive:
        archive.add(folder / "z.bmp", "1.bmp")
        archive.add(folder / "z.bmp", "2.bmp")
    with open_store() as store:
        store.add(folder)
        (folder / "z.bmp").unlink()
        os.utime(folder / "a.tar", (1, 1))
        found = kinds(store.duplicates(exact=True), folder)
    assert found == [("keep", "a.tar!/1.bmp"), ("archived", "a.tar!/2.bmp"), ("missing", "z.bmp")]


def test_a_changed_archive_is_read_once_for_all_of_its_members(
    open_store: OpenStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        for seed in range(4):
            shutil.copy(paint(folder / f"{seed}.bmp", seed), folder / f"{seed}-copy.bmp")
            archive.write(folder / f"{seed}.bmp", f"{seed}.bmp")
    with open_store() as store:
        store.add(folder)
        for path in folder.glob("*.bmp"):
            path.unlink()
        os.utime(folder / "a.zip", (1, 1))
        read: list[bytes] = []
        members = archives.members
        monkeypatch.setattr(archives, "members", lambda archive: read.append(archive.path) or members(archive))
        found = [kind for kind, _ in kinds(store.duplicates(exact=True), folder)]
    assert (found.count("keep"), len(read)) == (4, 1)


def test_an_address_is_kept_over_no_file(open_store: OpenStore, folder: Path) -> None:
    shutil.copy(paint(folder / "a.bmp", 1), folder / "b.bmp")
    with open_store() as store:
        store.add(folder)
        with store.session.catalog.writing() as db:
            db.execute("insert into paths values (?, 0, 0, 0, 0)", (b"https://a.org/a.bmp",))
        found = [(one.kind, one.path) for one in store.duplicates(exact=True)]
        assert found == [
            ("keep", str(folder / "a.bmp")),
            ("copy", str(folder / "b.bmp")),
            ("copy", "https://a.org/a.bmp"),
        ]


# Nearly the same


def near_pair(folder: Path) -> tuple[Path, Path]:
    """Return a large and a small picture that are near."""
    return paint(folder / "large.bmp", 1, (64, 48)), paint(folder / "small.bmp", 1)


def test_the_representative_is_there_if_any_image_of_the_group_is(open_store: OpenStore, folder: Path) -> None:
    large, small = near_pair(folder)
    with open_store() as store:
        store.add(folder)
        large.unlink()
        assert kinds(store.duplicates(), folder) == [("keep", small.name), ("missing", large.name)]


def test_an_image_that_is_gone_stands_for_none_that_is_there_however_near(folder: Path) -> None:
    angles = np.radians([0, 15, 25])  # the second is near to both others, and nearer to the third
    np.save(folder / "vectors.npy", np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32))
    paths = [paint(folder / "0.bmp", 1, (64, 48)), paint(folder / "1.bmp", 1), paint(folder / "2.bmp", 2)]
    (folder / "paths.txt").write_text("".join(f"{path}\n" for path in paths))
    with Store.open(folder / "store", create=True) as store:
        store.import_vectors(folder / "vectors.npy", folder / "paths.txt")
        paths[2].unlink()
        assert kinds(store.duplicates(), folder) == [("keep", "0.bmp"), ("near", "1.bmp")]


def test_an_address_stands_for_no_file(folder: Path) -> None:
    np.save(folder / "vectors.npy", np.ones((2, 4), np.float32))
    file = paint(folder / "1.bmp", 1)
    (folder / "paths.txt").write_text(f"https://a.org/0.bmp\n{file}\n")
    with Store.open(folder / "store", create=True) as store:
        store.import_vectors(folder / "vectors.npy", folder / "paths.txt")
        found = [(one.kind, one.path) for one in store.duplicates()]
    assert found == [("keep", str(file)), ("near", "https://a.org/0.bmp")]


def test_the_representative_can_be_read_if_any_image_of_the_group_can(
    open_store: OpenStore, folder: Path, unreadable: set[tuple[int, int]]
) -> None:
    large, small = near_pair(folder)
    with open_store() as store:
        store.add(folder)
        refuse(large, unreadable)
        assert kinds(store.duplicates(), folder) == [("keep", small.name), ("unreadable", large.name)]


def test_near_images_say_which_of_their_paths_are_files(open_store: OpenStore, folder: Path) -> None:
    large, small = near_pair(folder)
    (folder / "0.bmp").symlink_to(small.name)
    shutil.copy(small, folder / "b.bmp")
    shutil.copy(small, folder / "gone.bmp")
    (folder / "z.bmp").hardlink_to(small)
    with open_store() as store:
        store.add(folder)
        (folder / "gone.bmp").unlink()
        assert kinds(store.duplicates(), folder) == [
            ("keep", large.name),
            ("near", "b.bmp"),
            ("near", small.name),
            ("link", "0.bmp"),
            ("missing", "gone.bmp"),
            ("same file", "z.bmp"),
        ]


def test_near_images_without_files_are_near_all_the_same(open_store: OpenStore, folder: Path) -> None:
    near_pair(folder)
    with open_store() as store:
        store.add(folder)
        before = [(one.id, one.group, one.score) for one in store.duplicates()]
        shutil.rmtree(folder)
        after = list(store.duplicates())
    assert [(one.id, one.group, one.score) for one in after] == before
    assert {one.kind for one in after} == {"missing"}


def drawing(path: Path, sides: int, size: int = 128) -> Path:
    """Draw a white polygon on black."""
    image = Image.new("RGB", (256, 256))
    ImageDraw.Draw(image).regular_polygon((128, 128, 85), sides, fill="white")
    image.resize((size, size), Image.Resampling.BOX).save(path)
    return path


def plain(path: Path, level: int, size: int = 64) -> Path:
    Image.new("RGB", (size, size), (level, level, level)).save(path)
    return path


def test_line_drawings_are_not_near_by_their_colours_alone(folder: Path, tmp_path: Path) -> None:
    for sides in (3, 4, 6):
        drawing(folder / f"{sides}.png", sides)
    with Store.open(tmp_path / "store", embedder="hsv", create=True) as store:
        store.add(folder)
        assert store.similar(0, k=2)[1].score > 0.95
        assert list(store.duplicates()) == []


def test_plain_black_and_white_are_not_near(open_store: OpenStore, folder: Path) -> None:
    plain(folder / "black.png", 0), plain(folder / "white.png", 255)
    with open_store() as store:
        store.add(folder)
        assert list(store.duplicates(min_score=-1)) == []


def test_plain_pictures_whose_pixels_agree_are_near(folder: Path, tmp_path: Path) -> None:
    drawing(folder / "small.png", 3), drawing(folder / "large.png", 3, size=256), drawing(folder / "other.png", 6)
    with Store.open(tmp_path / "store", embedder="hsv", create=True) as store:
        store.add(folder)
        assert kinds(store.duplicates(), folder) == [("keep", "large.png"), ("near", "small.png")]


def test_what_a_plain_picture_stood_for_finds_its_own_kind(open_store: OpenStore, folder: Path) -> None:
    plain(folder / "0.png", 200, size=512)  # of most pixels, so the first to stand for all that is bright
    for name, size in (("1.png", (64, 48)), ("2.png", (32, 24))):
        image = Image.new("RGB", (2, 2))
        image.putdata([(250, 200, 160), (255, 210, 200), (160, 190, 250), (250, 250, 170)])
        image.resize(size, Image.Resampling.NEAREST).save(folder / name)
    with open_store() as store:
        store.add(folder)
        assert store.similar(0, k=3)[2].score > 0.9
        assert kinds(store.duplicates(min_score=0.9), folder) == [("keep", "1.png"), ("near", "2.png")]


def test_a_plain_picture_beside_one_that_is_gone_is_not_near(folder: Path, tmp_path: Path) -> None:
    drawing(folder / "small.png", 3), drawing(folder / "large.png", 3, size=256)
    with Store.open(tmp_path / "store", embedder="hsv", create=True) as store:
        store.add(folder)
        (folder / "small.png").unlink()
        assert list(store.duplicates()) == []


def test_plain_pictures_in_archives_are_seen_too(folder: Path, tmp_path: Path) -> None:
    with tarfile.open(folder / "a.tar.gz", "w:gz") as archive:
        for sides in (3, 4):
            archive.add(drawing(tmp_path / "now.png", sides), f"{sides}.png")
    with Store.open(tmp_path / "store", embedder="hsv", create=True) as store:
        store.add(folder)
        assert store.similar(0, k=2)[1].score > 0.95
        assert list(store.duplicates()) == []


def test_only_what_is_to_be_kept_is_read_again(
    open_store: OpenStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, _ = near_pair(folder)
    for seed in range(2, 8):
        paint(folder / f"{seed}.bmp", seed)
    read: list[str] = []
    reading = decoding.read
    with open_store() as store:
        store.add(folder)
        list(store.duplicates())
        monkeypatch.setattr(decoding, "read", lambda path: read.append(os.fsdecode(path)) or reading(path))
        list(store.duplicates())
    assert set(read) == {str(large)}


# Whatever the folder


FOLDERS, NAMES = ("a", "b", "c"), ("1.bmp", "2.bmp", "3.bmp")
places = st.builds(lambda folder, name: f"{folder}/{name}", st.sampled_from(FOLDERS), st.sampled_from(NAMES))
seeds = st.integers(0, 2)
steps = st.one_of(
    st.tuples(st.just("write"), places, seeds),
    st.tuples(st.just("copy"), places, places),
    st.tuples(st.just("link"), places, places),
    st.tuples(st.just("hard link"), places, places),
    st.tuples(st.just("link folder"), st.sampled_from(FOLDERS), st.sampled_from(FOLDERS)),
    st.tuples(st.just("archive"), st.sampled_from(FOLDERS), st.sampled_from(FOLDERS)),
    st.tuples(st.just("move root"), st.sampled_from(FOLDERS), st.sampled_from(FOLDERS)),
    st.tuples(st.just("delete"), places, seeds),
    st.tuples(st.just("change"), places, seeds),
    st.tuples(st.just("change, keep time"), places, seeds),
    st.tuples(st.just("forbid"), places, seeds),
    st.tuples(st.just("add"), st.sampled_from(FOLDERS), seeds),
)


def take(step: tuple[str, str, object], root: Path, store: Store, refused: set[tuple[int, int]]) -> None:
    """Do to the folder what people do; what cannot be done, such as a link in the place of a file, is left."""
    what, path, other = step[0], root / step[1], root / str(step[2])
    seed = step[2] if isinstance(step[2], int) else 0
    match what:
        case "write" if not path.exists() and not path.is_symlink():
            paint(path, seed)
        case "copy" if other.is_file() and not os.path.lexists(path) and not is_refused(other, refused):
            path.parent.mkdir(exist_ok=True)
            shutil.copy2(other, path)
        case "link" if other.is_file() and not os.path.lexists(path):
            path.parent.mkdir(exist_ok=True)
            path.symlink_to(other)
        case "hard link" if other.is_file() and not os.path.lexists(path):
            path.parent.mkdir(exist_ok=True)
            path.hardlink_to(other)
        case "link folder" if other.is_dir() and not os.path.lexists(path):
            path.symlink_to(other)
        case "archive" if path.is_dir() and other.is_dir():
            with zipfile.ZipFile(other / "z.zip", "w") as archive:
                for file in sorted(path.glob("*.bmp")):
                    if file.is_file() and not is_refused(file, refused):
                        archive.write(file, file.name)
        case "move root" if path.is_dir() and not os.path.lexists(other):
            path.rename(other)
        case "delete" if path.is_file():
            path.unlink()
        case "change" | "change, keep time" if path.is_file():
            change(path, seed, keep_time=what != "change")
        case "forbid" if path.is_file():
            refuse(path, refused)
        case "add" if path.is_dir():
            with suppress(VecstoreError):  # nothing in it, or nothing that can be read
                store.add(path)


def is_refused(path: Path, refused: set[tuple[int, int]]) -> bool:
    state = path.stat()
    return (state.st_dev, state.st_ino) in refused


def contents(root: Path) -> set[bytes]:
    """Return the sha256 of every content that can be read somewhere in a folder, in archives too."""
    found = set()
    for path in root.rglob("*"):
        if not path.is_file() or path.is_symlink():
            continue
        try:
            if path.suffix == ".zip":
                state = path.stat()
                stamp = archives.FileStamp(os.fsencode(path), state.st_size, state.st_mtime_ns)
                found.update(member.read().sha256 for member in archives.members(stamp))
            else:
                found.add(decoding.read(os.fsencode(path)).sha256)
        except Unreadable:
            pass
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.lists(steps, min_size=4, max_size=14),
    after=st.lists(steps, max_size=5),
    exact=st.booleans(),
    series=st.booleans(),
)
def test_deleting_every_copy_leaves_a_readable_file_of_each_content(
    unreadable: set[tuple[int, int]],
    before: list[tuple[str, str, object]],
    after: list[tuple[str, str, object]],
    exact: bool,
    series: bool,
) -> None:
    unreadable.clear()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve() / "root"
        root.mkdir()
        for number, folder in enumerate(FOLDERS):
            paint(root / folder / NAMES[0], number)
            shutil.copy2(root / folder / NAMES[0], root / folder / NAMES[1])
        with Store.open(Path(name) / "store", embedder="tiny", create=True) as store:
            store.add(root / FOLDERS[0])
            for step in before:
                take(step, root, store, unreadable)
            for folder in FOLDERS:
                take(("add", folder, 0), root, store, unreadable)
            for step in after:
                take(step, root, store, unreadable)
            there = contents(root)
            found = list(store.duplicates(exact=exact, min_score=-1, series=series))
            record = {row: store.session.catalog.images.sha256_of(row) for row in {one.id for one in found}}
        groups: dict[int, list[Duplicate]] = {}
        for one in found:
            groups.setdefault(one.group, []).append(one)
        for group in groups.values():
            kept = [one for one in group if one.kind == "keep"]
            if group[0].relation == "series":  # of which none is to be kept over another
                assert {one.kind for one in group}.isdisjoint({"keep", "copy", "near"})
                continue
            assert kept == group[: len(kept)]
            assert len(kept) == any(record[one.id] in there and is_whole(one, record, unreadable) for one in group)
            assert all(is_whole(one, record, unreadable) for one in group if one.kind in ("keep", "copy"))
        for path in {one.path for one in found if one.kind == "copy"}:
            assert not os.path.islink(path)
            os.unlink(path)
        assert contents(root) == there


def is_whole(one: Duplicate, record: dict[int, bytes | None], refused: set[tuple[int, int]]) -> bool:
    """Say whether the content on record can be read at a path now, leaving out what keeps its time as it changes."""
    try:
        return archives.read_path(os.fsencode(one.path)).sha256 == record[one.id]
    except (OSError, Unreadable):
        return False
