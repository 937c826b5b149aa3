"""The command line: exit codes, stdout and stderr exactly, JSON keys, terminals, pipes and signals."""

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import filelock
import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

import vecstore
from cli.app import app
from tests.conftest import paint
from tests.programs import SLOWLY, command, environment, run_program, start_program
from vecstore.ingest import sync
from vecstore.storage import lock
from vecstore.store import Store

Vecstore = Callable[..., Result]
COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]


@pytest.fixture
def vecstore_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vecstore:
    """Run a command on the store in tmp_path, in this process."""
    monkeypatch.setenv("VECSTORE_STORE", str(tmp_path / "store"))
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def filled(vecstore_: Vecstore, pictures: Path) -> Vecstore:
    """The same, with the ten pictures in the store; a picture's row is its number."""
    assert vecstore_("add", pictures, "-e", "tiny").exit_code == 0
    return vecstore_


@pytest.fixture
def clustered(filled: Vecstore) -> Vecstore:
    assert filled("cluster", "-k", 3, "--restarts", 2).exit_code == 0
    return filled


def outcome(result: Result) -> tuple[int, str, str]:
    """Exit code, stdout and stderr, with every measured number of seconds and rate as a #."""
    printed = re.sub(r"\d+\.\d s", "# s", re.sub(r"[\d.]+ images/s", "# images/s", result.stdout))
    return result.exit_code, printed, result.stderr


# What is done


def test_an_add_says_what_it_did(vecstore_: Vecstore, pictures: Path) -> None:
    expected = "added 10, known 0, updated 0, failed 0 in # s, # images/s\n"
    assert outcome(vecstore_("add", pictures, "-e", "tiny")) == (0, expected, "")


def test_an_add_of_what_is_known_says_so_without_a_rate(filled: Vecstore, pictures: Path) -> None:
    assert outcome(filled("add", pictures)) == (0, "added 0, known 10, updated 0, failed 0 in # s\n", "")


def test_a_sync_says_what_it_forgot(filled: Vecstore, pictures: Path) -> None:
    (pictures / "3.png").unlink()
    expected = "added 0, known 9, updated 0, failed 0, forgotten 1 in # s\n"
    assert outcome(filled("sync", pictures)) == (0, expected, "")


def test_a_broken_picture_among_good_ones_is_told_and_no_error(vecstore_: Vecstore, pictures: Path) -> None:
    (pictures / "3.png").write_bytes(b"broken")
    assert outcome(vecstore_("add", pictures, "-e", "tiny")) == (
        0,
        "added 9, known 0, updated 0, failed 1 in # s, # images/s\n",
        "1 file could not be added; `vecstore failures` says why\n",
    )


def test_failures_are_listed_with_path_and_reason(filled: Vecstore, pictures: Path) -> None:
    (pictures / "new\n.png").write_bytes(b"")
    filled("add", pictures)
    assert outcome(filled("failures")) == (0, f"{pictures}/new\\n.png\tthe file is empty\n", "")


def test_no_failures_are_told_to_a_person_and_not_to_a_pipe(filled: Vecstore) -> None:
    assert outcome(filled("failures")) == (0, "", "no failures\n")


def test_a_retry_says_on_stderr_what_came_of_it(filled: Vecstore, pictures: Path) -> None:
    (pictures / "broken.png").write_bytes(b"")
    filled("add", pictures)
    (pictures / "broken.png").unlink()
    exit_code, stdout, stderr = outcome(filled("failures", "--retry"))
    assert (exit_code, stdout, re.sub(r"\d+\.\d s", "# s", stderr)) == (
        0,
        "",
        "added 0, known 0, updated 0, failed 0, forgotten 1 in # s\nno failures\n",
    )


def test_a_remove_says_what_is_gone(filled: Vecstore, pictures: Path) -> None:
    assert outcome(filled("remove", "@0", pictures / "deep")) == (0, "removed 6 images, forgot 6 paths\n", "")


def test_a_relocation_says_what_went_along_and_what_stays(filled: Vecstore, pictures: Path) -> None:
    new = pictures.rename(pictures.with_name("moved"))
    (new / "3.png").unlink()
    missing = (
        "left as they are: 1 path without a file at the new place, or with other content there: "
        f"{pictures}/3.png; `vecstore remove` forgets them\n"
    )
    said = f"relocated 9 paths from {pictures} to {new}\n"
    moves = "".join(f"{pictures}/{n}.png -> {new}/{n}.png\n" for n in (0, 1, 2, 4))
    moves += f"{pictures}/deep/5.png -> {new}/deep/5.png\n... and 4 more\n"
    assert outcome(filled("relocate", pictures, new, "--dry-run")) == (0, f"would have {said}", moves + missing)
    assert outcome(filled("relocate", pictures, new)) == (0, said, missing)
    none = (
        f"Error: cannot relocate {pictures} to {new}: of 1 path 0 are still at the old place, 1 are "
        "not at the new one or have other content there; nothing was changed\n"
    )
    assert outcome(filled("relocate", pictures, new)) == (1, "", none)


def test_an_add_of_a_moved_folder_names_the_next_step(filled: Vecstore, pictures: Path) -> None:
    new = pictures.rename(pictures.with_name("moved here"))
    told = (
        f"10 of these pictures are known from {pictures}, where they are gone: "
        f"`vecstore relocate {pictures} '{new}'` takes those paths along\n"
    )
    assert outcome(filled("add", new)) == (0, "added 0, known 10, updated 0, failed 0 in # s\n", told)


def test_files_that_are_gone_are_told_by_similar_and_info(filled: Vecstore, pictures: Path) -> None:
    (pictures / "deep").rename(pictures / "moved")
    step = (
        "are gone; if their folder moved: `vecstore relocate OLD NEW`; if they were deleted: `vecstore sync FOLDER`\n"
    )
    assert filled("similar", "@0").stderr == f"5 of the 10 files found {step}"
    assert filled("info").stderr == f"5 of the 10 files that were looked for {step}"
    assert (filled("similar", "@0", "-q").stderr, filled("info", "-q").stderr) == ("", "")


def test_results_in_a_pipe_are_tab_separated_lines(filled: Vecstore, pictures: Path, tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        expected = [f"{h.rank}\t{h.score:.4f}\t@{h.id}\t-\t{h.path}" for h in store.similar(4, k=3)]
    assert outcome(filled("similar", pictures / "4.png", "-k", 3)) == (0, "\n".join(expected) + "\n", "")


def test_nothing_that_fits_is_told_to_a_person_and_not_to_a_pipe(clustered: Vecstore) -> None:
    found = outcome(clustered("similar", "@0", "--cluster", 1, "--not-cluster", 1))
    assert found == (0, "", "nothing fits these conditions\n")


def test_clusters_members_and_which_agree_line_by_line(clustered: Vecstore, tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        expected = (
            [
                f"{c.cluster}\t{c.size}\t{c.cohesion:.4f}\t{c.separation:.4f}\t{c.nearest}\t-\t-"
                f"\t@{c.representative_id}\t{c.representative}"
                for c in store.clusters()
            ],
            [f"@{m.id}\t{m.distance:.4f}\t{m.path}" for m in store.members(1)],
            [f"{w.cluster}\t{w.distance:.4f}\t@{w.id}\t{w.path}" for w in store.which(2, 7)],
        )
    printed = [clustered(*arguments).stdout for arguments in (["clusters"], ["members", 1], ["which", "@2", "@7"])]
    assert tuple(text.splitlines() for text in printed) == expected


def test_a_clustering_says_what_it_is(filled: Vecstore) -> None:
    printed = outcome(filled("cluster", "-k", 3, "--restarts", 2, "--device", "cpu"))
    expected = r"clustering 1: 10 images in 3 clusters, objective \d+\.\d{4}, best of 2 runs on cpu in # s\n"
    assert (printed[0], bool(re.fullmatch(expected, printed[1])), printed[2]) == (0, True, "")


def test_a_second_clustering_says_what_became_of_the_first(clustered: Vecstore) -> None:
    printed = clustered("cluster", "-k", 3, "--restarts", 2).stdout.splitlines()
    assert printed[1:] == ["kept 3, split 0, merged 0, born 0, gone 0; 0 images moved"]


def test_the_history_is_a_clustering_a_line_and_going_back_is_said(clustered: Vecstore) -> None:
    clustered("cluster", "-k", 4, "--restarts", 2)
    back = outcome(clustered("cluster", "--use", 1))
    lines = [line.split("\t") for line in clustered("clusterings").stdout.splitlines()]
    assert [(line[:2], line[3:5], line[6:7], line[-5]) for line in lines] == [
        (["1", "yes"], ["3", "10"], ["-"], "3"),
        (["2", "no"], ["4", "10"], ["1"], lines[1][-5]),
    ]
    created = lines[0][2]
    assert back == (
        0,
        f"clustering 1 of {created} is current: 3 clusters\n0 images added since got their clusters\n",
        "",
    )


def test_a_cluster_is_named_and_listed_under_its_name(clustered: Vecstore) -> None:
    named = clustered("name", 1, "by the sea").stdout
    assert (named.split("\t")[0], named.split("\t")[6]) == ("1", "by the sea")
    assert named in clustered("clusters").stdout


def test_a_tree_is_walked_and_cut_line_by_line(clustered: Vecstore) -> None:
    made = clustered("cluster", "--tree", "2,4").stdout
    assert "a tree of 2 levels; `vecstore clusters --level 1` begins at the top\n" in made
    top = [line.split("\t") for line in clustered("clusters", "--level", "1").stdout.splitlines()]
    all_ = [line.split("\t") for line in clustered("clusters", "--depth", "2").stdout.splitlines()]
    below = [line.split("\t") for line in clustered("clusters", "--below", top[0][0]).stdout.splitlines()]
    assert [line[1] for line in all_] == ["1"] * 2 + ["2"] * 4
    assert [line[2] for line in below] == [top[0][0]] * int(top[0][3])
    assert len(clustered("clusters", "--cut", "3").stdout.splitlines()) == 3
    up = clustered("clusters", "--above", below[0][0]).stdout.splitlines()
    assert [line.split("\t") for line in up] == [top[0], below[0]]
    leaf = below[0][0]
    said = f"nothing below it has images; `vecstore members {leaf}` lists its own\n"
    assert outcome(clustered("clusters", "--below", leaf)) == (0, "", said)
    assert "a tree of 1 level; " in clustered("cluster", "--tree", "2").stdout


def test_a_doubtful_name_is_told_until_it_is_confirmed(clustered: Vecstore) -> None:
    clustered("cluster", "-k", "1")
    (all_,) = clustered("clusters").stdout.splitlines()
    number = all_.split("\t")[0]
    clustered("name", number, "all")
    told = clustered("cluster", "-k", "6").stdout
    assert f"'all' ({number}) kept " in told
    assert f"doubtful until confirmed: `vecstore name {number} --confirm`" in told
    listed = {line.split("\t")[0]: line.split("\t")[6:9] for line in clustered("clusters").stdout.splitlines()}
    assert (listed[number][0], listed[number][2]) == ("all", "yes")
    clustered("name", number, "--confirm")
    assert "yes" not in clustered("clusters").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cluster", "--tree", "20,400"), "a tree of 20,400 needs 400 images"),
        (("cluster", "--tree", "a"), "are not numbers of clusters"),
        (("cluster", "--tree", "2,3", "-k", "3"), "leave k, the warm start and `within` out"),
        (("clusters", "--level", "1", "--depth", "2"), "give one of them"),
        (("clusters", "--cut", "2", "--level", "1"), "each alone"),
        (("name", "0", "x", "--confirm"), "give CLUSTER alone with it"),
        (("name", "0", "--confirm"), "has no name to confirm"),
    ],
)
def test_a_tree_or_confirmation_that_cannot_be_is_wrong_use(
    arguments: tuple[str, ...], message: str, clustered: Vecstore
) -> None:
    result = clustered(*arguments)
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    assert message in result.stderr


def test_levels_of_what_is_no_tree_are_an_error_that_says_how_to_make_one(clustered: Vecstore) -> None:
    result = clustered("clusters", "--level", "1")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: the current clustering is not a tree; make one with `vecstore cluster --tree auto`\n",
    )


def test_an_explanation_names_the_neighbour_and_the_boundary(clustered: Vecstore) -> None:
    lines = clustered("explain", "0", "-k", "2").stdout.splitlines()
    assert lines[0].startswith("cluster 0: ")
    assert lines[1].startswith("beside cluster 1, ")
    assert any(line.startswith("found again in 10 samples") for line in lines)


def test_auto_chooses_k_and_says_why(filled: Vecstore, tmp_path: Path) -> None:
    curve = filled("elbow", tmp_path / "curve.png")
    reason = curve.stdout.splitlines()[0]
    assert (curve.exit_code, reason[:5], (tmp_path / "curve.png").stat().st_size > 1000) == (0, "k is ", True)
    assert curve.stdout.splitlines()[1] == f"the curve is in {tmp_path / 'curve.png'}"
    assert filled("cluster", "-k", "auto", "--restarts", 1).stdout.splitlines()[0] == reason
    found = json.loads(filled("elbow", tmp_path / "curve.png", "--json").stdout)
    assert list(found) == ["k", "reason", "knee", "silhouette_k", "images", "sampled", "curve", "stability", "file"]
    assert list(found["curve"][0]) == ["k", "loss", "silhouette"]


def test_without_k_it_is_chosen(filled: Vecstore) -> None:
    chosen = filled("cluster", "-k", "auto", "--restarts", 1).stdout.splitlines()[0]
    assert chosen.startswith("k is ")
    assert filled("cluster", "--restarts", 1).stdout.splitlines()[0] == chosen


def test_an_evaluation_says_how_well_and_which_are_wrong(clustered: Vecstore) -> None:
    found = json.loads(clustered("evaluate", "--json", "--neighbours", 2).stdout)
    keys = ["images", "k", "accuracy", "ari", "nmi", "neighbours", "precision", "classes", "wrong"]
    assert (list(found), found["images"], found["k"]) == (keys, 10, 3)
    printed = clustered("evaluate", "--neighbours", 2)
    assert [line.split("\t")[0] for line in printed.stdout.splitlines()] == ["deep", "pictures"]
    first, second = printed.stderr.splitlines()
    assert first.startswith(f"10 images in 3 clusters: accuracy {found['accuracy']:.4f}, ARI {found['ari']:.4f}, ")
    assert second == f"in the cluster of another label: {len(found['wrong'])} images; --wrong lists them"
    wrong = [json.loads(line) for line in clustered("evaluate", "--wrong", "--json").stdout.splitlines()]
    assert wrong == found["wrong"]


def test_folders_of_clusters_are_made_and_told(clustered: Vecstore, pictures: Path, tmp_path: Path) -> None:
    (pictures / "0.png").unlink()
    copied = outcome(clustered("members", "--copy-to", tmp_path / "out"))
    told = "left out 1 picture, gone or changed; sync the store\n"
    assert copied == (0, f"copied 9 pictures in 3 folders of {tmp_path / 'out'}\n", told)
    linked = json.loads(clustered("members", 1, "-k", 1, "--link-to", tmp_path / "links", "--json").stdout)
    assert (linked["folders"], linked["files"] + len(linked["missing"])) == (1, 1)


def test_drift_past_the_bound_is_told(clustered: Vecstore, tmp_path: Path) -> None:
    for seed in range(100, 110):
        paint(tmp_path / "far" / f"{seed}.png", seed)
    clustered("add", tmp_path / "far")
    advice = (
        "the images added since lie farther from their clusters (drift, docs/commands.md); run `vecstore cluster`\n"
    )
    assert ["recluster", "yes"] in [line.split() for line in clustered("info").stdout.splitlines()]
    assert (clustered("info").stderr, clustered("clusters").stderr, clustered("clusters", "-q").stderr) == (
        advice,
        advice,
        "",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("members",), "name a cluster to list (see `vecstore clusters`), or --copy-to or --link-to for all of them"),
        (
            ("members", "0", "--copy-to", "a", "--link-to", "b"),
            "pictures are copied, linked to or moved; give one of --copy-to, --link-to and --move-to",
        ),
        (
            ("cluster", "--use", "1", "-k", "2"),
            "--use goes back to a clustering and makes none; leave -k, --tree, --method and the others out",
        ),
    ],
)
def test_options_that_exclude_each_other_are_wrong_use(
    arguments: tuple[str, ...], message: str, clustered: Vecstore
) -> None:
    assert outcome(clustered(*arguments)) == (2, "", f"Error: {message}\n")


def test_info_is_a_field_a_line(filled: Vecstore, tmp_path: Path) -> None:
    lines = [line.split(maxsplit=1) for line in filled("info").stdout.splitlines()]
    assert [line for line in lines if line[0] not in ("query_ms", "bytes", "created")] == [
        ["store", str(tmp_path / "store")],
        ["images", "10"],
        ["paths", "10"],
        ["failures", "0"],
        ["dim", "12"],
        ["embedder", "tiny"],
        ["weights", "-"],
        ["precision", "-"],
        ["runtime", "-"],
        ["engine", "embedded"],
        ["index", "exact"],
        ["recall", "1.0000"],
        ["index_bytes", "0"],
        ["clusters", "-"],
        ["drift", "-"],
        ["recluster", "no"],
        ["paths_sampled", "10"],
        ["paths_missing", "0"],
    ]


def fields(printed: str) -> dict[str, str]:
    return dict(line.split(maxsplit=1) for line in printed.splitlines())


def test_an_index_says_what_it_is_a_field_a_line(filled: Vecstore) -> None:
    exit_code, stdout, stderr = outcome(filled("index"))
    assert (exit_code, {**fields(stdout), "query_ms": "#", "seconds": "#"}, stderr) == (
        0,
        {
            "index": "exact",
            "rows": "10",
            "recall": "1.0000",
            "target_recall": "0.9900",
            "index_bytes": "0",
            "query_ms": "#",
            "seconds": "#",
        },
        "",
    )


def test_what_is_said_of_the_index_holds_from_then_on(filled: Vecstore, pictures: Path, tmp_path: Path) -> None:
    said = filled("index", "--kind", "rabitq", "--target-recall", 0.5)
    found = fields(said.stdout)
    assert (said.exit_code, found["index"], found["rows"], found["target_recall"]) == (0, "rabitq", "10", "0.5000")
    assert int(found["index_bytes"]) == (tmp_path / "store/index.faiss").stat().st_size
    assert fields(filled("info").stdout)["index"] == "rabitq"
    assert fields(filled("index", "--rebuild").stdout)["target_recall"] == "0.5000"
    assert fields(filled("index", "--kind", "auto", "--memory-budget", 100).stdout)["index"] == "exact"
    assert not (tmp_path / "store/index.faiss").exists()


def test_a_damaged_index_is_one_line_on_stderr_and_no_wrong_answer(filled: Vecstore, tmp_path: Path) -> None:
    expected = filled("similar", "@4", "-k", 3).stdout
    filled("index", "--kind", "rabitq")
    (tmp_path / "store/index.faiss").write_bytes(b"damaged")
    asked = run_program("similar", "@4", "-k", "3", "--store", tmp_path / "store")
    assert (asked.returncode, asked.stdout, asked.stderr) == (
        0,
        expected,
        f"the index {tmp_path}/store/index.faiss is not used: its end is missing; every vector is compared instead, "
        "until the next add or `vecstore index` rebuilds it\n",
    )
    mended = run_program("index", "--store", tmp_path / "store")
    assert (mended.returncode, mended.stderr) == (
        0,
        f"the index {tmp_path}/store/index.faiss is rebuilt: its end is missing\n",
    )
    assert run_program("similar", "@4", "-k", "3", "--store", tmp_path / "store").stderr == ""


def test_the_version_is_printed_with_the_machine_where_more_is_asked_for(vecstore_: Vecstore) -> None:
    exit_code, printed, stderr = outcome(vecstore_("--version", "-v"))
    names = [line.split()[0] for line in printed.splitlines()]
    assert (exit_code, names[:6], stderr) == (0, ["vecstore", "python", "system", "cpu", "gpu", "sqlite"], "")
    assert {"torch", "onnxruntime", "extras"} <= set(names)
    assert vecstore_("-v", "--version").stdout == printed


def test_the_version_is_printed(vecstore_: Vecstore) -> None:
    assert outcome(vecstore_("--version")) == (0, f"vecstore {vecstore.__version__}\n", "")


# What is refused


def test_a_path_that_is_not_there_is_an_error(vecstore_: Vecstore, tmp_path: Path) -> None:
    expected = f"Error: no file or folder at {tmp_path}/gone; nothing was done\n"
    assert outcome(vecstore_("add", tmp_path / "gone", "-e", "tiny")) == (1, "", expected)


@pytest.mark.parametrize("name", ["add", "sync"])
def test_an_empty_folder_is_an_error(name: str, vecstore_: Vecstore, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    expected = f"Error: no pictures under {tmp_path}/empty; name a folder that holds some, or the files themselves\n"
    assert outcome(vecstore_(name, tmp_path / "empty", "-e", "tiny")) == (1, "", expected)


def test_an_add_of_nothing_but_broken_pictures_is_an_error(vecstore_: Vecstore, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"broken")
    expected = f"Error: no file could be added, 1 failed; `vecstore failures --store {tmp_path}/store` says why\n"
    assert outcome(vecstore_("add", tmp_path / "broken.png", "-e", "tiny")) == (1, "", expected)


def test_another_embedder_is_wrong_use(filled: Vecstore, pictures: Path, tmp_path: Path) -> None:
    expected = (
        f"Error: the store {tmp_path}/store was made with tiny, not hsv; leave --embedder out, "
        "or use another store for the other embedder\n"
    )
    assert outcome(filled("add", pictures, "-e", "hsv")) == (2, "", expected)


def test_an_unknown_embedder_is_wrong_use(vecstore_: Vecstore, pictures: Path) -> None:
    exit_code, stdout, stderr = outcome(vecstore_("add", pictures, "-e", "nonsense"))
    assert (exit_code, stdout, stderr.startswith("Error: no embedder is called 'nonsense'; there are ")) == (
        2,
        "",
        True,
    )


def test_an_unknown_device_is_wrong_use(filled: Vecstore) -> None:
    expected = "Error: no device is called 'tpu'; choose one of auto, cpu, cuda, cuda:N\n"
    assert outcome(filled("similar", "@0", "--device", "tpu")) == (2, "", expected)


def test_more_clusters_than_images_are_wrong_use(filled: Vecstore) -> None:
    expected = "Error: k is 11, but the store has 10 images; choose -k from 1 to 10\n"
    assert outcome(filled("cluster", "-k", 11)) == (2, "", expected)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--kind", "hnsw", "no kind of index is called 'hnsw'; choose auto, exact, rabitq or pq"),
        ("--target-recall", "0", "the target recall is 0; it must be above 0 and at most 1"),
        ("--target-recall", "nan", "the target recall is nan; it must be above 0 and at most 1"),
    ],
)
def test_an_index_that_there_is_not_is_wrong_use(option: str, value: str, message: str, filled: Vecstore) -> None:
    assert outcome(filled("index", option, value)) == (2, "", f"Error: {message}\n")


def test_an_index_that_finds_no_room_is_an_error(filled: Vecstore, monkeypatch: pytest.MonkeyPatch) -> None:
    from indexes import compressed

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compressed, "_write", full)
    assert outcome(filled("index", "--kind", "rabitq")) == (1, "", "Error: No space left on device\n")


def test_an_id_that_is_not_there_is_an_error(filled: Vecstore, tmp_path: Path) -> None:
    code, out, error = outcome(filled("similar", "@99"))
    assert (code, out) == (1, "")
    assert error.startswith(f"Error: no image @99 in the store {tmp_path}/store; ids are below 10")
    assert error.count("\n") == 1


def test_what_is_no_id_is_wrong_use(filled: Vecstore) -> None:
    expected = "Error: '@x' is not an image id; an id is @ and a number, such as @12 (for a file of that name: ./@x)\n"
    assert outcome(filled("similar", "@x")) == (2, "", expected)


def test_a_cluster_that_is_not_there_is_an_error(clustered: Vecstore) -> None:
    expected = "Error: no cluster 9 in the current clustering; there are 0, 1, 2\n"
    assert outcome(clustered("members", 9)) == (1, "", expected)


@pytest.mark.parametrize("arguments", [("clusters",), ("members", "0"), ("which", "@0"), ("outliers",)])
def test_clusters_that_were_never_made_are_an_error(
    arguments: tuple[str, ...], filled: Vecstore, tmp_path: Path
) -> None:
    expected = f"Error: the store {tmp_path}/store has no clusters yet; make some with `vecstore cluster -k N`\n"
    assert outcome(filled(*arguments)) == (1, "", expected)


@pytest.mark.parametrize(
    "arguments",
    [
        *[("similar", "@0"), ("remove", "@0"), ("failures",), ("cluster", "-k", "2")],
        *[("clusters",), ("members", "0"), ("which", "@0"), ("index",), ("info",)],
        *[("similar", "--all"), ("duplicates",), ("outliers",), ("check",), ("check", "--repair"), ("compact",)],
        *[("backup", "copy"), ("export", "all.npy"), ("undo",), ("undo", "--list")],
    ],
)
def test_a_store_that_is_not_there_is_an_error(arguments: tuple[str, ...], vecstore_: Vecstore, tmp_path: Path) -> None:
    expected = f"Error: no store at {tmp_path}/store; create one with `vecstore add FOLDER --store {tmp_path}/store`\n"
    assert outcome(vecstore_(*arguments)) == (1, "", expected)


def test_a_second_writer_is_an_error(
    filled: Vecstore, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "LOCK_TIMEOUT_SECONDS", 0.05)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with filelock.FileLock(tmp_path / "store/lock"):
            held.set()
            done.wait()

    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    found = outcome(filled("add", pictures))
    done.set()
    other.join()
    expected = (
        f"Error: another process is writing to the store {tmp_path}/store; "
        "nothing was done: try again when it has ended\n"
    )
    assert found == (1, "", expected)


def test_a_store_of_a_newer_format_needs_attention(filled: Vecstore, tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        store.session.catalog.db.execute("pragma user_version = 99")
    exit_code, stdout, stderr = outcome(filled("info"))
    assert (exit_code, stdout, stderr.endswith(": upgrade vecstore to use this store\n")) == (3, "", True)


def test_a_damaged_store_needs_attention(filled: Vecstore, tmp_path: Path) -> None:
    os.truncate(tmp_path / "store/vectors.f16", 100)
    expected = (
        f"Error: {tmp_path}/store/vectors.f16 holds 4 of the 10 vectors that the catalog counts; "
        "`vecstore check --repair` embeds what is missing again, or restore the store from a backup\n"
    )
    assert outcome(filled("similar", "@0")) == (3, "", expected)


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("similar",),
        ("similar", "@0", "-k", "0"),
        ("cluster", "-k", "0"),
        ("index", "--memory-budget", "-1"),
        ("similar", "@0", "--min-score", "nan"),
    ],
)
def test_what_cannot_be_parsed_is_wrong_use(arguments: tuple[str, ...], filled: Vecstore) -> None:
    result = filled(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(r"Error: .* \(see `vecstore .*--help`\)\n", result.stderr)


@pytest.mark.parametrize(("value", "said"), [("nan", "a number"), ("-inf", "a number"), ("2", "at most 1")])
def test_of_what_is_no_number_no_bound_is_said(value: str, said: str, filled: Vecstore) -> None:
    refused = filled("similar", "@0", "--min-score", value)
    expected = f"Error: invalid value for '--min-score': give {said} (see `vecstore similar --help`)\n"
    assert refused.stderr == expected


def test_a_picture_comes_from_standard_input(filled: Vecstore, pictures: Path) -> None:
    stored = json.loads(filled("similar", "@3", "-k", "1", "--json").stdout)
    sent = CliRunner().invoke(app, ["similar", "-", "-k", "1", "--json"], input=Path(stored["path"]).read_bytes())
    assert json.loads(sent.stdout) == stored
    for content, said in ((b"", "standard input is empty"), (b"no picture", "not a picture")):
        refused = CliRunner().invoke(app, ["similar", "-"], input=content)
        assert (refused.exit_code, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
        assert said in refused.stderr


@pytest.mark.parametrize("k", [("-k", "2"), ()])
def test_more_principal_components_than_there_are_are_wrong_use(k: tuple[str, ...], filled: Vecstore) -> None:
    refused = filled("cluster", *k, "--pca", "11")
    assert refused.exit_code == 2
    assert re.match(r"Error: pca is 11, but 10 images with vectors of \d+ numbers have at most", refused.stderr)
    assert refused.stderr.count("\n") == 1


def test_an_error_that_nobody_foresaw_keeps_its_traceback(filled: Vecstore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Store) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Store, "info", fail)
    assert isinstance(filled("info").exception, ZeroDivisionError)


def test_findings_are_told_a_line_each_and_need_attention(filled: Vecstore, tmp_path: Path) -> None:
    with open(tmp_path / "store/vectors.f16", "r+b") as file:
        file.write(b"\xff\xff")
    expected = "vector\t@0\tits vector is damaged: its checksum is not the recorded one\tyes\t{}\n"
    error = f"Error: 1 things are wrong with the store {tmp_path}/store; `vecstore check --repair` can mend 1 of them\n"
    assert outcome(filled("check")) == (3, expected.format("no"), error)
    assert outcome(filled("check", "--repair")) == (0, expected.format("yes"), "")
    assert outcome(filled("check")) == (0, "", "the store is whole\n")


def test_an_unforeseen_error_in_a_damaged_store_is_told_as_the_damage(
    filled: Vecstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Store) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Store, "info", fail)
    with open(tmp_path / "store/vectors.f16", "r+b") as file:
        file.write(b"\xff\xff")
    expected = (
        f"Error: the store {tmp_path}/store is damaged: @0: its vector is damaged: its checksum is not the recorded "
        "one; run `vecstore check`\n"
    )
    assert outcome(filled("info")) == (3, "", expected)


def test_an_undo_says_what_it_undid(filled: Vecstore) -> None:
    filled("remove", "@3", "@4")
    done = re.sub(r"\d{4}-\S+Z", "then", filled("undo").stdout)
    assert done == "undid remove of then: @3, @4\nforgot 0 paths, restored 2\n"
    assert outcome(filled("undo", "--redo"))[0] == 0
    assert fields(filled("info").stdout)["images"] == "8"


# Logs


def test_a_log_is_json_lines_of_what_was_done(filled: Vecstore, pictures: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    paint(pictures / "new.png", 99)
    filled("--log-file", log, "add", pictures)
    filled("--log-file", log, "similar", "@99")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    told = [(line["logger"], line["message"]) for line in lines]
    assert ("vecstore.ingest.pipeline", "committed 1 files, 1 of them new") in told
    assert lines[-1]["fields"] == {"exit_code": 1}
    assert lines[-1]["message"].startswith("no image @99 in the store")


def test_a_log_keeps_the_traceback_of_an_error_that_nobody_foresaw(
    filled: Vecstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Store) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Store, "info", fail)
    filled("--log-file", tmp_path / "log.jsonl", "info")
    last = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert "ZeroDivisionError" in last["exception"]


def test_a_log_that_cannot_be_written_is_wrong_use(filled: Vecstore, tmp_path: Path) -> None:
    expected = (
        f"Error: the log {tmp_path}/no/log cannot be written: No such file or directory; name another --log-file\n"
    )
    assert outcome(filled("--log-file", tmp_path / "no/log", "info")) == (2, "", expected)


def test_without_a_log_and_verbose_nothing_more_is_said(filled: Vecstore) -> None:
    assert (filled("info").stderr, "vecstore" in filled("-v", "info").stderr) == ("", True)


def test_a_writer_that_waits_says_so_once(filled: Vecstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "SAY_SO_SECONDS", 0.05)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with filelock.FileLock(tmp_path / "store/lock"):
            held.set()
            done.wait()

    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    threading.Timer(1.5, done.set).start()
    found = outcome(filled("--wait", "30", "remove", "@3"))
    other.join()
    told = f"another process is writing to the store {tmp_path}/store; waiting for it, up to 30 s\n"
    assert found == (0, "removed 1 image, forgot 1 path\n", told)


def test_no_command_opens_a_connection(pictures: Path, tmp_path: Path) -> None:
    watch = (
        "import sys\n"
        "def watch(event, arguments):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo', 'socket.sendto'):\n"
        "        raise RuntimeError(f'{event} {arguments}')\n"
        "sys.addaudithook(watch)"
    )
    for arguments in (["add", pictures, "-e", "hsv"], ["similar", "@0"], ["cluster", "-k", "2", "--restarts", "1"]):
        done = run_program(*arguments, "--store", tmp_path / "store", prelude=watch)
        assert (done.returncode, done.stderr) == (0, "")


# JSON

REPORT = {"added", "known", "updated", "failed", "seconds", "images_per_second"}
KEYS = {
    ("add", "pictures"): REPORT,
    ("sync", "pictures"): {*REPORT, "forgotten"},
    ("relocate", "pictures", "elsewhere"): {"relocated", "missing"},
    ("remove", "@9"): {"removed"},
    ("failures",): {"path", "reason"},
    ("similar", "@0"): {"rank", "id", "score", "path", "cluster"},
    ("similar", "--all"): {"query", "rank", "id", "score", "path", "cluster"},
    ("duplicates", "--min-score", "-1", "--series"): {
        *("group", "kind", "relation", "confidence", "score", "id", "path", "keep", "pixels", "bytes")
    },
    ("outliers",): {"id", "path", "distance"},
    ("cluster", "-k", "2", "--restarts", "2"): {"clustering", "k", "rows", "objective", "seconds", "device"},
    ("clusters",): {"cluster", "name", "size", "cohesion", "representative"},
    ("cluster", "--tree", "2,3"): {"clustering", "k", "names"},
    ("explain", "0"): {"cluster", "name", "size", "stability", "samples", "neighbours", "leaving"},
    ("members", "0"): {"id", "path", "distance"},
    ("which", "@0", "@1"): {"path", "id", "cluster", "distance"},
    ("select", "a", "@0"): {"name", "added", "removed", "images"},
    ("move", "@0", "--to", "new"): {"clustering", "cluster", "moved", "pinned"},
    ("merge", "0", "1"): {"clustering", "k", "kept", "merged", "gone", "moved", "k_reason"},
    ("pin", "@0"): {"id", "cluster", "path"},
    ("index",): {"index", "rows", "recall", "target_recall", "index_bytes", "query_ms", "seconds"},
    ("undo", "--list"): {"operation", "kind", "what", "began", "undone"},
    ("undo",): {"operation", "kind", "what", "began", "undone", "forgotten", "restored", "lost"},
    ("compact",): {"images", "bytes_before", "bytes_after", "seconds"},
    ("backup", "copy"): {"folder", "images", "vectors", "bytes", "seconds"},
    ("export", "all.parquet"): {"file", "paths", "images", "rows", "bytes"},
    ("info",): {
        *{"images", "paths", "dim", "embedder", "index", "recall", "index_bytes", "query_ms", "clusters", "drift"},
        *("bytes", "paths_sampled", "paths_missing"),
    },
}


@pytest.mark.parametrize("arguments", KEYS, ids=lambda arguments: " ".join(arguments[:2]))
def test_every_line_of_json_has_the_keys_of_the_contract(
    arguments: tuple[str, ...], clustered: Vecstore, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pictures / "broken.png").write_bytes(b"")
    clustered("add", pictures)
    monkeypatch.chdir(pictures.parent)
    if arguments[0] == "relocate":
        pictures.rename("elsewhere")
    result = clustered(*arguments, "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    missing = [KEYS[arguments] - line.keys() for line in lines]
    assert (result.exit_code, bool(lines), [keys for keys in missing if keys]) == (0, True, [])


def test_a_name_that_is_no_text_survives_json(vecstore_: Vecstore, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path / "pictures") + b'/\xff\n".png'
    os.rename(paint(tmp_path / "pictures/a.png", 0), name)
    vecstore_("add", tmp_path / "pictures", "-e", "tiny")
    printed = vecstore_("similar", "@0", "--json").stdout
    assert [os.fsencode(json.loads(line)["path"]) for line in printed.splitlines()] == [name]


# Options


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example(name: str, vecstore_: Vecstore) -> None:
    assert f"Example: vecstore {name}" in vecstore_(name, "--help").stdout


@pytest.mark.parametrize("option", ["--store", "--json", "--device", "-q"])
@pytest.mark.parametrize(
    "name", [name for name in COMMANDS if name not in ("demo", "plan", "embedders", "mcp", "migrate")]
)
def test_every_command_takes_the_common_options(name: str, option: str) -> None:
    found = get_command(app).commands[name].params  # type: ignore[attr-defined]
    assert option in {spelling for parameter in found for spelling in parameter.opts}


def test_no_arguments_print_the_help(vecstore_: Vecstore) -> None:
    result = vecstore_()
    assert "Usage:" in result.stdout + result.stderr


def test_quiet_says_nothing_on_stderr(vecstore_: Vecstore, pictures: Path) -> None:
    (pictures / "3.png").write_bytes(b"broken")
    exit_code, _, stderr = outcome(vecstore_("add", pictures, "-e", "tiny", "-q"))
    assert (exit_code, stderr) == (0, "")


def test_an_option_goes_before_the_environment(filled: Vecstore, tmp_path: Path) -> None:
    expected = f"Error: no store at {tmp_path}/b; create one with `vecstore add FOLDER --store {tmp_path}/b`\n"
    assert outcome(filled("info", "--store", tmp_path / "b")) == (1, "", expected)


def test_the_store_of_the_environment_is_used_by_the_program(pictures: Path, tmp_path: Path) -> None:
    env = environment(VECSTORE_STORE=str(tmp_path / "elsewhere"))
    done = run_program("add", pictures, "-e", "hsv", "-q", env=env)
    assert (done.returncode, done.stderr, (tmp_path / "elsewhere/catalog.sqlite").exists()) == (0, "", True)


# Terminals and pipes


def on_a_terminal(*arguments: str | Path) -> str:
    """What the program prints on a terminal of 200 columns, without colours."""
    leader, follower = os.openpty()
    process = subprocess.Popen(
        command(*arguments), env=environment(COLUMNS="200", TERM="xterm"), stdout=follower, stderr=subprocess.DEVNULL
    )
    os.close(follower)
    printed = read_terminal(leader)
    assert process.wait(30) == 0
    return printed


def read_terminal(leader: int) -> str:
    """What is printed on a terminal until nobody has it open any more, without colours."""
    printed = b""
    while True:
        try:
            block = os.read(leader, 4096)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if not block:
            break
        printed += block
    os.close(leader)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", printed.decode())


def test_results_on_a_terminal_are_a_table(tmp_path: Path) -> None:
    paint(tmp_path / "p/[bold]a.png", 0)
    run_program("add", tmp_path / "p", "-e", "hsv", "--store", tmp_path / "store")
    lines = on_a_terminal("similar", "@0", "--store", tmp_path / "store").splitlines()
    assert [line.split() for line in lines] == [
        ["rank", "score", "id", "cluster", "path"],
        ["1", "1.0000", "@0", "-", f"{tmp_path}/p/[bold]a.png"],
    ]


@pytest.mark.parametrize("more", [[], ["--watch"]])
def test_progress_on_a_terminal_has_count_rate_and_remaining_time(
    pictures: Path, tmp_path: Path, more: list[str]
) -> None:
    leader, follower = os.openpty()
    process = subprocess.Popen(
        command("sync", pictures, *more, "-e", "hsv", "-s", tmp_path / "store", prelude=SLOWLY),
        env=environment(COLUMNS="200", TERM="xterm"),
        stdout=subprocess.PIPE,
        stderr=follower,
        text=True,
    )
    os.close(follower)
    with ThreadPoolExecutor(1) as reader, process:
        bar = reader.submit(read_terminal, leader)  # at once: a terminal holds 4 KB that nobody reads
        assert process.stdout is not None
        printed = process.stdout.readline()
        process.terminate()
    assert printed.startswith("added 10, ")
    assert re.search(r"files .* 10/10 \d+\.\d/s 0:00:00", bar.result()) is not None


def test_watching_and_a_dry_run_exclude_each_other(vecstore_: Vecstore, pictures: Path) -> None:
    expected = "Error: --dry-run does nothing and --watch keeps on doing it; leave one of them out\n"
    assert outcome(vecstore_("sync", pictures, "-e", "tiny", "--dry-run", "--watch")) == (2, "", expected)


def test_a_reader_that_stops_reading_is_no_crash(pictures: Path, tmp_path: Path) -> None:
    run_program("add", pictures, "-e", "hsv", "--store", tmp_path / "store")
    process = start_program("similar", "@0", "--store", tmp_path / "store")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    stderr = process.stderr.read()
    process.stderr.close()
    process.wait(30)
    assert stderr == ""


# Signals


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    for seed in range(300):
        paint(folder / f"{seed:03}.png", seed)
    return folder


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_add_exits_130_and_keeps_what_is_embedded(
    sent: signal.Signals, many: Path, tmp_path: Path
) -> None:
    process = start_program("add", many, "-e", "hsv", "--store", tmp_path / "store", prelude=SLOWLY)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    vectors = tmp_path / "store/vectors.f16"
    while not (vectors.exists() and vectors.stat().st_size):
        assert process.poll() is None
    process.send_signal(sent)
    stdout, stderr = process.communicate(timeout=30)
    with Store.open(tmp_path / "store") as store:
        kept = store.info().images
    assert (process.returncode, stdout, stderr, 0 < kept < 300) == (
        130,
        "",
        f"Error: interrupted; {kept} files are done and safe in the store; "
        "run the same command again to go on from there\n",
        True,
    )


def test_the_run_after_an_interrupted_one_completes_it(many: Path, tmp_path: Path) -> None:
    process = start_program("add", many, "-e", "hsv", "--store", tmp_path / "store", prelude=SLOWLY)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    run_program("add", many, "--store", tmp_path / "store")
    with Store.open(tmp_path / "store") as store:
        assert (store.info().images, store.info().paths, store.session.catalog.images.row_count()) == (300, 300, 300)


def test_what_is_said_of_an_interruption_after_a_commit_is_true(filled: Vecstore, pictures: Path) -> None:
    # Ctrl-C while a sync looks for what is gone: what it added before is already committed.
    paint(pictures / "new.png", 99)

    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sync, "_gone", interrupt)
        result = filled("sync", pictures)
    images = json.loads(filled("info", "--json").stdout)["images"]
    assert images == 11  # what makes it untrue
    assert "the store is as it was before" not in result.stderr


def test_an_interruption_of_any_command_exits_130(filled: Vecstore) -> None:
    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "info", interrupt)
        assert outcome(filled("info"))[:2] == (130, "")


def test_every_store_command_leaves_the_pictures_alone(clustered: Vecstore, pictures: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in pictures.rglob("*")}
    for arguments in (
        ["similar", "@0"],
        ["duplicates"],
        ["sync", pictures],
        ["remove", pictures / "deep"],
        ["cluster", "-k", 2],
    ):
        clustered(*arguments)
    assert {path: path.stat().st_mtime_ns for path in pictures.rglob("*")} == before
