"""Questions to a store: conditions, the k-NN graph, duplicates and outliers. The oracle is NumPy over the file."""

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from cli.app import app
from tests.conftest import TinyEmbedder, paint
from tests.programs import start_program
from vecstore.embedders.embedder import unit_rows
from vecstore.errors import BadInput, NotFound
from vecstore.results import Duplicate, Edge
from vecstore.search.filters import moment, path_test
from vecstore.store import Store

OpenStore = Callable[..., Store]
ADDED = ["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"]


def rows_of(store: Store, dim: int = 12) -> NDArray[np.float64]:
    """All vectors as the file on disk has them, at length 1."""
    rows = np.fromfile(store.path / "vectors.f16", "<f2").reshape(-1, dim).astype(np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def filled(open_store: OpenStore, pictures: Path) -> Store:
    """A store of the ten pictures; a picture's row is its number, 5 to 9 are in the folder `deep`."""
    with open_store() as store:
        store.add(pictures)
    return open_store(create=False)


@pytest.fixture
def clustered(filled: Store) -> Store:
    filled.cluster(3, seed=1, restarts=5)
    return filled


# Filter


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """120 imported vectors in four clusters, at one to three paths each, of three months; every seventh is removed."""
    folder = tmp_path_factory.mktemp("mixed")
    vectors = np.random.default_rng(0).standard_normal((120, 12)).astype(np.float32)
    np.save(folder / "vectors.npy", vectors)
    (folder / "paths.txt").write_text("".join(f"/p/{i % 5}/{i}.png\n" for i in range(120)))
    with Store.open(folder / "store", create=True) as store:
        store.import_vectors(folder / "vectors.npy", folder / "paths.txt")
        store.cluster(4, restarts=1)
        with store.session.catalog.writing() as db:
            for row in range(120):
                db.execute("update images set added = ? where row = ?", (ADDED[row % 3], row))
                for copy in range(row % 3):
                    db.execute("insert into paths values (?, ?, 0, 0, 0)", (b"/copies/%d/%d.jpg" % (copy, row), row))
        store.remove(*range(0, 120, 7))
        yield store


clusters = st.one_of(st.none(), st.integers(0, 3))
globs = st.sampled_from([None, "*.png", "/p/2", "3/*", "**/1?.png", "/copies/0/*", "nothing", "1*"])
times = st.sampled_from([None, *ADDED, "2030-01-01", "2020-01-01"])


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    row=st.integers(0, 119).filter(lambda row: row % 7),
    k=st.integers(1, 130),
    cluster=clusters,
    not_cluster=clusters,
    glob=globs,
    after=times,
    least=st.one_of(st.none(), st.floats(-1, 1)),
    exact=st.booleans(),
)
def test_any_conditions_give_what_brute_force_gives(
    mixed: Store,
    row: int,
    k: int,
    cluster: int | None,
    not_cluster: int | None,
    glob: str | None,
    after: str | None,
    least: float | None,
    exact: bool,
) -> None:
    in_cluster = {r: mixed.session.catalog.memberships.cluster_of(r)[0] for r in range(120)}  # type: ignore[index]

    def fits(r: int) -> bool:
        return (
            r % 7 != 0
            and cluster in (None, in_cluster[r])
            and not_cluster != in_cluster[r]
            and (glob is None or any(path_test(glob)(path) for path in mixed.session.catalog.paths.of(r)))
            and (after is None or ADDED[r % 3] >= moment(after))
        )

    rows = rows_of(mixed)
    scores = rows @ rows[row]
    expected = sorted((r for r in range(120) if fits(r)), key=lambda r: (r != row, -scores[r]))[:k]
    if least is not None:
        expected = [r for r in expected if float(np.float32(scores[r])) >= least]  # as scores are given
    conditions = {"cluster": cluster, "not_cluster": not_cluster, "path": glob, "added_after": after}
    found = mixed.similar(row, k=k, min_score=least, exact=exact, **conditions)  # type: ignore[arg-type]
    assert [hit.id for hit in found] == expected
    np.testing.assert_allclose([hit.score for hit in found], scores[expected], atol=1e-4)


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*.png", b"/home/me/a.png", True),
        ("*.png", b"/home/me/a.PNG", False),
        ("a.png", b"/home/me/a.png", True),
        ("me", b"/home/me/a.png", True),
        ("me/", b"/home/me/a.png", True),
        ("me/*.png", b"/home/me/a.png", True),
        ("home/*.png", b"/home/me/a.png", False),
        ("home/**/*.png", b"/home/me/deep/a.png", True),
        ("/home/me", b"/home/me/deep/a.png", True),
        ("/me", b"/home/me/a.png", False),
        ("/home/m?/[ab].png", b"/home/me/a.png", True),
        ("/home/me/", b"/home/me", False),
        ("hom", b"/home/me/a.png", False),
        ("!a.png", b"/p/!a.png", True),
        ("#a.png", b"/p/#a.png", True),
        ("a ", b"/p/a ", True),
        ("a ", b"/p/a", False),
        ("*.png", b"/p/a\nb/c\n.png", True),
        ("a\nb/*", b"/p/a\nb/c.png", True),
        ("*.png", b"/p/\xff\xfe.png", True),
        ("?.png", b"/p/\xff.png", True),
        (b"\xff.png", b"/p/\xff.png", True),
        ("photos.zip", b"/p/photos.zip!/in/a.png", True),
        ("photos.zip/in/*.png", b"/p/photos.zip!/in/a.png", True),
        ("/p/photos.zip!/in/a.png", b"/p/photos.zip!/in/a.png", True),
    ],
)
def test_a_pattern_fits_as_in_a_gitignore(pattern: str | bytes, path: bytes, fits: bool) -> None:
    assert path_test(pattern)(path) == fits


def test_a_pattern_may_begin_at_home_or_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.chdir(tmp_path)
    here = os.fsencode(tmp_path)
    assert [path_test("~/a/*")(b"/home/me/a/b.png"), path_test("~/a/*")(b"/x/home/me/a/b.png")] == [True, False]
    assert [path_test("./a/")(here + b"/a/b.png"), path_test("./a/")(here + b"/c/a/b.png")] == [True, False]


@pytest.mark.parametrize("pattern", ["", "/", "   "])
def test_a_pattern_that_fits_nothing_is_refused(pattern: str, filled: Store) -> None:
    with pytest.raises(BadInput, match=r"is not a path pattern; give one such as '\*\.png'"):
        filled.similar(0, path=pattern)


def test_any_path_of_an_image_may_fit(filled: Store, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir()
    name = os.fsencode(tmp_path / "copies") + b"/\xff.png"
    shutil.copyfile(pictures / "3.png", name)
    filled.add(tmp_path / "copies")
    found = filled.similar(3, path="copies/?.png")
    assert [(hit.id, hit.path) for hit in found] == [(3, os.fsdecode(min(name, bytes(pictures / "3.png"))))]


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2026-05-31T18:30Z", "2026-05-31T18:30:00Z"),
        ("2026-05-31T18:30:10+02:00", "2026-05-31T16:30:10Z"),
        (datetime(2026, 5, 31, 18, 30, tzinfo=UTC), "2026-05-31T18:30:00Z"),
        ("2026-05-31", datetime(2026, 5, 31).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")),
        (date(2026, 5, 31), datetime(2026, 5, 31).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")),
    ],
)
def test_a_moment_is_told_in_utc(when: str | date, expected: str) -> None:
    assert moment(when) == expected


@pytest.mark.parametrize(("ago", "seconds"), [("24h", 86_400), ("7d", 604_800), ("2w", 1_209_600)])
def test_a_moment_may_be_so_long_ago(ago: str, seconds: int) -> None:
    before = datetime.now(UTC).timestamp()
    found = datetime.fromisoformat(moment(ago)).timestamp()
    assert before - 1 <= found + seconds <= datetime.now(UTC).timestamp()


@pytest.mark.parametrize("when", ["", "yesterday", "7", "7y", "-1d", "2026-13-01", "9999999999d", "2026-05-31T25:00"])
def test_what_is_no_moment_is_refused(when: str, filled: Store) -> None:
    with pytest.raises(BadInput, match=r"is not a date or time; give a date such as 2026-05-31"):
        filled.similar(0, added_after=when)


@pytest.mark.parametrize("score", [1.5, -1.01, float("nan")])
def test_a_score_that_cannot_be_is_refused(score: float, filled: Store) -> None:
    for ask in (filled.similar, filled.neighbours, filled.duplicates):
        with pytest.raises(BadInput, match="^min_score is .*; scores are from -1 to 1$"):
            ask(*([0] if ask == filled.similar else []), min_score=score)  # type: ignore[operator]


# The graph


def test_the_graph_is_the_nearest_others_of_every_image(filled: Store) -> None:
    rows = rows_of(filled)
    scores = rows @ rows.T - 2 * np.eye(10)
    found = list(filled.neighbours(k=3))
    expected = [
        (row, rank, int(other))
        for row in range(10)
        for rank, other in enumerate(np.argsort(-scores[row], kind="stable")[:3], start=1)
    ]
    assert [(edge.query, edge.rank, edge.id) for edge in found] == expected
    np.testing.assert_allclose([e.score for e in found], [scores[row, other] for row, _, other in expected], atol=1e-4)


def test_an_edge_says_what_a_neighbour_says(clustered: Store) -> None:
    (first, *_) = clustered.neighbours(k=1)
    hit = clustered.similar(0, k=2)[1]
    assert first == Edge(0, 1, hit.id, pytest.approx(hit.score, abs=1e-6), hit.path, hit.cluster)  # type: ignore[arg-type]


def test_an_image_with_more_equals_than_asked_for_has_that_many_others(open_store: OpenStore, tmp_path: Path) -> None:
    for number in range(6):  # other bytes, same pixels
        paint(tmp_path / f"p/{number}.png", 0, size=(4 * number + 4, 4))
    with open_store() as store:
        store.add(tmp_path / "p")
        found = [(edge.query, edge.id) for edge in store.neighbours(k=2)]
    assert found == [(row, other) for row in range(6) for other in [o for o in range(6) if o != row][:2]]


def test_the_graph_of_a_cluster_asks_for_and_finds_its_members_alone(clustered: Store) -> None:
    members = sorted(member.id for member in clustered.members(0))
    found = list(clustered.neighbours(cluster=0))
    assert {edge.query for edge in found} == {edge.id for edge in found} == set(members)
    assert len(found) == len(members) * (len(members) - 1)


def test_the_graph_keeps_to_the_least_score(filled: Store) -> None:
    everything = list(filled.neighbours())
    assert list(filled.neighbours(min_score=0.2)) == [edge for edge in everything if edge.score >= 0.2]


def test_the_graph_leaves_out_what_is_removed_while_it_is_read(filled: Store) -> None:
    graph = filled.neighbours(k=9)
    first = next(graph)
    filled.remove(9)
    rest = [edge for edge in graph if edge.query > 0]
    assert (first.query, {9} & {edge.query for edge in rest}, {9} & {edge.id for edge in rest}) == (0, set(), set())


def test_reading_the_graph_keeps_no_writer_waiting_and_loses_no_write(filled: Store, pictures: Path) -> None:
    graph = filled.neighbours(k=1)
    next(graph)
    filled.add(paint(pictures / "new.png", 99))
    with Store.open(filled.path) as other:
        assert other.info().images == 11
    assert len(list(graph)) == 9


def test_a_graph_of_one_image_has_no_edges(filled: Store, pictures: Path) -> None:
    assert list(filled.neighbours(path="/**/3.png")) == []


# Duplicates


def test_copies_and_near_copies_are_grouped_with_the_one_to_keep_first(
    open_store: OpenStore, pictures: Path, tmp_path: Path
) -> None:
    for path in pictures.rglob("*.png"):
        path.unlink()
    paint(pictures / "a.png", 0)
    paint(pictures / "large.png", 0, size=(64, 48))
    paint(pictures / "other.png", 1)
    shutil.copy(pictures / "large.png", pictures / "z.png")
    with open_store() as store:
        store.add(pictures)
        found = list(store.duplicates())
        assert [(d.group, d.kind, d.id, d.path) for d in found] == [
            (1, "keep", 1, str(pictures / "large.png")),
            (1, "copy", 1, str(pictures / "z.png")),
            (1, "near", 0, str(pictures / "a.png")),
        ]
        np.testing.assert_allclose([d.score for d in found], 1, atol=1e-3)
        only_copies = [(d.group, d.kind, d.id, d.path) for d in store.duplicates(exact=True)]
        assert only_copies == [(d.group, d.kind, d.id, d.path) for d in found[:2]]


def test_groups_are_numbered_by_the_ids_of_their_representatives(filled: Store, pictures: Path) -> None:
    for number in (7, 2, 4):
        shutil.copy(next(pictures.rglob(f"{number}.png")), pictures / f"copy-{number}.png")
    filled.add(pictures)
    found = [(d.group, d.id) for d in filled.duplicates(exact=True)]
    assert found == [(1, 2), (1, 2), (2, 4), (2, 4), (3, 7), (3, 7)]


def test_removed_images_are_no_duplicates(filled: Store) -> None:
    everything = {member.id for member in filled.duplicates(min_score=-1, series=True)}
    filled.remove(3)
    left = {member.id for member in filled.duplicates(min_score=-1, series=True)}
    assert (everything, left) == (set(range(10)), {*range(10)} - {3})


def test_a_store_without_duplicates_or_images_has_no_groups(filled: Store, pictures: Path) -> None:
    assert list(filled.duplicates()) == []
    filled.remove(pictures)
    assert list(filled.duplicates(min_score=-1)) == []


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 150), n_copies=st.integers(0, 40), seed=st.integers(0, 2**32 - 1))
def test_planted_near_copies_are_all_found(n: int, n_copies: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    vectors = unit_rows(random.standard_normal((n, 100)).astype(np.float32))  # scores of at most 0.6 or so
    originals = random.choice(n, min(n_copies, n), replace=False)
    noise = unit_rows(random.standard_normal((len(originals), 100)).astype(np.float32))
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/vectors.npy", np.concatenate([vectors, unit_rows(vectors[originals] + 0.1 * noise)]))
        for i in range(n + len(originals)):
            Path(folder, f"{i}.png").write_text(str(i))
        Path(folder, "paths.txt").write_text("".join(f"{folder}/{i}.png\n" for i in range(n + len(originals))))
        with Store.open(f"{folder}/store", create=True) as store:
            store.import_vectors(f"{folder}/vectors.npy", f"{folder}/paths.txt")
            found = [(member.kind, member.id) for member in store.duplicates()]
    expected = [pair for row, copy in sorted(zip(originals.tolist(), range(n, n + n_copies), strict=False))
                for pair in (("keep", row), ("near", copy))]  # fmt: skip
    assert found == expected


def test_altered_copies_of_real_pictures_are_found(
    shared_pictures: Callable[[str], Path], tmp_path: Path, efficientnet: object
) -> None:
    with Store.open(tmp_path / "store", embedder="efficientnet-lite0", device="cpu", create=True) as store:
        store.add(shared_pictures("neardup"), shared_pictures("catsdogs60"))
        groups: dict[int, list[Duplicate]] = {}
        for member in store.duplicates():
            groups.setdefault(member.group, []).append(member)
    folders = [{Path(member.path).parent.name for member in group} for group in groups.values()]
    assert all(len(names) == 1 for names in folders)
    assert {name for names in folders for name in names} == {
        "bridge", "hopper", "pillow_flower", "ukbench00120", "ukbench09380"
    }  # fmt: skip
    assert sum(map(len, groups.values())) - len(groups) >= 45  # of 47 altered copies
    bridge = next(group for group in groups.values() if Path(group[0].path).parent.name == "bridge")
    assert {Path(member.path).stem: member.relation for member in bridge}.items() >= {
        ("bridge-2-rotate-90", "turned 270"),
        ("bridge-6-flipy", "mirrored"),
        ("letterboxed_sample-b", "letterboxed"),
    }


# Outliers


def test_outliers_are_the_images_farthest_from_every_centroid(clustered: Store) -> None:
    blob, _ = clustered.session.catalog.clusterings.centroids(1)
    centroids = np.frombuffer(blob, "<f4").reshape(3, 12)
    distances = np.linalg.norm(rows_of(clustered)[:, None] - centroids, axis=2).min(axis=1)
    expected = np.argsort(-distances).tolist()
    clustered.remove(expected[1])
    found = clustered.outliers(4)
    assert [member.id for member in found] == [expected[0], *expected[2:5]]
    np.testing.assert_allclose([m.distance for m in found], distances[[m.id for m in found]], atol=1e-4)
    assert [member.path for member in found] == [clustered.similar(m.id, k=1)[0].path for m in found]


def test_more_outliers_than_images_are_all_images(clustered: Store) -> None:
    assert sorted(member.id for member in clustered.outliers(10**30)) == list(range(10))


def test_before_the_first_clustering_there_are_no_outliers(filled: Store) -> None:
    with pytest.raises(NotFound, match="has no clusters yet; make some with `vecstore cluster -k N`$"):
        filled.outliers()


# The command line


@pytest.fixture
def vecstore_(clustered: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("VECSTORE_STORE", str(clustered.path))
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def printed(result: Result) -> tuple[int, list[str], str]:
    return result.exit_code, result.stdout.splitlines(), result.stderr


def test_the_conditions_are_options(vecstore_: Callable[..., Result], clustered: Store) -> None:
    options = ("--path", "deep/*", "--not-cluster", 0, "--added-after", "1h", "--min-score", "-0.5", "-k", 3)
    expected = clustered.similar(6, path="deep/*", not_cluster=0, added_after="1h", min_score=-0.5, k=3)
    assert printed(vecstore_("similar", "@6", *options)) == (
        0,
        [f"{h.rank}\t{h.score:.4f}\t@{h.id}\t{h.cluster}\t{h.path}" for h in expected],
        "",
    )


def test_several_images_less_others_are_options_as_in_the_library(
    vecstore_: Callable[..., Result], clustered: Store
) -> None:
    expected = [hit.id for hit in clustered.similar(1, 2, minus=[3, 4], k=5, exact=True)]
    lines = vecstore_("similar", "@1", "@2", "--minus", "@3", "--minus", "@4", "-k", 5, "--exact", "--json").stdout
    assert [json.loads(line)["id"] for line in lines.splitlines()] == expected


def test_the_graph_is_printed_a_line_an_edge(vecstore_: Callable[..., Result], clustered: Store) -> None:
    edges = list(clustered.neighbours(k=2))
    lines = [f"@{e.query}\t{e.rank}\t{e.score:.4f}\t@{e.id}\t{e.cluster}\t{e.path}" for e in edges]
    assert printed(vecstore_("similar", "--all", "-k", 2)) == (0, lines, "")
    as_json = [json.loads(line) for line in vecstore_("similar", "--all", "-k", 2, "--json").stdout.splitlines()]
    assert as_json == [vars(edge) for edge in edges]


@pytest.mark.parametrize("arguments", [("similar",), ("similar", "@0", "--all"), ("similar", "--all", "--minus", "@0")])
def test_an_image_and_all_of_them_exclude_each_other(
    arguments: tuple[str, ...], vecstore_: Callable[..., Result]
) -> None:
    exit_code, stdout, stderr = printed(vecstore_(*arguments))
    assert (exit_code, stdout, "(see `vecstore similar --help`)" in stderr) == (2, [], True)


def test_duplicates_are_printed_a_line_a_path(
    vecstore_: Callable[..., Result], clustered: Store, pictures: Path
) -> None:
    copy = pictures / "a\n\\x.png"
    shutil.copy(pictures / "3.png", copy)
    clustered.add(pictures)
    name = f"{pictures}/a\\n\\x.png"
    assert printed(vecstore_("duplicates")) == (
        0,
        [
            f"1\tkeep\t\t1.0000\t1.0000\t@3\t{pictures}/3.png\tyes\t768\t{copy.stat().st_size}",
            f"1\tcopy\tsame bytes\t1.0000\t1.0000\t@3\t{name}\tno\t768\t{copy.stat().st_size}",
        ],
        f"deleting the files called copy would free {copy.stat().st_size} bytes, those called near 0 bytes\n",
    )
    (first, second) = [json.loads(line) for line in vecstore_("duplicates", "--exact", "--json").stdout.splitlines()]
    assert first == {
        **{"group": 1, "kind": "keep", "relation": "", "confidence": 1.0, "score": 1.0, "id": 3},
        **{"path": str(pictures / "3.png"), "keep": True, "pixels": 768, "bytes": copy.stat().st_size, "why": None},
    }
    assert second == {**first, "kind": "copy", "relation": "same bytes", "path": str(copy), "keep": False}


def test_what_is_no_copy_is_printed_with_what_it_is(
    vecstore_: Callable[..., Result], clustered: Store, pictures: Path
) -> None:
    (pictures / "0-link.png").symlink_to("3.png")
    shutil.copy(pictures / "3.png", pictures / "copy.png")
    (pictures / "hard.png").hardlink_to(pictures / "copy.png")
    clustered.add(pictures)
    (pictures / "3.png").unlink()
    kinds = [["keep", "copy.png"], ["missing", "0-link.png"], ["missing", "3.png"], ["same file", "hard.png"]]
    exit_code, lines, _ = printed(vecstore_("duplicates"))
    cells = [line.split("\t") for line in lines]
    assert (exit_code, [[line[1], Path(line[6]).name] for line in cells]) == (0, kinds)


def test_no_duplicates_are_told_to_a_person_and_not_to_a_pipe(vecstore_: Callable[..., Result]) -> None:
    assert printed(vecstore_("duplicates")) == (0, [], "no duplicates\n")
    assert printed(vecstore_("duplicates", "--json")) == (0, [], "")


def test_outliers_are_printed_farthest_first(vecstore_: Callable[..., Result], clustered: Store) -> None:
    expected = [f"@{m.id}\t{m.distance:.4f}\t{m.path}" for m in clustered.outliers(3)]
    assert printed(vecstore_("outliers", "-k", 3)) == (0, expected, "")


def test_wrong_conditions_are_wrong_use(vecstore_: Callable[..., Result]) -> None:
    assert printed(vecstore_("similar", "--all", "--path", "/")) == (
        2,
        [],
        "Error: '/' is not a path pattern; give one such as '*.png', 'holiday/' or '/home/me/Photos'\n",
    )
    assert printed(vecstore_("similar", "@0", "--added-after", "soon")) == (
        2,
        [],
        "Error: 'soon' is not a date or time; give a date such as 2026-05-31, a time such as 2026-05-31T18:30, "
        "or a period up to now, such as 24h, 7d or 2w\n",
    )


# The graph waits before its second step, so that a signal or a closed pipe meets it in the middle.
PAUSED = """
import time
from vecstore.search import neighbour_graph
edges_of = neighbour_graph._edges_of
def slowly(session, query, *more):
    if query:
        time.sleep(0.2)
    return edges_of(session, query, *more)
neighbour_graph._edges_of = slowly
"""


def test_an_interrupted_graph_ends_with_one_line_and_130(filled: Store) -> None:
    process = start_program("similar", "--all", "-k", "1", "--json", "--store", filled.path, prelude=PAUSED)
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    expected = "Interrupted; what was done by then is safe in the store\n"
    assert (first["query"], process.returncode, stderr) == (0, 130, expected)


def test_a_graph_whose_reader_stops_reading_ends_in_silence(filled: Store) -> None:
    process = start_program("similar", "--all", "-k", "1", "--json", "--store", filled.path, prelude=PAUSED)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    stderr = process.stderr.read()
    process.stderr.close()
    process.wait(30)
    assert stderr == ""


@pytest.mark.parametrize(
    "ask",
    [
        lambda store, picture: store.similar(picture),
        lambda store, picture: store.similar(0, minus=[picture]),
        lambda store, picture: store.which(picture),
        lambda store, picture: store.sheet(similar=picture),
    ],
    ids=["similar", "minus", "which", "sheet"],
)
def test_no_transaction_is_open_while_a_new_picture_is_embedded(
    ask: Callable[[Store, Path], object], clustered: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []  # opening the network may have to download it first
    load = TinyEmbedder.load

    def look(embedder: TinyEmbedder) -> None:
        seen.append(clustered.session.catalog.db.in_transaction)
        load(embedder)

    monkeypatch.setattr(TinyEmbedder, "load", look)
    ask(clustered, paint(tmp_path / "new.png", 77))
    assert seen
    assert set(seen) == {False}
