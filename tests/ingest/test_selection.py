"""What an add or a sync looks at: lists, patterns, and the preview of a sync."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app
from tests.conftest import TinyEmbedder, paint
from vecstore.errors import BadInput, NotFound
from vecstore.results import Change
from vecstore.sources.scan import Patterns
from vecstore.sources.text_files import read_list
from vecstore.store import Store

OpenStore = Callable[..., Store]


def names(store: Store, root: Path) -> list[str]:
    """The paths that a store knows, from the root."""
    return sorted(
        os.path.relpath(os.fsdecode(path), root) for path in store.session.catalog.paths.under(os.fsencode(root))
    )


# Lists


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        (b"a.jpg\nb c.jpg\n", [b"a.jpg", b"b c.jpg"]),
        (b"a.jpg\r\n\r\nb.jpg", [b"a.jpg", b"b.jpg"]),
        (b"a\nb.jpg\0c.jpg\0", [b"a\nb.jpg", b"c.jpg"]),
        (b"\xff.jpg\n", [b"\xff.jpg"]),
        (b"", []),
    ],
    ids=["lines", "windows", "nul", "no text", "empty"],
)
def test_a_list_is_a_path_a_line_or_nul_separated(text: bytes, paths: list[bytes]) -> None:
    assert read_list(text) == paths


def test_a_list_names_files_whatever_they_are_called(open_store: OpenStore, tmp_path: Path) -> None:
    os.rename(paint(tmp_path / "0.png", 0), tmp_path / "picture.data")
    with open_store() as store:
        assert store.add(listed=[tmp_path / "picture.data"]).added == 1


def test_what_is_gone_from_a_list_is_a_failure_and_the_rest_is_added(
    open_store: OpenStore, pictures: Path, tmp_path: Path
) -> None:
    with open_store() as store:
        report = store.add(listed=[pictures / "3.png", tmp_path / "gone.png", pictures / "deep"])
        assert (report.added, report.failed) == (6, 1)
        assert [failure.path for failure in store.failures()] == [str(tmp_path / "gone.png")]


@pytest.mark.parametrize("separator", ["\n", "\0"])
def test_a_dash_takes_the_list_from_standard_input(pictures: Path, tmp_path: Path, separator: str) -> None:
    paths = separator.join([str(pictures / "1.png"), str(pictures / "2.png")])
    arguments = ["add", "-", "-e", "tiny", "-s", str(tmp_path / "store")]
    ended = CliRunner().invoke(app, arguments, input=paths)
    assert (ended.exit_code, ended.stdout[:8]) == (0, "added 2,")


def test_an_empty_list_is_refused(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["add", "-", "-e", "tiny", "-s", str(tmp_path / "store")], input="")
    expected = "Error: the list of paths is empty; name folders or files, or add some to the list\n"
    assert (ended.exit_code, ended.stdout, ended.stderr) == (1, "", expected)


# Patterns


@pytest.mark.parametrize(
    ("patterns", "taken"),
    [
        (Patterns(only=("deep/",)), ["deep/5.png", "deep/6.png", "deep/7.png", "deep/8.png", "deep/9.png"]),
        (Patterns(exclude=("deep/",)), ["0.png", "1.png", "2.png", "3.png", "4.png"]),
        (Patterns(only=("[0-1].png", "9.*")), ["0.png", "1.png", "deep/9.png"]),
        (Patterns(only=("/*.png",), exclude=("3.png",)), ["0.png", "1.png", "2.png", "4.png"]),
        (Patterns(exclude=("*.png", "!7.png")), ["deep/7.png"]),
    ],
    ids=["a folder", "all but a folder", "names", "at the top, less one", "all but one"],
)
def test_patterns_choose_as_a_gitignore_does(
    open_store: OpenStore, pictures: Path, patterns: Patterns, taken: list[str]
) -> None:
    with open_store() as store:
        store.add(pictures, patterns=patterns)
        assert names(store, pictures) == taken


def test_a_file_that_is_named_is_taken_whatever_the_patterns(open_store: OpenStore, pictures: Path) -> None:
    with open_store() as store:
        store.add(pictures, pictures / "3.png", patterns=Patterns(exclude=("?.png",)))
        assert names(store, pictures) == ["3.png"]


def test_a_folder_that_is_left_out_is_not_even_listed(
    open_store: OpenStore, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(
        os, "scandir", lambda folder: listed.append(os.path.basename(os.fsdecode(folder))) or scandir(folder)
    )
    with open_store() as store:
        store.add(pictures, patterns=Patterns(exclude=("deep",)))
    assert set(listed) == {"pictures"}


def test_patterns_that_leave_nothing_are_told(open_store: OpenStore, pictures: Path) -> None:
    with open_store() as store, pytest.raises(NotFound, match="no pictures that the patterns leave under"):
        store.add(pictures, patterns=Patterns(only=("*.jpg",)))


def test_a_pattern_that_is_none_is_wrong_use(open_store: OpenStore, pictures: Path) -> None:
    with open_store() as store, pytest.raises(BadInput, match="pattern"):
        store.add(pictures, patterns=Patterns(exclude=("!",)))


def test_a_sync_does_not_forget_what_the_patterns_leave_out(open_store: OpenStore, pictures: Path) -> None:
    with open_store() as store:
        store.add(pictures)
        (pictures / "deep" / "5.png").unlink()
        assert store.sync(pictures, patterns=Patterns(exclude=("/*.png",))).forgotten == 1
        assert len(names(store, pictures)) == 9


def test_glob_and_exclude_are_the_patterns_of_the_commands(pictures: Path, tmp_path: Path) -> None:
    arguments = [
        "--glob",
        "/*.png",
        "--glob",
        "9.png",
        "--exclude",
        "3.png",
        "-e",
        "tiny",
        "-s",
        str(tmp_path / "store"),
    ]
    ended = CliRunner().invoke(app, ["add", str(pictures), *arguments])
    assert (ended.exit_code, ended.stdout[:8]) == (0, "added 5,")


# The preview of a sync


@pytest.fixture
def changed(open_store: OpenStore, pictures: Path) -> list[Change]:
    """Add the pictures, then change the folder in every way; return what a sync is to do about it."""
    with open_store() as store:
        store.add(pictures)
    paint(pictures / "new.png", 77)
    (pictures / "copy.png").write_bytes((pictures / "0.png").read_bytes())
    paint(pictures / "1.png", 78)
    (pictures / "2.png").rename(pictures / "renamed.png")
    (pictures / "deep" / "9.png").unlink()
    (pictures / "pipe.png").symlink_to("nowhere")
    done = [("fail", "pipe.png"), ("know", "copy.png"), ("add", "new.png"), ("know", "renamed.png")]
    done += [("update", "1.png"), ("forget", "2.png"), ("forget", "deep/9.png")]
    return [Change(action, str(pictures / name)) for action, name in done]


def test_a_preview_says_what_a_sync_would_do(open_store: OpenStore, pictures: Path, changed: list[Change]) -> None:
    with open_store() as store:
        found = list(store.preview(pictures))
    assert sorted(found, key=str) == sorted(changed, key=str)


def test_a_preview_does_nothing(open_store: OpenStore, pictures: Path, tmp_path: Path, changed: list[Change]) -> None:
    prepared = TinyEmbedder.prepared_count
    with open_store() as store:
        before = [replace(store.info(), query_ms=None), store.failures(), names(store, pictures)]
        list(store.preview(pictures))
        assert [replace(store.info(), query_ms=None), store.failures(), names(store, pictures)] == before
    assert TinyEmbedder.prepared_count == prepared


def test_after_the_sync_the_preview_is_empty(open_store: OpenStore, pictures: Path, changed: list[Change]) -> None:
    with open_store() as store:
        report = store.sync(pictures)
        assert (report.added, report.updated, report.failed, report.forgotten) == (1, 1, 1, 2)
        assert [change.action for change in store.preview(pictures)] == []


def test_a_preview_without_a_store_adds_everything_and_makes_none(
    open_store: OpenStore, pictures: Path, tmp_path: Path
) -> None:
    with open_store() as store:
        assert [change.action for change in store.preview(pictures)] == ["add"] * 10
    assert not (tmp_path / "store").exists()


def test_a_preview_refuses_an_emptied_folder(open_store: OpenStore, pictures: Path, tmp_path: Path) -> None:
    with open_store() as store:
        store.add(pictures)
        pictures.rename(tmp_path / "elsewhere")
        pictures.mkdir()
        with pytest.raises(NotFound):
            store.preview(pictures)


def test_a_dry_run_prints_the_preview(changed: list[Change], pictures: Path, tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["sync", str(pictures), "--dry-run", "-s", str(tmp_path / "store"), "-e", "tiny"])
    assert sorted(ended.stdout.splitlines()) == sorted(f"{change.action}\t{change.path}" for change in changed)
