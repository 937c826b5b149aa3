"""Archives as sources of pictures: what is found in them, how it is addressed, and what cannot be read."""

import bz2
import gzip
import io
import lzma
import os
import random
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app
from tests.conftest import TinyEmbedder, paint
from vecstore.errors import NotFound, NothingAdded
from vecstore.sources import archives, decoding
from vecstore.sources.decoding import Unreadable
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.paths import archive_of, is_archive_name
from vecstore.sources.scan import Patterns, count_pictures
from vecstore.store import Store

OpenStore = Callable[..., Store]
Files = Iterable[tuple[str, bytes]]

SUFFIXES = [".zip", ".cbz", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".ZIP", ".Tar.Gz"]
KINDS = [".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz"]
COMPRESSION = {"gz": "gz", "tgz": "gz", "bz2": "bz2", "tbz2": "bz2", "xz": "xz", "txz": "xz"}


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[int], bytes]:
    """The bytes of a picture that is drawn from the seed."""
    return lambda seed: paint(tmp_path / "painted" / f"{seed}.png", seed).read_bytes()


def pack(path: Path, files: Files) -> Path:
    """Write an archive of the kind that its suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() in (".zip", ".cbz"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in files:
                packed.writestr(name, content)
        return path
    mode = COMPRESSION.get(path.suffix.lower()[1:], "")
    with tarfile.open(path, f"w:{mode}", encoding="utf-8", errors="surrogateescape") as tar:  # type: ignore[call-overload]
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def touch(path: Path) -> None:
    """Give a file another time of modification."""
    state = path.stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1_000_000_000))


def stored(store: Store, root: Path) -> list[str]:
    """The paths of the images that a store has, from the root."""
    return sorted(
        os.path.relpath(hit.path, root) for hit in store.similar(store.session.catalog.images.alive_rows()[0], k=100)
    )


def failures(store: Store) -> list[tuple[str, str]]:
    return [(os.path.basename(failure.path), failure.reason) for failure in store.failures()]


def stamp_of(path: Path) -> FileStamp:
    return FileStamp(os.fsencode(path), path.stat().st_size, path.stat().st_mtime_ns)


@pytest.fixture
def photos(tmp_path: Path, picture: Callable[[int], bytes]) -> Callable[[str], Path]:
    """An archive of the given suffix with three pictures and a note: a.png, inner/b.png, inner/c.png, notes.txt."""
    files = [("a.png", 0), ("inner/b.png", 1), ("inner/c.png", 2)]
    return lambda suffix=".zip": pack(
        tmp_path / f"photos{suffix}", [*((name, picture(seed)) for name, seed in files), ("notes.txt", b"a note")]
    )


# Names


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_archives_are_known_by_their_suffix(suffix: str) -> None:
    assert is_archive_name(b"/x/photos" + suffix.encode())


@pytest.mark.parametrize("name", [b"photos.gz", b"photos.7z", b"photozip", b"photos.zip.png", b"._photos.zip"])
def test_other_files_are_not(name: bytes) -> None:
    assert not is_archive_name(b"/x/" + name)


def test_a_path_leads_into_the_first_archive_on_it(tmp_path: Path) -> None:
    for name in ("a!/b.zip", "plain"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    paths = ["a!/b.zip!/c.png", "a!/b.zip!/d.zip!/e.png", "a!/b.zip", "plain!/c.png", "gone.zip!/c.png"]
    found = [archive_of(os.fsencode(tmp_path / path)) for path in paths]
    archive = os.fsencode(tmp_path / "a!/b.zip")
    assert found == [archive, archive, None, None, None]


def test_a_real_file_wins_over_a_member_of_the_same_path(
    open_store: OpenStore, tmp_path: Path, photos: Callable[[str], Path]
) -> None:
    photos(".zip")
    real = paint(tmp_path / "photos.zip!" / "a.png", 7)
    assert archive_of(os.fsencode(real)) is None
    with open_store() as store:
        assert store.add(tmp_path / "photos.zip", tmp_path / "photos.zip!").seen == 3
        assert store.add(real).known == 1


HOSTILE = [
    "new\nline.png",
    "not utf-8 \udcff\udcfe.png",
    " spaces .png",
    "\x1b[31mred.png",
    "наклейка 🐈.png",
    "back\\slash.png",
    "@12.png",
    "b!/c.png",
    "d.zip!/e.png",
    "~/f.png",
]


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_hostile_names_come_back_and_are_found_by_what_came_back(
    suffix: str, open_store: OpenStore, tmp_path: Path, picture: Callable[[int], bytes]
) -> None:
    names = [name for name in HOSTILE if suffix != ".zip" or not name.startswith("not utf-8")]
    archive = pack(tmp_path / f"x{suffix}", [(name, picture(seed)) for seed, name in enumerate(names)])
    with open_store() as store:
        store.add(archive)
        touch(archive)  # so that they are looked up in the archive
        found = [store.similar(f"{archive}!/{name}", k=1)[0].path for name in names]
    assert found == [f"{archive}!/{name}" for name in names]


def test_a_name_of_an_old_zip_is_read_as_the_code_page_that_zips_have(tmp_path: Path) -> None:
    archive = pack(tmp_path / "x.zip", [("caf_.png", b"x")])
    archive.write_bytes(archive.read_bytes().replace(b"caf_", b"caf\x82"))
    assert [member.path for member in archives.members(stamp_of(archive))] == [f"{archive}!/café.png".encode()]


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_no_name_leads_out_of_the_archive(suffix: str, tmp_path: Path) -> None:
    names = ["../../up.png", "/root.png", "./here.png", "a/../b//c.png", "//two.png"]
    archive = pack(tmp_path / f"x{suffix}", [(name, b"x") for name in names])
    found = [os.fsdecode(member.path) for member in archives.members(stamp_of(archive))]
    assert found == [f"{archive}!/{name}" for name in ("up.png", "root.png", "here.png", "b/c.png", "two.png")]


# What is found


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_pictures_of_an_archive_are_added(
    suffix: str, open_store: OpenStore, tmp_path: Path, photos: Callable[[str], Path]
) -> None:
    archive = photos(suffix)
    with open_store() as store:
        report = store.add(archive)
        assert (report.added, report.seen) == (3, 3)
        assert stored(store, tmp_path) == [
            f"photos{suffix}!/{name}" for name in ("a.png", "inner/b.png", "inner/c.png")
        ]


def test_archives_in_a_folder_are_looked_into_in_their_place(
    open_store: OpenStore, tmp_path: Path, photos: Callable[[str], Path]
) -> None:
    paint(tmp_path / "folder/a.png", 10)
    paint(tmp_path / "folder/z.png", 11)
    photos(".tar.gz").rename(tmp_path / "folder/photos.tar.gz")
    with open_store() as store:
        store.add(tmp_path / "folder")
        found = [os.path.basename(store.similar(row, k=1)[0].path) for row in range(5)]
    assert found == ["a.png", "a.png", "b.png", "c.png", "z.png"]


@pytest.mark.parametrize("suffix", KINDS)
def test_a_picture_without_a_suffix_is_known_by_its_beginning(
    suffix: str, open_store: OpenStore, tmp_path: Path, picture: Callable[[int], bytes]
) -> None:
    archive = pack(tmp_path / f"x{suffix}", [("a", picture(0)), ("b", b"text"), ("._c.png", b"x"), ("d", picture(1))])
    with open_store() as store:
        assert store.add(archive).seen == 2
        assert stored(store, tmp_path) == [f"x{suffix}!/a", f"x{suffix}!/d"]


def test_an_archive_in_an_archive_is_not_looked_into(
    open_store: OpenStore, tmp_path: Path, photos: Callable[[str], Path], picture: Callable[[int], bytes]
) -> None:
    inner = photos(".zip").read_bytes()
    with open_store() as store:
        assert store.add(pack(tmp_path / "x.tar", [("in.zip", inner), ("a.png", picture(9))])).seen == 1


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_links_in_an_archive_are_passed_over(suffix: str, tmp_path: Path) -> None:
    archive = pack(tmp_path / f"x{suffix}", [])
    if suffix == ".zip":
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        with zipfile.ZipFile(archive, "a") as packed:
            packed.writestr(link, "elsewhere.png")
    else:
        with tarfile.open(archive, "w") as tar:
            for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info = tarfile.TarInfo("link.png")
                info.type, info.linkname = kind, "elsewhere.png"
                tar.addfile(info)
    assert list(archives.members(stamp_of(archive))) == []


def test_a_picture_that_is_called_zip_is_a_picture(open_store: OpenStore, tmp_path: Path) -> None:
    paint(tmp_path / "0.png", 0).rename(tmp_path / "photo.zip")
    with open_store() as store:
        assert [(report.added, report.known) for report in (store.add(tmp_path), store.add(tmp_path))] == [
            (1, 0),
            (0, 1),
        ]


def test_an_archive_without_pictures_is_refused_as_a_folder_is(open_store: OpenStore, tmp_path: Path) -> None:
    pack(tmp_path / "x.zip", [("notes.txt", b"a note")])
    with open_store() as store, pytest.raises(NotFound, match="no pictures under"):
        store.add(tmp_path / "x.zip")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_of_two_members_of_one_name_the_last_counts(
    suffix: str, open_store: OpenStore, tmp_path: Path, picture: Callable[[int], bytes]
) -> None:
    path = tmp_path / f"x{suffix}"
    files = [("a.png", picture(0)), ("b.png", picture(1)), ("a.png", picture(2))]
    if suffix == ".zip":
        with pytest.warns(UserWarning, match="Duplicate name"):
            pack(path, files)
    else:
        pack(path, files)
    paint(tmp_path / "last.png", 2)
    with open_store() as store:
        store.add(path)
        assert store.similar(tmp_path / "last.png", k=1)[0].path == f"{path}!/a.png"
        assert len(stored(store, tmp_path)) == 2


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_the_one_before_is_not_even_seen(suffix: str, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    archive = pack(tmp_path / f"x{suffix}", [("a.png", b"old"), ("./a.png", b"new")])
    assert [member.read().data for member in archives.members(stamp_of(archive))] == [b"new"]


def test_the_pictures_of_a_zip_are_counted_by_their_suffix(tmp_path: Path, photos: Callable[[str], Path]) -> None:
    archive = photos(".zip")
    assert [count_pictures([os.fsencode(root)]) for root in (archive, f"{archive}!/a.png", tmp_path)] == [3, 1, 6]


# Naming members, and patterns


@pytest.mark.parametrize("suffix", [".zip", ".tar.xz"])
@pytest.mark.parametrize(
    ("named", "taken"), [(["inner"], 2), (["a.png"], 1), (["a.png", "inner/b.png"], 2), (["", "a.png"], 3)]
)
def test_members_and_folders_of_an_archive_can_be_added_by_name(
    named: list[str], taken: int, suffix: str, open_store: OpenStore, photos: Callable[[str], Path]
) -> None:
    archive = photos(suffix)
    with open_store() as store:
        report = store.add(*(f"{archive}!/{name}" if name else archive for name in named))
    assert (report.added, report.seen) == (taken, taken)


def test_a_member_that_is_named_is_tried_whatever_it_is_called(
    open_store: OpenStore, photos: Callable[[str], Path]
) -> None:
    archive = photos(".zip")
    with open_store() as store, pytest.raises(NothingAdded):
        store.add(f"{archive}!/notes.txt")


def test_a_member_that_is_missing_is_refused_by_name(open_store: OpenStore, photos: Callable[[str], Path]) -> None:
    archive = photos(".tar")
    with open_store() as store, pytest.raises(NotFound, match=r"no file or folder at .*photos.tar!/gone.png"):
        store.add(archive, f"{archive}!/gone.png")


def test_a_member_of_a_list_that_is_missing_is_a_failure(open_store: OpenStore, photos: Callable[[str], Path]) -> None:
    archive = photos(".tar")
    with open_store() as store:
        report = store.add(listed=[f"{archive}!/gone.png", f"{archive}!/a.png"])
        assert (report.added, report.failed) == (1, 1)
        assert failures(store) == [("gone.png", "cannot be read: No such file or directory")]


@pytest.mark.parametrize(
    ("patterns", "taken"),
    [
        (Patterns(only=("b.png",)), ["inner/b.png"]),
        (Patterns(exclude=("inner/",)), ["a.png"]),
        (Patterns(only=("/*.png",)), ["a.png"]),
    ],
    ids=["a name", "all but a folder", "at the top"],
)
@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_patterns_choose_members_as_they_do_in_a_folder(
    patterns: Patterns,
    taken: list[str],
    suffix: str,
    open_store: OpenStore,
    tmp_path: Path,
    photos: Callable[[str], Path],
) -> None:
    archive = photos(suffix)
    with open_store() as store:
        store.add(archive, patterns=patterns)
        assert stored(store, tmp_path) == [f"photos{suffix}!/{name}" for name in taken]


@pytest.mark.parametrize(
    ("patterns", "n_taken"),
    [
        (Patterns(exclude=("*.zip",)), 1),
        (Patterns(only=("photos.zip",)), 3),
        (Patterns(exclude=("photos.zip/inner/",)), 2),
        (Patterns(only=("*.png",)), 4),
        (Patterns(only=("/*.png",)), 1),
    ],
    ids=["no archives", "just the archive", "not its folder", "names", "at the top"],
)
def test_to_patterns_an_archive_in_a_folder_is_a_folder(
    patterns: Patterns, n_taken: int, open_store: OpenStore, tmp_path: Path, photos: Callable[[str], Path]
) -> None:
    paint(tmp_path / "folder/0.png", 10)
    photos(".zip").rename(tmp_path / "folder/photos.zip")
    with open_store() as store:
        assert store.add(tmp_path / "folder", patterns=patterns).added == n_taken


def test_an_archive_that_is_left_out_is_not_opened(
    open_store: OpenStore, pictures: Path, photos: Callable[[str], Path], opened: list[str]
) -> None:
    photos(".zip").rename(pictures / "photos.zip")
    with open_store() as store:
        store.add(pictures, patterns=Patterns(exclude=("*.zip",)))
    assert opened == []


def test_a_member_that_is_named_is_taken_whatever_the_patterns(
    open_store: OpenStore, tmp_path: Path, photos: Callable[[str], Path]
) -> None:
    archive = photos(".zip")
    with open_store() as store:
        store.add(tmp_path, f"{archive}!/a.png", patterns=Patterns(exclude=("*.zip", "painted")))
        assert stored(store, tmp_path) == ["photos.zip!/a.png"]


# Unchanged archives


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the archives that have been opened."""
    names: list[str] = []
    members = archives.members

    def spy(archive: FileStamp) -> object:
        names.append(os.path.basename(os.fsdecode(archive.path)))
        return members(archive)

    monkeypatch.setattr(archives, "members", spy)
    return names


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("patterns", [Patterns(), Patterns(exclude=("b.png",))], ids=["all", "patterns"])
def test_an_unchanged_archive_is_not_opened(
    suffix: str, patterns: Patterns, open_store: OpenStore, photos: Callable[[str], Path], opened: list[str]
) -> None:
    archive = photos(suffix)
    with open_store() as store:
        first = store.add(archive, patterns=patterns)
        opened.clear()
        again = [store.add(archive, patterns=patterns), store.sync(archive, patterns=patterns)]
        assert list(store.preview(archive, patterns=patterns)) == []
    assert ([(report.known, report.seen) for report in again], opened) == ([(first.added, first.added)] * 2, [])


def test_an_archive_with_failures_is_not_opened_either(
    open_store: OpenStore, tmp_path: Path, picture: Callable[[int], bytes], opened: list[str]
) -> None:
    archive = pack(tmp_path / "x.tar", [("a.png", picture(0)), ("b.png", b"broken")])
    archive.write_bytes(archive.read_bytes()[:2048])  # its end is missing
    with open_store() as store:
        reports = [store.add(archive)]
        opened.clear()
        reports.append(store.add(archive))
    assert [(r.added, r.known, r.failed) for r in reports] == [(1, 0, 2), (0, 1, 2)]
    assert opened == []


def test_other_patterns_open_it_again(open_store: OpenStore, photos: Callable[[str], Path]) -> None:
    archive = photos(".tar")
    with open_store() as store:
        store.add(archive, patterns=Patterns(only=("a.png",)))
        report = store.add(archive)
    assert (report.added, report.known) == (2, 1)


def test_a_member_that_was_removed_comes_back_with_the_next_add(
    open_store: OpenStore, photos: Callable[[str], Path]
) -> None:
    archive = photos(".tar")
    with open_store() as store:
        store.add(archive)
        store.remove(f"{archive}!/a.png")
        report = store.add(archive)
    assert (report.added, report.known, report.embedded) == (1, 2, 0)


def test_an_archive_is_opened_once_a_scan(
    open_store: OpenStore, tmp_path: Path, picture: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = pack(tmp_path / "x.zip", [(f"{seed}.png", picture(seed)) for seed in range(40)])
    paths: list[Path] = []
    directory = archives.ZipFile._RealGetContents
    monkeypatch.setattr(archives.ZipFile, "_RealGetContents", lambda self: paths.append(archive) or directory(self))
    with open_store() as store:
        assert store.add(archive).added == 40
    assert len(paths) == 2  # to see that there is a picture in it at all, and to read it


@pytest.mark.parametrize("suffix", KINDS)
def test_members_are_read_one_after_the_other_and_few_are_held(
    suffix: str,
    open_store: OpenStore,
    tmp_path: Path,
    picture: Callable[[int], bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive = pack(tmp_path / f"x{suffix}", [(f"{seed:02}.png", picture(seed)) for seed in range(60)])
    held: list[int] = []
    read, decoded = archives.Member.read, []
    decode = decoding.decode
    monkeypatch.setattr(
        archives.Member, "read", lambda self: (held.append(len(held) + 1 - len(decoded)), read(self))[1]
    )
    monkeypatch.setattr(decoding, "decode", lambda *given, **more: (decoded.append(1), decode(*given, **more))[1])
    with open_store() as store:
        store.add(archive)
    assert len(held) == 60
    assert max(held) <= 16 + 3 * TinyEmbedder.batch_size + 4  # read ahead, decoded ahead, and in the threads' hands


# Changed archives


@pytest.mark.parametrize("suffix", KINDS)
def test_a_rewritten_archive_is_read_again_and_sync_forgets_what_is_gone(
    suffix: str, open_store: OpenStore, tmp_path: Path, photos: Callable[[str], Path], picture: Callable[[int], bytes]
) -> None:
    archive = photos(suffix)
    with open_store() as store:
        store.add(archive)
        pack(archive, [("a.png", picture(0)), ("inner/b.png", picture(7)), ("new.png", picture(8))])
        touch(archive)
        preview = sorted((change.action, os.path.basename(change.path)) for change in store.preview(archive))
        report = store.sync(archive)
        assert preview == [("add", "new.png"), ("forget", "c.png"), ("update", "b.png")]
        assert (report.added, report.known, report.updated, report.forgotten) == (1, 1, 1, 1)
        assert list(store.preview(archive)) == []


def test_an_archive_of_the_same_time_and_another_size_has_changed(
    open_store: OpenStore, photos: Callable[[str], Path], picture: Callable[[int], bytes]
) -> None:
    archive = photos(".zip")
    state = archive.stat()
    with open_store() as store:
        store.add(archive)
        pack(archive, [("a.png", picture(9))])
        os.utime(archive, ns=(state.st_atime_ns, state.st_mtime_ns))
        assert store.sync(archive).updated == 1


def test_sync_forgets_the_members_of_an_archive_that_is_gone(
    open_store: OpenStore, tmp_path: Path, photos: Callable[[str], Path]
) -> None:
    archive = photos(".tar.gz")
    with open_store() as store:
        store.add(tmp_path)
        archive.unlink()
        assert store.sync(tmp_path).forgotten == 3


def test_sync_does_not_forget_members_that_the_patterns_leave_out(
    open_store: OpenStore, photos: Callable[[str], Path]
) -> None:
    archive = photos(".zip")
    with open_store() as store:
        store.add(archive)
        touch(archive)
        assert store.sync(archive, patterns=Patterns(only=("a.png",))).forgotten == 0
        assert store.info().images == 3


@pytest.mark.parametrize("suffix", KINDS)
def test_an_archive_that_cannot_be_read_through_keeps_its_members(
    suffix: str, open_store: OpenStore, tmp_path: Path, photos: Callable[[str], Path]
) -> None:
    paint(tmp_path / "other.png", 20)
    archive = photos(suffix)
    with open_store() as store:
        store.add(tmp_path)
        archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 8])
        touch(archive)
        report = store.sync(tmp_path)
        assert (report.forgotten, report.failed > 0) == (0, True)
        assert store.info().images == 4


def test_a_mended_archive_is_no_failure_any_more(open_store: OpenStore, photos: Callable[[str], Path]) -> None:
    archive = photos(".zip")
    whole = archive.read_bytes()
    with open_store() as store:
        archive.write_bytes(whole[:200])
        with pytest.raises(NothingAdded):
            store.add(archive)
        archive.write_bytes(whole)
        assert (store.add(archive).added, store.failures()) == (3, [])


# Asking and removing


@pytest.mark.parametrize("suffix", KINDS)
def test_a_member_is_an_image_to_ask_with(suffix: str, open_store: OpenStore, photos: Callable[[str], Path]) -> None:
    archive = photos(suffix)
    with open_store() as store:
        store.add(archive, paint(archive.parent / "more.png", 30))
        store.cluster(2, restarts=1)
        assert store.similar(f"{archive}!/inner/b.png", k=1)[0].path == f"{archive}!/inner/b.png"
        assert store.which(f"{archive}!/inner/b.png")[0].path == f"{archive}!/inner/b.png"


@pytest.mark.parametrize("suffix", KINDS)
def test_a_member_that_is_not_stored_is_embedded_to_ask_with(
    suffix: str, open_store: OpenStore, tmp_path: Path, picture: Callable[[int], bytes]
) -> None:
    paint(tmp_path / "a.png", 3)
    other = pack(tmp_path / f"other{suffix}", [("x.png", b"no"), ("b.png", picture(4)), ("y.png", b"no")])
    with open_store() as store:
        store.add(tmp_path / "a.png")
        hit = store.similar(f"{other}!/b.png", k=1)[0]
    assert (os.path.basename(hit.path), hit.score < 0.999, TinyEmbedder.embedded_count) == ("a.png", True, 2)


def test_a_member_that_is_not_there_is_not_found(open_store: OpenStore, photos: Callable[[str], Path]) -> None:
    archive = photos(".tar")
    with open_store() as store:
        store.add(archive)
        with pytest.raises(NotFound, match="no file at"):
            store.similar(f"{archive}!/gone.png")


def test_removing_an_archive_removes_its_members_and_nothing_else(
    open_store: OpenStore, tmp_path: Path, photos: Callable[[str], Path]
) -> None:
    archive = photos(".zip")
    paint(tmp_path / "photos.zipper/a.png", 10)
    with open_store() as store:
        store.add(tmp_path / "photos.zip", tmp_path / "photos.zipper")
        assert store.remove(f"{archive}!/a.png").removed == 1
        assert store.remove(archive).removed == 2
        assert stored(store, tmp_path) == ["photos.zipper/a.png"]


def test_thumbnails_are_made_of_members(open_store: OpenStore, photos: Callable[[str], Path]) -> None:
    archive = photos(".tar")
    with open_store() as store:
        store.add(archive)
        assert store.thumbnail(store.similar(f"{archive}!/a.png", k=1)[0].id).startswith(b"RIFF")


def test_the_commands_take_members(tmp_path: Path, photos: Callable[[str], Path]) -> None:
    archive = photos(".zip")
    rest = ["-s", str(tmp_path / "store")]
    added = CliRunner().invoke(app, ["add", str(archive), "-e", "tiny", *rest])
    similar = CliRunner().invoke(app, ["similar", f"{archive}!/a.png", "-k", "1", *rest])
    removed = CliRunner().invoke(app, ["remove", f"{archive}!/a.png", *rest])
    assert (added.exit_code, similar.exit_code, removed.exit_code) == (0, 0, 0)
    assert similar.stdout.endswith(f"{archive}!/a.png\n")


# What cannot be read


@pytest.fixture
def after_adding(open_store: OpenStore, tmp_path: Path) -> Callable[[Path], tuple[int, list[tuple[str, str]]]]:
    """How many pictures of an archive were added, and what failed."""

    def add(archive: Path) -> tuple[int, list[tuple[str, str]]]:
        paint(tmp_path / "good.png", 99)
        with open_store() as store:
            return store.add(archive, tmp_path / "good.png").added - 1, failures(store)

    return add


AfterAdding = Callable[[Path], tuple[int, list[tuple[str, str]]]]


@pytest.mark.parametrize("suffix", KINDS)
def test_a_member_larger_than_the_limit_is_a_failure(
    suffix: str,
    after_adding: AfterAdding,
    tmp_path: Path,
    picture: Callable[[int], bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = [("a.png", picture(0)), ("b.png", picture(1) + bytes(5000)), ("c.png", picture(2))]
    monkeypatch.setattr(decoding, "MAX_FILE_BYTES", 5000)
    reason = f"the file has {len(picture(1)) + 5000:,} bytes; the limit is 5,000"
    assert after_adding(pack(tmp_path / f"x{suffix}", files)) == (2, [("b.png", reason)])


def test_a_member_is_measured_as_it_is_read_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_FILE_BYTES", 1000)
    bomb = archives.Member(b"/x.zip!/a.png", 1, 1, declared=10, open=lambda: io.BytesIO(bytes(1001)))
    with pytest.raises(Unreadable, match="more bytes than the limit of 1,000"):
        bomb.read()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_a_member_that_says_it_is_small_is_not_unpacked_whole(method: int, tmp_path: Path) -> None:
    content, bomb = random.Random(0).randbytes(4 << 20), tmp_path / "x.zip"
    with zipfile.ZipFile(bomb, "w", method) as packed:
        packed.writestr("a.png", content)
    bomb.write_bytes(bomb.read_bytes().replace(struct.pack("<L", len(content)), struct.pack("<L", 100)))
    member = next(opened := archives.members(stamp_of(bomb)))
    tracemalloc.start()
    try:
        with pytest.raises(Unreadable, match="broken archive"):
            member.read()
        assert tracemalloc.get_traced_memory()[1] < 3 << 20
    finally:
        tracemalloc.stop()
        opened.close()  # type: ignore[attr-defined]


def test_a_tar_whose_header_is_a_bomb_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 2 << 20
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(info.tobuf() + bytes(3 << 20)))
    with pytest.raises(Unreadable, match="broken archive: a header of 2,097,152 bytes"):
        list(archives.members(stamp_of(tmp_path / "x.tar.gz")))


def test_an_encrypted_member_is_a_failure_and_the_rest_goes_on(
    after_adding: AfterAdding, photos: Callable[[str], Path]
) -> None:
    archive = photos(".zip")
    content = bytearray(archive.read_bytes())
    content[6] |= 1  # the flags of the first member, in front of it
    content[content.find(b"PK\1\2") + 8] |= 1  # and in the directory
    archive.write_bytes(content)
    assert after_adding(archive) == (2, [("a.png", "it is encrypted; vecstore reads only archives without a password")])


def test_a_member_of_unknown_compression_is_a_failure_and_the_rest_goes_on(
    after_adding: AfterAdding, photos: Callable[[str], Path]
) -> None:
    archive = photos(".zip")
    content = bytearray(archive.read_bytes())
    content[8] = content[content.find(b"PK\1\2") + 10] = 9  # deflate64
    archive.write_bytes(content)
    reason = "cannot be unpacked: That compression method is not supported"
    assert after_adding(archive) == (2, [("a.png", reason)])


def test_a_damaged_member_is_a_failure_and_the_rest_goes_on(
    after_adding: AfterAdding, tmp_path: Path, picture: Callable[[int], bytes]
) -> None:
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for seed in range(3):
            packed.writestr(f"{seed}.png", picture(seed))
    archive.write_bytes(archive.read_bytes().replace(picture(1)[-20:], bytes(20)))
    assert after_adding(archive) == (2, [("1.png", "broken archive: Bad CRC-32 for file '1.png'")])


def test_a_member_that_is_no_picture_is_a_failure(
    after_adding: AfterAdding, tmp_path: Path, picture: Callable[[int], bytes]
) -> None:
    added, failed = after_adding(pack(tmp_path / "x.tar", [("a.png", b""), ("b.png", b"text"), ("c.png", picture(0))]))
    reasons = ["the file is empty", "not a picture in a known format, or its beginning is damaged"]
    assert (added, failed) == (1, [("a.png", reasons[0]), ("b.png", reasons[1])])


@pytest.mark.parametrize("content", [b"", b"plain text", b"PK\3\4" + bytes(100)])
@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_what_is_no_archive_is_one_failure(
    content: bytes, suffix: str, after_adding: AfterAdding, tmp_path: Path
) -> None:
    (tmp_path / f"x{suffix}").write_bytes(content)
    added, failed = after_adding(tmp_path / f"x{suffix}")
    assert (added, [name for name, _ in failed]) == (0, [f"x{suffix}"])
    assert failed[0][1].startswith("broken archive: ")


def packed_tar(picture: Callable[[int], bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for seed in range(4):
            info = tarfile.TarInfo(f"{seed}.png")
            info.size = len(picture(seed))
            tar.addfile(info, io.BytesIO(picture(seed)))
    return file.getvalue()


@pytest.mark.parametrize(
    ("cut", "added"),
    [
        pytest.param(2 * 1024 + 200, 2, id="in a header"),
        pytest.param(2 * 1024 + 512 + 20, 2, id="in a file"),
        pytest.param(2 * 1024, 2, id="between files"),
        pytest.param(4 * 1024, 4, id="before the end"),
    ],
)
@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_of_a_tar_that_is_cut_off_comes_what_is_whole(
    cut: int,
    added: int,
    compress: Callable[[bytes], bytes],
    after_adding: AfterAdding,
    tmp_path: Path,
    picture: Callable[[int], bytes],
) -> None:
    assert all(len(picture(seed)) <= 512 for seed in range(4))
    (tmp_path / "x.tar").write_bytes(compress(packed_tar(picture)[:cut]))
    got, failed = after_adding(tmp_path / "x.tar")
    assert (got, "x.tar" in dict(failed)) == (added, True)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_tar_that_is_cut_off_is_a_failure(
    compress: Callable[[bytes], bytes], after_adding: AfterAdding, tmp_path: Path, picture: Callable[[int], bytes]
) -> None:
    whole = compress(packed_tar(picture))
    (tmp_path / "x.tar").write_bytes(whole[: len(whole) // 2])
    _, failed = after_adding(tmp_path / "x.tar")
    assert dict(failed)["x.tar"].startswith("broken archive: Compressed file ended before the end-of-stream marker")


def test_a_damaged_header_is_a_failure_and_not_the_end(
    after_adding: AfterAdding, tmp_path: Path, picture: Callable[[int], bytes]
) -> None:
    content = bytearray(packed_tar(picture))
    content[2048:2050] = b"\xff\xff"
    (tmp_path / "x.tar").write_bytes(content)
    reason = "broken archive: bad checksum, where a file or the archive's end should be"
    assert after_adding(tmp_path / "x.tar") == (2, [("x.tar", reason)])


def test_an_archive_that_failed_is_tried_again_on_request(
    open_store: OpenStore, tmp_path: Path, photos: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = photos(".zip")
    paint(tmp_path / "other.png", 30)
    with open_store() as store:
        with monkeypatch.context() as patch:
            patch.setattr(archives, "ZipFile", lambda file: file.fileno(-1))
            store.add(archive, tmp_path / "other.png")
        assert [name for name, _ in failures(store)] == ["photos.zip"]
        assert (store.retry_failures().added, store.failures()) == (3, [])


def test_failures_in_archives_are_tried_again_with_one_opening(
    open_store: OpenStore,
    tmp_path: Path,
    photos: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    opened: list[str],
) -> None:
    archive = photos(".tar.gz")
    paint(tmp_path / "other.png", 30)
    with open_store() as store:
        with monkeypatch.context() as patch:
            patch.setattr(archives.Member, "read", lambda self: archives.broken(self, "a bad disk")._file)
            assert store.add(archive, tmp_path / "other.png").failed == 3
        opened.clear()
        report = store.retry_failures()
        assert (report.added, report.failed, store.failures()) == (3, 0, [])
    assert len(opened) == 2  # to see that they are still there, and to read them
