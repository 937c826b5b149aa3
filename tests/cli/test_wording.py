"""How commands read: tables of every width, usage as people write it, and wrong use in one line."""

import io
import re
import subprocess
import sys
from dataclasses import make_dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command
from typer.testing import CliRunner

from cli import clusters, output, tables
from cli.app import app
from tests.programs import ROOT

COMMANDS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
LONG_PATH = "/home/someone/Pictures/2026/11 holiday on the island/beach/DSC_00012345.jpg"


def screen(monkeypatch: pytest.MonkeyPatch, width: int, columns: tuple[str, ...], *rows: dict[str, Any]) -> str:
    """Return what a terminal of that width shows of a table."""
    monkeypatch.setenv("COLUMNS", str(width))
    from rich.console import Console

    kept: list[Console] = []

    class Kept(Console):
        def __init__(self, **values: Any) -> None:
            super().__init__(**{"record": True, "file": io.StringIO(), "width": width, **values})
            kept.append(self)

    monkeypatch.setattr("rich.console.Console", Kept)
    made = make_dataclass("Row", columns)
    output._table([made(**{column: row.get(column) for column in columns}) for row in rows], columns)
    return kept[-1].export_text()


CLUSTER = {
    "cluster": 3,
    "size": 1234,
    "cohesion": 0.7156,
    "separation": 0.3955,
    "nearest": 1,
    "drift": None,
    "name": "beach holidays",
    "representative_id": 120,
    "representative": LONG_PATH,
}


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (80, "cluster  size  cohesion  nearest  drift  name            representative"),
        (120, "cluster  size  cohesion  separation  nearest  drift  name            representative_id  representative"),
        (200, "cluster  size  cohesion  separation  nearest  drift  name            representative_id  representative"),
    ],
)
def test_a_table_shows_the_columns_that_fit(width: int, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = screen(monkeypatch, width, clusters.CLUSTER_COLUMNS, CLUSTER, {**CLUSTER, "cluster": 12, "size": 7})
    lines = printed.splitlines()
    assert (lines[0].rstrip(), len(lines)) == (shown, 3)
    assert all(len(line) <= width for line in lines)
    assert ("DSC_00012345.jpg" in lines[1], LONG_PATH in lines[1]) == (width != 80, width == 200)
    assert lines[1].endswith("345.jpg")


FACTS = {
    "id": 12,
    "taken": "2006-01-10T20:25:31+01:00",
    "camera": "Canon PowerShot A300",
    "width": 4000,
    "height": 3000,
    "format": "JPEG",
    "rating": 4,
    "path": LONG_PATH,
}
DUPLICATE = {
    "group": 12,
    "kind": "near",
    "relation": "re-encoded",
    "confidence": 0.998,
    "score": 1.0,
    "id": 1234,
    "path": LONG_PATH,
    "keep": True,
    "pixels": 12_000_000,
    "bytes": 4_000_000,
    "why": "more pixels than the others, and the oldest",
}
DECISION = {
    "verdict": "different",
    "one": 1234,
    "other": 1235,
    "kept": None,
    "decided": "2026-11-27T20:00:00Z",
    "one_path": LONG_PATH,
    "other_path": LONG_PATH,
    "kept_path": LONG_PATH,
}
ACT = {
    "state": "planned",
    "act": "trash",
    "id": 1234,
    "bytes": 4_000_000,
    "path": LONG_PATH,
    "keeper": LONG_PATH,
    "target": LONG_PATH,
}
FAILURE = {"path": LONG_PATH, "reason": f"not a picture: {LONG_PATH.replace(' ', '_')} begins with text"}
TAGGED = {"id": 0, "path": LONG_PATH, "tags": ()}


@pytest.mark.parametrize("row", [FACTS, DUPLICATE, DECISION, ACT, FAILURE, TAGGED], ids=lambda row: "-".join(row))
@pytest.mark.parametrize("width", [80, 120, 200])
def test_no_table_is_wider_than_the_terminal_or_cut_in_a_cell(
    width: int, row: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [line.rstrip() for line in screen(monkeypatch, width, tuple(row), row, row).splitlines()]
    assert all(len(line) <= width for line in lines)
    headers = lines[0].split()
    assert set(headers) <= set(row)
    made = make_dataclass("Row", row)(**row)
    whole = {
        output._cell(made, header) for header in headers if header not in tables.PATHS | tables.TEXTS | {"decided"}
    }
    assert whole <= set(lines[1].split())
    assert width < 200 or LONG_PATH in lines[1] or len(set(row) & tables.PATHS) > 1


def test_what_is_hidden_at_80_columns_says_least(monkeypatch: pytest.MonkeyPatch) -> None:
    def headers(row: dict[str, Any]) -> list[str]:
        return screen(monkeypatch, 80, tuple(row), row).splitlines()[0].split()

    assert headers(FACTS) == ["id", "taken", "camera", "path"]
    assert headers(DECISION) == ["verdict", "one", "other", "one_path", "other_path"]
    assert headers({"rank": 1, "tags": (), "path": LONG_PATH}) == ["rank", "tags", "path"]


def test_the_clusters_that_were_kept_are_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = screen(monkeypatch, 80, ("clustering", "kept", "merged"), {"clustering": 2, "kept": 5, "merged": 0})
    assert printed.splitlines()[1].split() == ["2", "5", "0"]
    decided = screen(monkeypatch, 80, ("verdict", "kept"), {"verdict": "keep", "kept": 5})
    assert decided.splitlines()[1].split() == ["keep", "@5"]


def test_what_is_hidden_is_named_and_wide_shows_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    screen(monkeypatch, 60, clusters.CLUSTER_COLUMNS, CLUSTER)
    told = capsys.readouterr().err
    assert "not shown for want of room: cohesion, separation, nearest, drift, representative_id" in told.replace(
        "\n", " "
    )
    assert all(len(line) <= 60 for line in told.splitlines())
    monkeypatch.setattr(output.wide, "is_asked", True)
    assert LONG_PATH in screen(monkeypatch, 60, clusters.CLUSTER_COLUMNS, CLUSTER)
    assert capsys.readouterr().err == ""


@given(
    path=st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z", "M")), min_size=1, max_size=80),
    room=st.integers(7, 120),
)
def test_a_shortened_path_keeps_both_ends_and_fits(path: str, room: int) -> None:
    from rich.cells import cell_len

    short = tables.shortened(path, room)
    assert cell_len(short) <= room
    assert (short[0], short[-1]) == (path[0], path[-1])


@given(
    columns=st.lists(
        st.tuples(st.sampled_from([*tables.HIDDEN_FIRST, *tables.PATHS]), st.integers(1, 60), st.integers(0, 60)),
        unique_by=lambda column: column[0],
        max_size=12,
    ),
    room=st.integers(1, 300),
)
def test_the_widths_fit_unless_nothing_more_can_be_hidden(columns: list[tuple[str, int, int]], room: int) -> None:
    headers = [header for header, _, _ in columns]
    least = [width for _, width, _ in columns]
    natural = [width + more for _, width, more in columns]
    widths = tables.fit(headers, least, natural, room)
    total = sum(widths.values()) + tables.GAP * max(len(widths) - 1, 0)
    assert total <= room or not set(widths) & set(tables.HIDDEN_FIRST)
    bounds = {header: (low, high) for header, low, high in zip(headers, least, natural, strict=True)}
    assert all(bounds[header][0] <= width <= bounds[header][1] for header, width in widths.items())


def test_a_time_is_shown_as_the_clock_here_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        printed = screen(monkeypatch, 80, ("operation", "began"), {"operation": 1, "began": "2026-11-27T20:00:00Z"})
    finally:
        monkeypatch.undo()
        time.tzset()
    assert "2026-11-28 05:00:00" in printed


def test_a_text_takes_more_lines_between_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    reason = "the file ends within the picture; restore it from a backup, then retry"
    printed = screen(monkeypatch, 40, ("path", "reason"), {"path": "/p/a.jpg", "reason": reason})
    assert all(word in printed.split() for word in reason.split())


# Help


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_has_no_types_of_flags_nor_brackets_within_brackets(name: str) -> None:
    printed = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "100"}).stdout
    assert re.findall(r"<bool>|\{[A-Z]|\[\[|\]\.\.\.\.|<int|<float|<list", printed) == []
    assert "Example: vecstore" in printed
    assert ("--wide" in printed) == ("--json" in printed)


def test_help_of_the_program_has_no_types_of_flags() -> None:
    printed = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "100"}).stdout
    assert ("--show-completion" in printed, "<bool>" in printed) == (True, False)


@pytest.mark.parametrize("program", [["scripts.benchmarks", "copies"], ["scripts.fault_injection"]])
def test_help_of_scripts_has_no_types_of_flags(program: list[str]) -> None:
    asked = [sys.executable, "-m", *program, "--help"]
    printed = subprocess.run(asked, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert ("--help" in printed, re.findall(r"<bool>|\[\[|\]\]|\]\.\.\.\]|<int|<list", printed)) == (True, [])


# Wrong use


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("similar @1 --top 3", "there is no option --top; did you mean -k N?"),
        ("clusters --top 3", "there is no option --top"),
        ("add x --embeder hsv", "there is no option --embeder; did you mean --embedder?"),
        ("similar @1 -k x", "invalid value for '-k' / '--count': give a whole number"),
        ("similar @1 -k 0", "invalid value for '-k' / '--count': give at least 1"),
        ("similar @1 --min-score 7", "invalid value for '--min-score': give at most 1"),
        ("add", "missing argument 'PATH'"),
    ],
)
def test_wrong_use_is_one_line(arguments: str, expected: str) -> None:
    result = CliRunner().invoke(app, arguments.split())
    name = arguments.split()[0]
    told = f"Error: {expected} (see `vecstore {name} --help`)\n"
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", told)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("nonsense", "no such command 'nonsense' (see `vecstore --help`)"),
        ("undo --list --redo", "--list shows what can be undone and redone, and does neither; leave --redo out"),
    ],
)
def test_other_wrong_use_is_one_line_too(arguments: str, expected: str) -> None:
    result = CliRunner().invoke(app, arguments.split())
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"Error: {expected}\n")


def test_a_folder_in_place_of_a_picture_is_called_one(tmp_path: Path, pictures: Path) -> None:
    store = str(tmp_path / "store")
    assert CliRunner().invoke(app, ["add", str(pictures), "-e", "tiny", "-s", store]).exit_code == 0
    result = CliRunner().invoke(app, ["similar", str(pictures), "-s", store])
    expected = f"Error: {pictures} is a folder, not a picture; name a picture in it, or an id such as @12\n"
    assert (result.exit_code, result.stderr) == (2, expected)


def test_commands_in_hints_name_the_store_that_was_named(tmp_path: Path, pictures: Path) -> None:
    (pictures / "broken.jpg").write_bytes(b"no picture")
    store = tmp_path / "my store"
    result = CliRunner().invoke(app, ["add", str(pictures), "-e", "tiny", "--store", str(store)])
    assert result.stderr == f"1 file could not be added; `vecstore failures --store '{store}'` says why\n"
    result = CliRunner().invoke(app, ["clusters", "-s", str(store)])
    assert (
        result.stderr.endswith(f"`vecstore cluster -k N --store '{store}'`\n") or "`vecstore cluster" in result.stderr
    )
    assert f"--store '{store}'`" in result.stderr


def test_a_folder_of_pictures_is_no_place_for_a_store(pictures: Path) -> None:
    result = CliRunner().invoke(app, ["similar", "@1", "-s", str(pictures)])
    expected = f"Error: {pictures} holds other files and no store; name the folder of a store with --store\n"
    assert (result.exit_code, result.stderr) == (1, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["similar", "@0", "--minus-weight", "0.5"], "it weighs --minus and --minus-word"),
        (["tag", "@0", "--min-score", "0.5"], "it is for --write-xmp"),
        (["select", "best", "@0", "-k", "3"], "-k says how many are listed"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert message in done.stderr


def test_files_of_another_kind_are_refused_in_a_short_line(tmp_path: Path) -> None:
    import numpy as np

    store, noise, vectors = tmp_path / "store", tmp_path / "noise", tmp_path / "vectors.npy"
    noise.write_bytes(b"\xff\xd8 \x00" * 500)
    np.save(vectors, np.eye(2, dtype=np.float32))
    (tmp_path / "paths.txt").write_text("https://a.example/a\nhttps://a.example/b\n")
    cases = {
        ("evaluate", "--labels", str(noise)): "has no label; a line is path,label",
        ("evaluate", "--labels", str(tmp_path / "gone")): "as a table of path,label: No such file or directory\n",
        ("tag", "--words", str(noise)): "is not UTF-8; save it as UTF-8",
        ("import", str(noise), str(noise)): "cannot be read as .npy: it is none, or holds objects and not numbers\n",
        ("info", "--store", str(noise)): "is a file, and a store is a folder; name another with --store\n",
    }
    made = CliRunner().invoke(app, ["import", str(vectors), str(tmp_path / "paths.txt"), "-s", str(store)])
    assert made.exit_code == 0
    for arguments, message in cases.items():
        done = CliRunner().invoke(app, [arguments[0], "-s", str(store), *arguments[1:]])
        assert (done.stdout, done.stderr.count("\n"), len(done.stderr) < 400) == ("", 1, True), done.stderr
        assert message in done.stderr
