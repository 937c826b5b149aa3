"""Deciding and acting on the command line: nothing without --yes, one line for what is left, exit codes."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.app import app
from tests.conftest import paint
from tests.curation.trash_bin import use_trash

Vecstore = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed in (1, 2, 3):
        paint(tmp_path / "in/a" / f"{seed}.png", seed)
    (tmp_path / "in/b").mkdir()
    for seed in (1, 2):
        shutil.copyfile(tmp_path / f"in/a/{seed}.png", tmp_path / f"in/b/{seed}.png")
    return tmp_path / "in"


@pytest.fixture
def vecstore_(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vecstore:
    """Run a command on a store of the folder, in this process; input: what is typed."""
    monkeypatch.setenv("VECSTORE_STORE", str(tmp_path / "store"))
    use_trash(tmp_path / "data", monkeypatch)

    def run(*arguments: str | Path, input: str = "") -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], input=input)

    assert run("add", folder, "-e", "tiny").exit_code == 0
    return run


def outcome(result: Result) -> tuple[int, str, str]:
    return result.exit_code, result.stdout, result.stderr


def test_keepers_say_why(vecstore_: Vecstore, folder: Path) -> None:
    expected = "".join(
        f"{group}\tkeep\t\t1.0000\t1.0000\t@{group - 1}\t{folder}/b/{group}.png\tyes\t768\t117\tfolder {folder}/b\n"
        f"{group}\tcopy\tsame bytes\t1.0000\t1.0000\t@{group - 1}\t{folder}/a/{group}.png\tno\t768\t117\t-\n"
        for group in (1, 2)
    )
    freed = "deleting the files called copy would free 234 bytes, those called near 0 bytes\n"
    assert outcome(vecstore_("duplicates", "--keep-by", f"folder:{folder}/b")) == (0, expected, freed)
    first = json.loads(vecstore_("duplicates", "--keep-by", "oldest", "--json").stdout.splitlines()[0])
    assert first["why"].startswith("oldest, ")


def test_a_copy_with_another_name_frees_nothing(vecstore_: Vecstore, folder: Path) -> None:
    (folder / "other name").hardlink_to(folder / "a/1.png")
    assert vecstore_("duplicates", "--keep-by", f"folder:{folder}/b").stderr == (
        "deleting the files called copy would free 117 bytes, those called near 0 bytes\n"  # 234 without it
    )


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_nothing_is_done_without_yes(options: list[str], vecstore_: Vecstore, folder: Path) -> None:
    size = [(folder / f"b/{n}.png").stat().st_size for n in (1, 2)]
    done = vecstore_("duplicates", "--keep-by", f"folder:{folder}/a", "--apply", "delete", *options)
    assert outcome(done) == (
        0,
        "".join(
            f"planned\tdelete\t@{n - 1}\t{size[n - 1]}\t{folder}/b/{n}.png\t{folder}/a/{n}.png\t-\n" for n in (1, 2)
        ),
        f"would delete 2 files, {sum(size)} bytes; nothing was done: --yes does it "
        "(deleted files cannot be put back)\n",
    )
    assert (folder / "b/1.png").exists()


def test_an_act_says_what_it_did_and_undo_puts_it_back(vecstore_: Vecstore, folder: Path) -> None:
    done = vecstore_("duplicates", "--keep-by", f"folder:{folder}/a", "--apply", "trash", "--yes", "--json")
    acts = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(act["state"], act["path"], Path(act["target"]).name) for act in acts] == [
        ("done", f"{folder}/b/{n}.png", f"{n}.png") for n in (1, 2)
    ]
    size = sum(act["bytes"] for act in acts)
    assert (done.exit_code, done.stderr) == (
        0,
        f"put 2 files into the trash, {size} bytes, which are free when it is emptied; `vecstore undo` takes it back\n",
    )
    assert not (folder / "b/1.png").exists()
    undone = vecstore_("undo")
    assert (undone.exit_code, undone.stdout.splitlines()[1], undone.stderr) == (0, "put back 2 files", "")
    assert (folder / "b/1.png").exists()


def test_what_is_left_as_it_is_has_a_line_and_exit_code_1(vecstore_: Vecstore, folder: Path, tmp_path: Path) -> None:
    paint(folder / "a/near.png", 1, (64, 48))
    vecstore_("add", folder)
    vecstore_("decide", "keep", "@0", folder / "a/near.png", "--keep", folder / "a/near.png")
    done = vecstore_("duplicates", "--apply", "delete", "--yes", "--keep-by", "oldest")
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        "deleted files cannot be put back",
        f"{folder}/a/1.png: it is another picture than the one to keep; give trash or move:DIR",
        f"deleted 2 files, {sum((folder / f'a/{n}.png').stat().st_size for n in (1, 2))} bytes are free now",
        "Error: 1 of 3 files were left as they are, as said above",
    ]


def test_an_undo_that_would_overwrite_says_so(vecstore_: Vecstore, folder: Path) -> None:
    vecstore_("duplicates", "--keep-by", f"folder:{folder}/a", "--apply", "trash", "--yes")
    (folder / "b/1.png").write_bytes(b"another")
    done = vecstore_("undo")
    assert (done.exit_code, done.stdout.splitlines()[1], done.stderr.splitlines()) == (
        1,
        "put back 1 file",
        [
            f"{folder}/b/1.png: something else is there by now; move it away, and undo again",
            "Error: left as they are, as said above: 1 file; then do this again",
        ],
    )


def test_a_review_records_each_answer_at_once(vecstore_: Vecstore, folder: Path) -> None:
    asked = vecstore_("duplicates", "--review", input="x\n2\n")
    assert asked.exit_code == 0
    assert "'x' is none of these\n" in asked.stderr
    assert "  2  copy, same bytes  1.000  @0  " in asked.stderr
    assert asked.stderr.endswith(
        "decided 1 group; `vecstore duplicates --apply trash` shows what follows, --yes does it\n"
    )
    (decision,) = (json.loads(line) for line in vecstore_("decisions", "--json").stdout.splitlines())
    assert (decision["verdict"], decision["kept"], decision["kept_path"]) == ("keep", 0, f"{folder}/b/1.png")
    again = vecstore_("duplicates", "--review", "--json", input="b\n")
    assert [json.loads(line)["verdict"] for line in again.stdout.splitlines()] == ["both"]
    assert vecstore_("duplicates", "--review").stderr == "no duplicates that are not decided\n"
    planned = vecstore_("duplicates", "--apply", "hardlink").stdout.splitlines()
    assert [line.split("\t")[4] for line in planned] == [f"{folder}/a/1.png"]


def test_a_review_comes_in_the_order_that_is_asked_for(vecstore_: Vecstore, folder: Path) -> None:
    paint(folder / "a/large.png", 4, (64, 48))
    shutil.copyfile(folder / "a/large.png", folder / "b/large.png")
    vecstore_("add", folder)
    shown = vecstore_("duplicates", "--review", "--sort", "size", input="l\nl\nl\n").stderr
    assert re.findall("^  1  keep .*(@[0-9]+)", shown, re.MULTILINE) == ["@3", "@0", "@1"]


def test_later_and_quit_decide_nothing(vecstore_: Vecstore) -> None:
    assert vecstore_("duplicates", "--review", input="l\nq\n").stderr.endswith("decided 0 groups\n")
    assert outcome(vecstore_("decisions")) == (
        0,
        "",
        "nothing was decided yet; `vecstore duplicates --review` does\n",
    )


def test_pictures_are_shown_in_the_terminal_that_can(vecstore_: Vecstore) -> None:
    shown = vecstore_("duplicates", "--review", "--inline", "sixel", input="l\nl\n").stderr_bytes
    assert shown.count(b"\x1bPq") == 2


def test_found_pictures_go_into_a_folder(vecstore_: Vecstore, folder: Path, tmp_path: Path) -> None:
    vecstore_("cluster", "-k", "1", "--restarts", "1")
    copied = vecstore_("similar", "@2", "-k", "1", "--copy-to", tmp_path / "copies")
    size = (folder / "a/3.png").stat().st_size
    assert outcome(copied) == (
        0,
        f"done\tcopy\t@2\t{size}\t{folder}/a/3.png\t-\t{tmp_path}/copies/3.png\n",
        f"copied 1 file to {tmp_path}/copies, {size} bytes; `vecstore undo` takes it back\n",
    )
    assert vecstore_("undo").stdout.splitlines()[1] == "removed 1 file"
    assert vecstore_("undo", "--redo").stdout.splitlines()[1] == "acted on 1 file"
    assert vecstore_("outliers", "-k", "2", "--link-to", tmp_path / "links").exit_code == 0
    assert len([path for path in (tmp_path / "links").iterdir() if path.is_symlink()]) == 2
    moved = vecstore_("members", "0", "-k", "1", "--move-to", tmp_path / "moved", "--json")
    assert json.loads(moved.stdout)["act"] == "move"
    assert len(list((tmp_path / "moved").iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("duplicates", "--yes"),
            "--yes, --dry-run and --near-too are for --apply; say what to do, such as --apply trash",
        ),
        (("duplicates", "--apply", "trash", "--yes", "-n"), "--yes acts and --dry-run does not; give one of them"),
        (
            ("duplicates", "--review", "--apply", "trash"),
            "--review decides and --apply acts on what was decided; give one after the other",
        ),
        (("duplicates", "--inline", "sixel"), "--inline shows the pictures of --review; give that too"),
        (
            ("similar", "@0", "--copy-to", "x", "--move-to", "y"),
            "pictures are copied, linked to or moved; give one of --copy-to, --link-to and --move-to",
        ),
        (
            ("duplicates", "--review", "--series"),
            "invalid value for --series: it is for the list of groups; leave it or --review out "
            "(see `vecstore duplicates --help`)",
        ),
        (
            ("duplicates", "--apply", "trash", "--sort", "size"),
            "invalid value for --sort: it is for the list of groups; leave it or --apply out "
            "(see `vecstore duplicates --help`)",
        ),
        (
            ("duplicates", "--between", "a", "b", "--into", "leaks"),
            "invalid value for --into: it is for the list of groups; leave it or --between out "
            "(see `vecstore duplicates --help`)",
        ),
        *(
            (
                ("duplicates", "--between", "a", "b", *option),
                "invalid value for --between: it only lists, from two places as they are; leave conditions, --keep-by, "
                "--review and --apply out (see `vecstore duplicates --help`)",
            )
            for option in (("--path", "x"), ("--review",), ("--keep-by", "oldest"))
        ),
        (
            ("duplicates", "--apply", "move"),
            "'move' is not an act; there are trash, move:DIR, hardlink, symlink and delete",
        ),
    ],
)
def test_what_cannot_be_is_wrong_use(arguments: tuple[str, ...], message: str, vecstore_: Vecstore) -> None:
    assert outcome(vecstore_(*arguments)) == (2, "", f"Error: {message}\n")


def test_altered_copies_are_named_where_only_they_are_left(vecstore_: Vecstore) -> None:
    vecstore_("duplicates", "--keep-by", "pixels", "--apply", "trash", "--yes")
    assert outcome(vecstore_("duplicates", "--keep-by", "pixels", "--apply", "trash")) == (
        0,
        "",
        "no duplicates to act on: with --near-too altered copies are acted on too\n",
    )


def test_without_rules_and_decisions_there_is_nothing_to_act_on(vecstore_: Vecstore) -> None:
    assert outcome(vecstore_("duplicates", "--apply", "trash", "--yes")) == (
        0,
        "",
        "no duplicates to act on: decide with --review, or give --keep-by\n",
    )
