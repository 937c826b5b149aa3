"""The commands that draw: what they write, print and show."""

import json
import webbrowser
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.app import app
from vecstore.views import map_placing

Vecstore = Callable[..., Result]


@pytest.fixture
def clustered(tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Vecstore:
    """Run a command, in tmp_path, on a store of ten pictures in three clusters."""
    monkeypatch.setenv("VECSTORE_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(map_placing, "EXAGGERATED_STEPS", 10)
    monkeypatch.setattr(map_placing, "STEPS", 10)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    assert run("add", pictures, "-e", "tiny").exit_code == 0
    assert run("cluster", "-k", "3", "--restarts", "2").exit_code == 0
    return run


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a browser was asked to open."""
    asked: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: asked.append(url) or True)
    return asked


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (("sheet", "0"), "5 of 5 images are in sheet.png\n"),
        (("sheet",), "10 of 10 images are in sheet.png\n"),
        (("sheet", "--representatives", "-o", "r.png"), "3 of 10 images are in r.png\n"),
        (("sheet", "--similar", "@3", "-k", "2"), "2 of 10 images are in sheet.png\n"),
        (("map",), "10 of 10 images are in map.png\n"),
        (("map", "map.svg"), "10 of 10 images are in map.svg\n"),
        (("map", "map.html", "--rebuild", "--seed", "3"), "10 of 10 images are in map.html\n"),
        (("report",), "10 of 10 images are in report.html\n"),
        (("report", "r.html", "--since", "1"), "10 of 10 images are in r.html\n"),
    ],
)
def test_what_was_drawn_is_said(clustered: Vecstore, arguments: tuple[str, ...], printed: str) -> None:
    done = clustered(*arguments)
    assert (done.exit_code, done.stdout, done.stderr) == (0, printed, "")
    file = Path(printed.split()[-1])
    beginning = {".png": b"\x89PNG", ".svg": b"<svg", ".html": b"<!do"}[file.suffix]
    assert file.read_bytes().startswith(beginning)


@pytest.mark.parametrize("name", ["sheet", "map", "report"])
def test_as_json_it_is_a_file(clustered: Vecstore, name: str) -> None:
    found = json.loads(clustered(name, "--json").stdout)
    assert list(found) == ["file", "images", "of"]
    assert Path(found["file"]).exists()


def test_an_elbow_can_be_an_svg(clustered: Vecstore) -> None:
    assert clustered("elbow", "curve.svg").exit_code == 0
    first = Path("curve.svg").read_bytes()
    assert b"<svg" in first
    clustered("elbow", "curve.svg")
    assert Path("curve.svg").read_bytes() == first


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here is always full")
@pytest.mark.parametrize(
    "arguments",
    [
        ("sheet", "-o", "a.png"),
        ("map", "a.png"),
        ("map", "a.svg"),
        ("map", "a.html"),
        ("report", "a.html"),
        ("elbow", "a.svg"),
    ],
)
def test_on_a_full_disk_the_file_is_named(clustered: Vecstore, arguments: tuple[str, ...]) -> None:
    Path(arguments[-1]).symlink_to("/dev/full")
    full = clustered(*arguments)
    assert full.exit_code == 1
    assert full.stderr.splitlines()[-1] == f"Error: No space left on device: {arguments[-1]}"


@pytest.mark.parametrize(
    "arguments", [("sheet", "-o", "a.jpg"), ("map", "a.gif"), ("elbow", "a.pdf"), ("report", "a.txt")]
)
def test_a_file_of_another_kind_is_refused(clustered: Vecstore, arguments: tuple[str, ...]) -> None:
    refused = clustered(*arguments)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "name a file that ends in" in refused.stderr
    assert not Path(arguments[-1]).exists()


def test_what_was_drawn_is_opened_when_asked_for(clustered: Vecstore, opened: list[str], tmp_path: Path) -> None:
    clustered("sheet", "0", "--open")
    clustered("map", "map.html", "--open")
    clustered("report")
    assert opened == [(tmp_path / name).as_uri() for name in ("sheet.png", "map.html")]


def test_where_nothing_can_open_it_a_line_says_so(clustered: Vecstore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    done = clustered("sheet", "0", "--open")
    assert done.exit_code == 1
    assert done.stderr == "Error: no program here shows sheet.png, which is written; open it yourself\n"


def test_a_picture_is_shown_in_the_terminal_when_asked_for(clustered: Vecstore) -> None:
    shown = clustered("sheet", "0", "--inline", "kitty")
    assert shown.stdout.startswith("5 of 5 images are in sheet.png\n\x1b_Ga=T")
    refused = clustered("map", "map.svg", "--inline", "kitty")
    assert (refused.exit_code, Path("map.svg").exists()) == (2, False)
    refused = clustered("map", "--inline", "kitty", "--json")
    assert (refused.exit_code, refused.stdout) == (2, "")


def test_an_empty_store_has_no_map_and_an_empty_report(clustered: Vecstore, pictures: Path) -> None:
    clustered("remove", pictures)
    refused = clustered("map")
    assert (refused.exit_code, refused.stderr) == (
        2,
        "Error: the store has no images to map; `vecstore add` some first\n",
    )
    assert clustered("report").exit_code == 0


def test_the_demo_draws_its_sheets_with_the_same_code(clustered: Vecstore, pictures: Path, tmp_path: Path) -> None:
    from cli.demo import _draw_results

    _draw_results(tmp_path, tmp_path / "store", pictures / "3.png")
    clustered("sheet", "--similar", pictures / "3.png", "-k", "6")
    assert (tmp_path / "similar.png").read_bytes() == (tmp_path / "sheet.png").read_bytes()
    clustered("sheet")
    assert (tmp_path / "clusters.png").read_bytes() == (tmp_path / "sheet.png").read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [
        ("sheet", "-o", "away/x.png"),
        ("map", "away/x.png"),
        ("elbow", "away/x.png"),
        ("report", "away/x.html"),
        ("export", "away/x.parquet"),
    ],
)
def test_a_file_in_a_folder_that_is_not_there_is_refused_with_what_to_do(
    arguments: tuple[str, ...], clustered: Vecstore
) -> None:
    done = clustered(*arguments)
    name = Path(arguments[-1]).name
    assert (done.exit_code, done.stderr) == (
        2,
        f"Error: away is no folder to write {name} to; make it, or name another\n",
    )
