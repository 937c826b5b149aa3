"""What the commands take and leave out, and what they do where no standard streams are open."""

import json
import os
import shlex
import subprocess
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.app import app
from tests.conftest import paint
from tests.programs import command, environment
from vecstore.store import Store

Vecstore = Callable[..., Result]


@pytest.fixture
def vecstore_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vecstore:
    """Run a command on the store in tmp_path, in this process."""
    monkeypatch.setenv("VECSTORE_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("VECSTORE_CACHE", str(tmp_path / "cache"))
    return lambda *arguments, **options: CliRunner().invoke(app, [str(a) for a in arguments], **options)


def counts(result: Result) -> tuple[int, str, str]:
    """The exit code, how many were added, known, updated and failed, and stderr."""
    return result.exit_code, result.stdout.partition(" in ")[0], result.stderr


# Closed streams

STREAMS = ["2>&-", ">&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"]


def in_shell(arguments: list[str | Path], streams: str) -> subprocess.CompletedProcess[str]:
    line = f"{shlex.join(command(*arguments))} {streams}"
    return subprocess.run(
        ["sh", "-c", line], env=environment(), capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("streams", STREAMS)
def test_with_closed_streams_the_work_is_done_in_a_new_store_and_an_old_one(streams: str, tmp_path: Path) -> None:
    paint(tmp_path / "in/a.png", 0)
    (tmp_path / "in/b.png").write_bytes(b"broken")  # so that something is told
    store: list[str | Path] = ["--store", tmp_path / "store"]
    for seed in (1, 2):
        paint(tmp_path / f"in/{seed}.png", seed)
        done = in_shell(["add", tmp_path / "in", "-e", "hsv", *store], streams)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    with Store.open(tmp_path / "store") as opened:
        assert (opened.info().images, opened.check()) == (3, [])


@pytest.mark.parametrize("streams", ["2>&-", "<&- >&- 2>&-"])
def test_with_closed_streams_an_error_keeps_its_exit_code(streams: str, tmp_path: Path) -> None:
    assert in_shell(["info", "--store", tmp_path / "none"], streams).returncode == 1
    assert in_shell(["add", "--nothing", "--store", tmp_path / "none"], streams).returncode == 2


def test_a_list_from_a_closed_stream_is_empty(tmp_path: Path) -> None:
    done = in_shell(["add", "-", "-e", "hsv", "--store", tmp_path / "store"], "<&-")
    assert (done.returncode, done.stderr) == (
        1,
        "Error: the list of paths is empty; name folders or files, or add some to the list\n",
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_where_stderr_is_full_the_work_is_done(tmp_path: Path) -> None:
    paint(tmp_path / "in/a.png", 0)
    (tmp_path / "in/b.png").write_bytes(b"broken")
    done = in_shell(["add", tmp_path / "in", "-e", "hsv", "--store", tmp_path / "store"], "2>/dev/full")
    assert (done.returncode, done.stdout.partition(" in ")[0]) == (0, "added 1, known 0, updated 0, failed 1")


# Lists


def test_a_listed_file_that_is_gone_below_a_listed_folder_is_a_failure(vecstore_: Vecstore, tmp_path: Path) -> None:
    folder = paint(tmp_path / "in/a.png", 0).parent
    listed = f"{folder}\n{folder}/gone.png\n{tmp_path}/gone too.png\n"
    code, printed, _ = counts(vecstore_("add", "-", "-e", "tiny", input=listed))
    assert (code, printed) == (0, "added 1, known 0, updated 0, failed 2")
    assert vecstore_("failures").stdout.count("No such file or directory") == 2


def test_a_listed_member_that_is_gone_below_a_listed_folder_is_a_failure(vecstore_: Vecstore, tmp_path: Path) -> None:
    import zipfile

    folder = paint(tmp_path / "in/a.png", 0).parent
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        archive.writestr("b.png", paint(tmp_path / "b.png", 1).read_bytes())
    for added, known in ((2, 0), (0, 2)):  # looked through, and from what is on record
        code, printed, _ = counts(vecstore_("add", "-", "-e", "tiny", input=f"{folder}\n{folder}/x.zip!/gone.png\n"))
        assert (code, printed) == (0, f"added {added}, known {known}, updated 0, failed 1")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_a_list_is_read_as_it_was_saved(encoding: str, vecstore_: Vecstore, tmp_path: Path) -> None:
    paths = [str(paint(tmp_path / f"{name}.png", seed)) for seed, name in enumerate(("é", "b"))]
    listed = "\r\n".join([*paths, ""]).encode(encoding)
    code, printed, told = counts(vecstore_("add", "-", "-e", "tiny", input=listed))
    assert (code, printed, told) == (0, "added 2, known 0, updated 0, failed 0", "")


def test_a_list_in_another_encoding_is_said_in_one_line(vecstore_: Vecstore, tmp_path: Path) -> None:
    listed = f"{paint(tmp_path / 'a.png', 0)}\n{tmp_path}/é.png\n".encode("latin-1")
    code, printed, told = counts(vecstore_("add", "-", "-e", "tiny", input=listed))
    assert (code, printed) == (0, "added 1, known 0, updated 0, failed 1")
    assert told == (
        f"the list: entry 2 ({tmp_path}/\\xe9.png) is not UTF-8, and no file is called so; save it as UTF-8\n"
        "1 file could not be added; `vecstore failures` says why\n"
    )


# Names


def test_a_name_typed_in_another_normalisation_is_found_by_every_command(vecstore_: Vecstore, tmp_path: Path) -> None:
    stored, typed = (tmp_path / unicodedata.normalize(form, "é.png") for form in ("NFD", "NFC"))
    paint(stored, 0)
    assert vecstore_("add", typed, "-e", "tiny").exit_code == 0
    assert json.loads(vecstore_("similar", typed, "--json").stdout)["path"] == str(stored)
    assert vecstore_("cluster", "-k", 1).exit_code == 0
    assert json.loads(vecstore_("which", typed, "--json").stdout)["id"] == 0
    assert vecstore_("remove", typed).stdout == "removed 1 image, forgot 1 path\n"


# What is left out


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """One picture, one in a folder of thumbnails, one that is ignored, and a link to a folder."""
    folder = paint(tmp_path / "photos/a.png", 0).parent
    paint(folder / "@eaDir/b.png", 1)
    paint(folder / "c.png", 2)
    (folder / ".vecstoreignore").write_text("c.*\n")
    (folder / "link").symlink_to(tmp_path)
    return folder


SAID = (
    "left out by default: 1 folder or file (thumbnails, trash, system folders); --no-default-excludes takes them\n"
    "left out by a .vecstoreignore: 1 folder or file\n"
    "not followed: 1 link to a folder; name such a folder itself to have what is in it\n"
)


@pytest.mark.parametrize("name", ["add", "sync"])
def test_what_is_left_out_is_said_in_a_line_each(name: str, vecstore_: Vecstore, photos: Path) -> None:
    code, printed, told = counts(vecstore_(name, photos, "-e", "tiny"))
    forgotten = ", forgotten 0" if name == "sync" else ""
    assert (code, printed, told) == (0, f"added 1, known 0, updated 0, failed 0{forgotten}", SAID)


def test_a_dry_run_says_it_too(vecstore_: Vecstore, photos: Path) -> None:
    result = vecstore_("sync", photos, "-e", "tiny", "--dry-run")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"add\t{photos}/a.png\n", SAID)


def test_quiet_says_nothing_of_it_and_json_has_the_numbers(vecstore_: Vecstore, photos: Path) -> None:
    result = vecstore_("add", photos, "-e", "tiny", "-q", "--json")
    report = json.loads(result.stdout)
    assert (report["excluded"], report["ignored"], report["linked_folders"], result.stderr) == (1, 1, 1, "")


def test_no_default_excludes_takes_what_is_left_out_by_default(vecstore_: Vecstore, photos: Path) -> None:
    for name in ("add", "sync"):
        result = vecstore_(name, photos, "-e", "tiny", "--no-default-excludes", "--json")
        assert json.loads(result.stdout)["excluded"] == 0
    assert json.loads(vecstore_("info", "--json").stdout)["images"] == 2


def test_the_thumbnails_of_the_cache_are_never_added(
    vecstore_: Vecstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = paint(tmp_path / "home/Pictures/a.png", 0).parents[1]
    monkeypatch.setenv("VECSTORE_CACHE", str(folder / "made"))
    assert vecstore_("add", folder, "-e", "tiny").exit_code == 0
    assert vecstore_("cluster", "-k", 1).exit_code == 0
    assert vecstore_("sheet", "-o", tmp_path / "sheet.png").exit_code == 0
    assert list((folder / "made").rglob("*.webp")) != []
    for arguments in ((), ("--no-default-excludes",)):
        code, printed, _ = counts(vecstore_("add", folder, *arguments))
        assert (code, printed) == (0, "added 0, known 1, updated 0, failed 0")


def test_a_line_that_is_no_pattern_is_told(vecstore_: Vecstore, photos: Path) -> None:
    (photos / ".vecstoreignore").write_text("[z\nc.*\n")
    assert vecstore_("add", photos, "-e", "tiny").stderr.splitlines()[0] == (
        f"{photos}/.vecstoreignore, line 1: [z is not a pattern as in a .gitignore; the other lines hold"
    )


def test_a_glob_that_fits_but_for_case_is_said(vecstore_: Vecstore, tmp_path: Path) -> None:
    folder = paint(tmp_path / "in/a.jpg", 0).parent
    paint(folder / "IMG.JPG", 1)
    code, printed, told = counts(vecstore_("add", folder, "-e", "tiny", "--glob", "*.jpg"))
    assert (code, printed) == (0, "added 1, known 0, updated 0, failed 0")
    assert told == "left out: 1 file that --glob fits but for upper and lower case; repeat it in the other case\n"
