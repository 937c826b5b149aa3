"""What is left out by default and by a `.vecstoreignore`, how it is counted, and what git says of the same lines."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import paint
from tests.programs import ROOT
from vecstore.errors import NotFound
from vecstore.sources import exclusions
from vecstore.sources.exclusions import DEFAULT_FILES, DEFAULT_FOLDERS, LeftOut, is_left_out_by_default
from vecstore.sources.paths import absolute
from vecstore.sources.scan import ALL_FILES, Patterns, is_passed_over, scan
from vecstore.storage.layout import CATALOG, LOCK, VECTORS
from vecstore.store import Store

OpenStore = Callable[..., Store]


def found(root: Path, patterns: Patterns = ALL_FILES, left_out: LeftOut | None = None) -> list[str]:
    """What a scan takes, relative to its root."""
    files = scan([absolute(root)], patterns=patterns, left_out=left_out)
    return [os.fsdecode(os.path.relpath(file.path, os.fsencode(root))) for file in files]


def write(folder: Path, *names: str, text: str = "x") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


# The default list


@pytest.mark.parametrize(
    "folder",
    ["@eaDir", "#recycle", ".Trash-1000", ".Trashes", "$RECYCLE.BIN", "$Recycle.Bin", "System Volume Information"]
    + [".thumbnails", "lost+found", ".@__thumb", ".AppleDouble", "__MACOSX", ".git", "node_modules", ".cache"]
    + [".local/share/Trash", "A.lrdata", "B.photoslibrary/resources"],
)
def test_what_belongs_to_no_collection_is_left_out(folder: str, tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", f"in/{folder}/b.jpg")
    left_out = LeftOut()
    assert (found(tmp_path, left_out=left_out), left_out.excluded) == (["a.jpg"], 1)


@pytest.mark.parametrize("name", ["@eaDirs", "recycle", ".Trash2", "thumbnails", "Trash", "git", "resources", "lrdata"])
def test_a_folder_that_is_only_called_alike_is_taken(name: str, tmp_path: Path) -> None:
    write(tmp_path, f"{name}/a.jpg")
    assert found(tmp_path) == [f"{name}/a.jpg"]


def test_no_default_excludes_takes_all_of_it(tmp_path: Path) -> None:
    write(tmp_path, "@eaDir/a.jpg", ".trashed-1-b.jpg")
    assert found(tmp_path, Patterns(defaults=False)) == [".trashed-1-b.jpg", "@eaDir/a.jpg"]


def test_of_files_only_pictures_are_counted(tmp_path: Path) -> None:
    write(tmp_path, ".trashed-1-a.jpg", ".trashed-2-notes.txt")
    left_out = LeftOut()
    assert (found(tmp_path, left_out=left_out), left_out.excluded) == ([], 1)


def test_a_folder_that_is_itself_named_is_taken(tmp_path: Path) -> None:
    write(tmp_path, "@eaDir/a.jpg")
    assert found(tmp_path / "@eaDir") == ["a.jpg"]


def test_the_page_of_commands_lists_every_default() -> None:
    text = (ROOT / "docs/commands.md").read_text()
    assert [pattern for pattern in (*DEFAULT_FOLDERS, *DEFAULT_FILES) if f"`{pattern}`" not in text] == []


def test_a_store_is_known_by_the_files_that_stores_have() -> None:
    assert exclusions.STORE_CATALOG == CATALOG.encode()
    assert exclusions.STORE_FILES == (VECTORS.encode(), LOCK.encode())


@pytest.mark.parametrize("patterns", [Patterns(), Patterns(defaults=False)])
def test_neither_the_cache_nor_another_store_is_ever_taken(
    patterns: Patterns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VECSTORE_CACHE", str(tmp_path / "home/made"))
    write(tmp_path / "home", "a.jpg", "made/thumbnails/b.jpg", "old/catalog.sqlite", "old/lock", "old/c.jpg")
    (tmp_path / "home link").symlink_to("home")
    assert (found(tmp_path / "home", patterns), found(tmp_path / "home link", patterns)) == (["a.jpg"], ["a.jpg"])


def test_a_file_that_is_named_is_taken_though_its_folder_is_left_out(tmp_path: Path, open_store: OpenStore) -> None:
    folder = paint(tmp_path / "pictures/a.png", 0).parent
    wanted = paint(folder / "@eaDir/b.png", 1)
    paint(folder / "@eaDir/c.png", 2)
    paint(folder / "raw/d.png", 3)
    with open_store() as store:
        report = store.add(folder, wanted, folder / "raw/d.png", patterns=Patterns(exclude=("raw/",)))
    assert (report.added, report.excluded) == (3, 1)


def test_what_was_added_before_it_was_left_out_is_not_forgotten(tmp_path: Path, open_store: OpenStore) -> None:
    folder = paint(tmp_path / "pictures/a.png", 0).parent
    paint(folder / "@eaDir/b.png", 1)
    with open_store() as store:
        store.add(folder, patterns=Patterns(defaults=False))
        report = store.sync(folder)
        assert (report.forgotten, report.known, store.info().images) == (0, 1, 2)


@pytest.mark.parametrize(
    ("below", "passed_over"),
    [
        ("@eaDir/a.jpg", True),
        ("a/.git/b/c", True),
        ("store/lock", True),
        ("a/b.jpg", False),
        ("storeroom/a.jpg", False),
    ],
)
def test_a_change_in_what_is_left_out_wakes_nobody(below: str, passed_over: bool, tmp_path: Path) -> None:
    root = os.fsencode(tmp_path / "@eaDir/photos")  # what is above the root does not count
    assert is_passed_over(os.path.join(root, below.encode()), root, Patterns(), Path(os.fsdecode(root)) / "store") is (
        passed_over
    )


def test_a_part_of_a_folder_is_judged_as_the_whole_is(tmp_path: Path) -> None:
    write(tmp_path, "a/b/c.jpg", "a/@eaDir/d.jpg", "a/out/e/f.jpg")
    write(tmp_path, ".vecstoreignore", text="out\n")
    top = absolute(tmp_path)
    parts = [os.path.join(top, part) for part in (b"a/@eaDir", b"a/b", b"a/out/e")]
    assert [file.path for file in scan(parts, tops=[top])] == [os.path.join(top, b"a/b/c.jpg")]


# In archives


def test_in_an_archive_the_same_is_left_out(tmp_path: Path, open_store: OpenStore) -> None:
    import zipfile

    picture = paint(tmp_path / "a.png", 0).read_bytes()
    folder = tmp_path / "pictures"
    folder.mkdir()
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        for name in ("a.png", "__MACOSX/a.png", "in/@eaDir/b.png", "raw/c.png", "raw/d.png"):
            archive.writestr(name, picture + name.encode())
    write(folder, ".vecstoreignore", text="x.zip/raw/*\n!d.png\n")
    with open_store() as store:
        report = store.add(folder)
        assert sorted(os.path.relpath(hit.path, folder) for hit in store.similar(0)) == [
            "x.zip!/a.png",
            "x.zip!/raw/d.png",
        ]
        assert (report.excluded, report.ignored) == (2, 1)
        write(folder, ".vecstoreignore", text="# nothing\n")
        assert store.add(folder).added == 1  # other lines, so it is looked through again


# .vecstoreignore


def test_an_ignore_file_that_takes_some_files_of_every_folder_takes_no_thumbnails(tmp_path: Path) -> None:
    write(tmp_path, "@eaDir/a.jpg", "in/b.jpg", "in/c.txt")
    write(tmp_path, ".vecstoreignore", text="*\n!*/\n!*.jpg\n")
    assert found(tmp_path) == ["in/b.jpg"]


def test_a_folder_that_is_taken_back_is_taken_with_what_is_in_it(tmp_path: Path) -> None:
    write(tmp_path, "a/b.jpg", "c/a")
    write(tmp_path, ".vecstoreignore", text="a\n!a/\n")
    assert found(tmp_path) == [".vecstoreignore", "a/b.jpg"]


def test_what_an_ignore_file_leaves_out_is_counted(tmp_path: Path, open_store: OpenStore) -> None:
    folder = paint(tmp_path / "pictures/a.png", 0).parent
    paint(folder / "b.png", 1)
    paint(folder / "out/c.png", 2)
    write(folder, ".vecstoreignore", "notes.txt", text="b.*\nout\n*.txt\n")
    with open_store() as store:
        report = store.add(folder)
    assert (report.added, report.ignored, report.excluded) == (1, 2, 0)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_an_ignore_file_is_read_as_windows_saves_it(encoding: str, tmp_path: Path) -> None:
    write(tmp_path, "é.jpg", "b.jpg")
    (tmp_path / ".vecstoreignore").write_text("é.jpg\r\n", encoding=encoding, newline="")
    assert found(tmp_path) == [".vecstoreignore", "b.jpg"]


def test_a_line_that_is_no_pattern_is_told_and_the_others_hold(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", "b.jpg")
    write(tmp_path, ".vecstoreignore", text="[z\na.jpg\nc\\\n")
    left_out = LeftOut()
    assert found(tmp_path, left_out=left_out) == [".vecstoreignore", "b.jpg"]
    assert left_out.complaints == [
        f"{tmp_path}/.vecstoreignore, line {number}: {line} is not a pattern as in a .gitignore; the other lines hold"
        for number, line in ((1, "[z"), (3, "c\\"))
    ]


def test_an_ignore_file_that_is_none_is_told_and_stops_nothing(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg")
    os.mkfifo(tmp_path / ".vecstoreignore")
    left_out = LeftOut()
    assert "a.jpg" in found(tmp_path, left_out=left_out)
    assert left_out.complaints == [f"{tmp_path}/.vecstoreignore is not a file; nothing is left out by it"]


NAMES = st.sampled_from(["a", "b", "ab", "a.b", "b.a"])
LINES = st.lists(
    st.builds(
        lambda no, pattern, end: no + pattern + end,
        st.sampled_from(["", "", "!"]),
        st.sampled_from(
            ["a", "b", "*", "a*", "*.b", "/a", "/*", "a/b", "a/*", "a/**", "**/a", "**/a/b", "a/**/b", "?b", "[ab]"]
            + ["#a", "\\#a", "ab ", "ab\\ ", "**", "/", "a//b"]
        ),
        st.sampled_from(["", "", "/"]),
    ),
    max_size=4,
)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not there")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    files=st.lists(st.lists(NAMES, min_size=1, max_size=4).map("/".join), min_size=1, max_size=8),
    ignores=st.dictionaries(st.sampled_from(["", "a/", "a/b/", "b/"]), LINES, max_size=3),
)
def test_the_same_files_are_left_out_as_git_leaves_out(files: list[str], ignores: dict[str, list[str]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name in files:
            if not any((folder / up).is_file() for up in Path(name).parents) and not (folder / name).exists():
                write(folder, name)
        for where, lines in ignores.items():
            if (folder / where).is_dir():
                write(folder, f"{where}.vecstoreignore", text="\n".join(lines))
        subprocess.run(["git", "init", "-q", place], check=True)
        listed = subprocess.run(
            ["git", "-C", place, "-c", "core.excludesFile=", "ls-files", "-z", "--others"]
            + ["--exclude-per-directory=.vecstoreignore"],
            check=True,
            capture_output=True,
        )
        expected = sorted(os.fsdecode(name) for name in listed.stdout.split(b"\0") if name)
        assert sorted(found(folder)) == expected


# What is said


def test_a_folder_of_links_to_folders_says_so(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/a.jpg")
    (tmp_path / "links").mkdir()
    (tmp_path / "links/1").symlink_to(tmp_path / "elsewhere")
    with Store.open(tmp_path / "store", embedder="tiny", create=True) as store, pytest.raises(NotFound) as refused:
        store.add(tmp_path / "links")
    assert str(refused.value) == (
        f"no pictures under {tmp_path}/links; not followed: 1 link to a folder; name such a folder itself to have what "
        "is in it"
    )


def test_links_to_folders_are_counted(tmp_path: Path, open_store: OpenStore) -> None:
    folder = paint(tmp_path / "pictures/a.png", 0).parent
    (folder / "up").symlink_to(tmp_path)
    (folder / "one more").symlink_to(tmp_path)
    with open_store() as store:
        assert store.add(folder).linked_folders == 2


def test_a_link_to_a_folder_that_is_named_too_is_not_counted(tmp_path: Path, open_store: OpenStore) -> None:
    folder = paint(tmp_path / "pictures/a.png", 0).parent
    paint(tmp_path / "elsewhere/b.png", 1)
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    with open_store() as store:
        report = store.add(folder, folder / "link")
    assert (report.added, report.linked_folders) == (2, 0)


def test_a_glob_that_fits_but_for_case_says_so(tmp_path: Path, open_store: OpenStore) -> None:
    folder = paint(tmp_path / "pictures/IMG.JPG", 0).parent
    with open_store() as store, pytest.raises(NotFound) as refused:
        store.add(folder, patterns=Patterns(only=("*.jpg",)))
    assert str(refused.value) == (
        f"no pictures that the patterns leave under {folder}; left out: 1 file that --glob fits but for upper and "
        "lower case; repeat it in the other case"
    )


def test_the_default_names_are_compared_without_case() -> None:
    assert is_left_out_by_default(b"/a/@EADIR", True)
    assert not is_left_out_by_default(b"/a/@EADIR", False)
