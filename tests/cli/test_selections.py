"""The commands for selections and for clusters by hand: what they print, and what they refuse in one line."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app
from tests.cli.test_commands import Vecstore, clustered, filled, outcome, vecstore_

__all__ = ["clustered", "filled", "vecstore_"]  # fixtures
pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_selection_is_made_listed_and_deleted(filled: Vecstore, pictures: Path) -> None:
    assert outcome(filled("select", "a b", "@1", pictures / "2.png")) == (0, "put 2 images into 'a b'; it has 2\n", "")
    assert outcome(filled("select", "a b", "@2", "--remove")) == (
        0,
        "put 0 images into 'a b', took 1 out; it has 1\n",
        "",
    )
    assert outcome(filled("select", "a b")) == (0, f"@1\t{pictures}/1.png\n", "")
    assert outcome(filled("select", "a b", "-0")) == (0, f"{pictures}/1.png\0", "")
    assert filled("selections").stdout.startswith("a b\t1\t")
    deleted = "deleted 'a b', which had 1 images; `vecstore undo` brings it back\n"
    assert outcome(filled("select", "a b", "--delete")) == (0, deleted, "")
    empty = "no selections yet; make one with `vecstore select NAME IMAGE...`\n"
    assert outcome(filled("selections")) == (0, "", empty)


def test_a_list_on_standard_input_is_taken(filled: Vecstore, pictures: Path) -> None:
    found = CliRunner().invoke(app, ["select", "a", "-"], input=f"@3\n{pictures}/4.png\n")
    assert outcome(found) == (0, "put 2 images into 'a'; it has 2\n", "")
    nothing = CliRunner().invoke(app, ["select", "a", "-"], input="")
    assert outcome(nothing) == (0, "", "the list names no images; nothing was changed\n")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (["similar", "@0", "-k", "3"], 3),
        (["similar", "@0", "-k", "3", "--path", "deep/"], 3),
        (["members", "0", "-k", "1"], 1),
        (["outliers", "-k", "2"], 2),
    ],
)
def test_what_is_found_goes_into_a_selection(query: list[str], found: int, clustered: Vecstore) -> None:
    result = clustered(*query, "--into", "found", "--json")
    printed = [json.loads(line) for line in result.stdout.splitlines()]
    ids = {line["id"] for line in printed if line.get("kind", "near") == "near"}
    listed = [json.loads(line)["id"] for line in clustered("select", "found", "--json").stdout.splitlines()]
    assert (result.exit_code, len(ids), listed) == (0, found, sorted(ids))
    noun = "image" if found == 1 else "images"
    assert f"put {found} {noun} into the selection 'found', which has {found}\n" in result.stderr


def test_a_cluster_is_meant_by_its_name_everywhere(clustered: Vecstore, tmp_path: Path) -> None:
    clustered("name", 0, "Pets & flowers")
    expected = clustered("members", 0).stdout
    assert clustered("members", "pets & FLOWERS").stdout == expected
    for arguments in (
        ["similar", "@0", "--cluster", "Pets & flowers"],
        ["similar", "@0", "--not-cluster", "Pets & flowers"],
        ["sheet", "Pets & flowers", "-o", tmp_path / "a.png"],
        ["members", "Pets & flowers", "--link-to", tmp_path / "links"],
        ["elbow", tmp_path / "a.svg", "--within", "Pets & flowers", "--max-k", "2"],
        ["move", "@0", "--to", "Pets & flowers"],
        ["split", "Pets & flowers"],
        ["merge", "Pets & flowers", "1"],
        ["cluster", "-k", "2", "--within", "Pets & flowers", "--restarts", "1"],
        ["name", "Pets & flowers", "Animals"],
    ):
        assert (arguments, clustered(*arguments).exit_code) == (arguments, 0)
    assert "Animals" in clustered("clusters").stdout


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["select", "", "@1"], 2, "the name of the selection is empty; give it one, such as holiday"),
        (["select", "a", "--delete"], 1, "no selection 'a'; there are 'holiday'"),
        (["select", "holday"], 1, "no selection 'holday'; did you mean 'holiday'?"),
        (
            *(["select", "a", "@1", "--delete"], 2),
            "a selection is changed, deleted, exported, written or listed; ask for one of them at a time",
        ),
        (["select", "a", "--link"], 2, "--link is for the folder of --export; name it, or leave --link out"),
        (
            *(["select", "holiday", "--export", "/nowhere/at/all/a.txt"], 2),
            "/nowhere/at/all is no folder to write a.txt to; make it, or name another",
        ),
        (["similar", "@1", "--in", "b"], 1, "no selection 'b'; there are 'holiday'"),
        (["members", "nothing"], 1, "no cluster 'nothing' in the current clustering; there are 0, 1, 2"),
        (["name", "0", "7"], 2, "'7' is a number, and would be taken for a cluster's id; add a word to it"),
        (["move", "@1", "--to", "7"], 1, "no cluster 7 in the current clustering; there are 0, 1, 2"),
        (["merge", "1", "1"], 2, "cluster 1 is named twice, and cannot be merged with itself"),
        (["merge", "1"], 2, "name two or more clusters to merge; the first keeps its id and its name"),
    ],
    ids=str,
)
def test_what_cannot_be_is_one_line(arguments: list[str], exit_code: int, message: str, clustered: Vecstore) -> None:
    clustered("select", "holiday", "@1")
    assert outcome(clustered(*arguments)) == (exit_code, "", f"Error: {message}\n")


def test_what_became_of_sidecars_is_told(filled: Vecstore, pictures: Path) -> None:
    (pictures / "1.png.xmp").write_text("mine")
    (pictures / "2.png").unlink()
    filled("select", "a", "@0", "@1", "@2")
    code, stdout, stderr = outcome(filled("select", "a", "--write-xmp"))
    assert (code, stdout) == (0, "wrote 1 sidecars, 0 had the keywords already\n")
    assert stderr.splitlines() == [
        "without a sidecar: 1 picture, gone or changed; sync the store",
        f"{pictures}/1.png.xmp was left as it is: it is not XML: syntax error: line 1, column 0",
    ]
