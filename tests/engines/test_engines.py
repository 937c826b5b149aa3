"""One contract for every engine: the embedded store, milvus-lite, and a real Milvus server that the tests start."""

import dataclasses
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.app import app
from tests.clustering.contract import SIZES, WAYS, live, shape_of, take
from tests.clustering.test_lifecycle import blobs
from tests.conftest import paint
from tests.curation.trash_bin import use_trash
from tests.programs import SLOWLY, start_program
from tests.servers import MilvusServer, free_port, why_not
from tests.serving import serving
from vecstore.engines import milvus, milvus_connection, milvus_search
from vecstore.engines.address import Address
from vecstore.engines.engine import EMBEDDED
from vecstore.errors import BadInput, EngineRefused, EngineUnavailable, NotFound, StoreDamaged, VecstoreError
from vecstore.maintenance import migrate
from vecstore.results import Finding, Neighbour
from vecstore.search.filters import Filter
from vecstore.store import Store

N_PICTURES = 60
LITE, SERVER = "milvus-lite", "milvus"
needs_milvus = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
ELSEWHERE = [pytest.param(LITE, marks=needs_milvus), pytest.param(SERVER, marks=needs_milvus)]
# Importing pymilvus takes seconds, and what it and its own do then is none of ours.
pytestmark = [pytest.mark.engines, pytest.mark.filterwarnings("default")]

Places = Callable[..., str]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    running = MilvusServer(tmp_path_factory.mktemp("milvus"))
    running.start()
    yield running
    running.stop()


def place_on(kind: str, request: pytest.FixtureRequest, folder: Path) -> str:
    if kind == EMBEDDED:
        return str(folder / "store")
    if kind == LITE:
        return f"milvus+lite://{folder}/photos.db?companion={folder}/store"
    port = request.getfixturevalue("server").port
    return f"milvus://127.0.0.1:{port}/t{uuid.uuid4().hex}?companion={folder}/store"


@pytest.fixture(params=[EMBEDDED, *ELSEWHERE])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new store can be made, on each engine."""
    return place_on(request.param, request, tmp_path)


@pytest.fixture(params=ELSEWHERE)
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same on the engines that keep vectors of their own; they are asked however few rows a filter leaves."""
    monkeypatch.setattr(milvus_search, "EXACT_BYTES", 0)
    return place_on(request.param, request, tmp_path)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty pictures in two folders, and two more under a second name."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(N_PICTURES):
        paint(folder / ("left" if seed % 3 else "right") / f"{seed:02}.png", seed)
    for seed in (3, 4):
        paint(folder / f"copies/{seed}.png", seed)
    return folder


def opened(place: str | Path, **options: Any) -> Store:
    return Store.open(place, **{"embedder": "tiny", "create": True, **options})


def answers(store: Store) -> dict[str, Any]:
    """What a store of these photos answers to every question of the contract that its engine has a part in, or none."""
    run = store.cluster(4, restarts=3)
    cluster = store.which("@7")[0].cluster
    asked = {
        "similar": store.similar("@7", k=8),
        "beyond": store.similar("@7", k=500),
        "several": store.similar("@1", "@2", minus=["@3"], k=5),
        "cluster": store.similar("@7", cluster=cluster, k=6),
        "not cluster": store.similar("@7", not_cluster=cluster, k=6),
        "path": store.similar("@7", path="right/", k=6),
        "added after": store.similar("@7", added_after="1h", k=6),
        "floor": store.similar("@7", min_score=0.3, k=50),
        "exact": store.similar("@7", exact=True),
        "graph": list(store.neighbours(k=3)),
        "graph of a part": list(store.neighbours(k=3, path="right/", min_score=0.1)),
        "duplicates": list(store.duplicates()),
        "outliers": store.outliers(),
        "objective": round(run.objective, 4),
        "clusters": store.clusters(),
        "members": store.members(cluster),
        "evaluate": store.evaluate(),
    }
    info = dataclasses.asdict(store.info())
    return {
        **asked,
        "info": [info[key] for key in ("images", "paths", "dim", "embedder", "clusters", "index", "recall")],
    }


@pytest.fixture(scope="session")
def truth(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], dict[str, Any]]:
    """What the embedded store answers; it is everybody's oracle."""
    found: dict[str, Any] = {}

    def ask() -> dict[str, Any]:  # called inside a test, which has made `tiny` an embedder
        if not found:
            with opened(tmp_path_factory.mktemp("truth") / "store") as store:
                store.add(photos)
                found.update(answers(store))
        return found

    return ask


def test_every_answer_is_that_of_the_embedded_store(place: str, photos: Path, truth: Callable[[], Any]) -> None:
    with opened(place) as store:
        report = store.add(photos)
        assert (report.added, report.known, report.failed) == (N_PICTURES, 2, 0)
    with opened(place) as store:  # another process would find the same
        assert answers(store) == truth()


def by_hand(store: Store) -> list[Any]:
    """What a store of these photos answers with selections, and after changes of its clusters by hand."""
    store.cluster(4, restarts=3)
    store.select("some", *range(0, N_PICTURES, 7))
    found: list[Any] = [store.similar("@7", in_selection="some", k=6), store.similar("@7", not_in_selection="some")]
    store.move("@7", "@8", to=(store.which("@7")[0].cluster + 1) % 4)
    store.move("@9", to="new")
    store.merge_clusters(0, 1)
    run = store.cluster(4, restarts=3)
    found += [
        round(run.objective, 4),
        store.clusters(),
        store.pins(),
        store.outliers(conditions=Filter(in_selection="some")),
    ]
    for _ in range(4):
        store.undo()
    return [*found, store.clusters(), store.pins(), store.check()]


def test_what_is_decided_by_hand_is_the_same_on_every_engine(place: str, photos: Path, tmp_path: Path) -> None:
    with opened(place) as store, opened(tmp_path / "own") as own:
        store.add(photos)
        own.add(photos)
        assert by_hand(store) == by_hand(own)


def test_acts_on_files_and_their_undo_leave_the_same_on_every_engine(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_trash(tmp_path / "data", monkeypatch)
    folder = tmp_path / "pictures"
    for seed in range(12):
        paint(folder / f"a/{seed:02}.png", seed)
    paint(folder / "b/copy.png", 1)
    paint(folder / "b/near.png", 2, (64, 48))

    def found(store: Store) -> list[tuple[int, str, float]]:
        return [(hit.id, hit.path, hit.score) for hit in store.similar("@2", k=20)]

    with opened(place) as store:
        store.add(folder)
        before = found(store)
        for act in ("trash", f"move:{tmp_path / 'moved'}", "hardlink", "symlink", "delete"):
            near = act[:5] in ("trash", "move:")  # then an image goes, and not only one of its files
            report = store.act_on_duplicates(act, keep_by=[f"folder:{folder / 'a'}"], near=near, dry_run=False)
            assert (act, report.done, report.refused) == (act, 1 + near, 0)
            left = [hit for hit in before if not near or hit[1] != str(folder / "b/near.png")]
            assert found(store) == left
            assert store.check(files=True) == []
            if act != "delete":
                assert store.undo().files == 1 + near
                assert found(store) == before
        store.collect("@3", target=tmp_path / "collected", act="move")
        assert str(tmp_path / "collected/03.png") in {path for _, path, _ in found(store)}
        assert store.undo().files == 1
        assert found(store) == before
        assert not (tmp_path / "collected").exists()
        assert store.check(files=True) == []


@pytest.mark.parametrize("way", WAYS)
def test_clusterings_by_every_method_live_on_every_engine(way: str, place: str, tmp_path: Path) -> None:
    live(place, WAYS[way], tmp_path)


def test_a_tree_moves_to_another_engine_with_its_names_and_pins(elsewhere: str, tmp_path: Path) -> None:
    with Store.open(tmp_path / "own", create=True, device="cpu") as own:
        take(own, tmp_path, blobs(SIZES, seed=0), "image")
        own.cluster(tree=(2, 4), restarts=20)
        own.name_cluster(own.tree(1)[0].cluster, "top")
        own.pin(0, 29)
        own.migrate(elsewhere)
        with Store.open(elsewhere, device="cpu") as moved:
            assert (shape_of(moved), moved.check()) == (shape_of(own), [])


def test_conditions_that_go_to_the_engine_leave_the_same(
    elsewhere: str, photos: Path, truth: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(milvus_search, "MOST_IDS", 3)  # several searches for one answer
    monkeypatch.setattr(milvus_search, "SPAN_ROWS", 8)
    with opened(elsewhere) as store:
        store.add(photos)
        assert answers(store) == truth()


def test_adding_again_embeds_and_sends_nothing(place: str, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(place) as store:
        store.add(photos)
        monkeypatch.setattr(type(store.session.engine), "upsert", never)
        report = store.add(photos)
        assert (report.added, report.known, report.embedded) == (0, N_PICTURES + 2, 0)
        assert store.session.engine.count() == N_PICTURES


def never(*_arguments: Any) -> None:
    raise AssertionError("this was not to be called")


def test_the_engine_returns_the_rows_as_they_are_stored(place: str, photos: Path) -> None:
    with opened(place) as store:
        store.add(photos)
        store.remove("@5", "@50")
        vectors, rows = np.asarray(store.session.vectors(), np.float32), np.array([59, 0, 7])
        blocks = list(store.session.engine.iterate())
        living = np.delete(np.arange(N_PICTURES), [5, 50])
        np.testing.assert_array_equal(store.session.engine.get(rows), vectors[rows])
        np.testing.assert_array_equal(np.concatenate([rows for rows, _ in blocks]), living)
        np.testing.assert_array_equal(np.concatenate([found for _, found in blocks]), vectors[living])
        assert store.session.engine.count() == N_PICTURES - 2
        with pytest.raises(NotFound):
            store.session.engine.get(np.array([5]))


def test_what_was_told_twice_is_there_once(place: str, photos: Path) -> None:
    with opened(place) as store:
        store.add(photos)
        rows = np.arange(10)
        for _ in range(2):
            store.session.engine.upsert(rows, store.session.vectors()[rows])
        store.session.engine.flush()
        assert store.session.engine.count() == N_PICTURES


def test_a_removed_image_is_found_no_more_and_comes_back(place: str, photos: Path) -> None:
    with opened(place) as store:
        store.add(photos)
        path = store.similar("@7", k=1)[0].path
        store.remove("@7")
        assert [hit.id for hit in store.similar(path, k=N_PICTURES) if hit.id == 7] == []
        assert len(store.similar(path, k=N_PICTURES)) == N_PICTURES - 1
        store.add(photos)
        assert store.similar(path, k=1)[0].id == 7
        assert store.session.engine.count() == N_PICTURES


def test_a_quarantined_image_is_found_no_more_until_it_is_released(place: str, photos: Path) -> None:
    with opened(place) as store:
        store.add(photos)
        for change, n_found in (
            (store.session.catalog.checksums.quarantine, N_PICTURES - 1),
            (store.session.catalog.checksums.release, N_PICTURES),
        ):
            with store.session.catalog.writing():
                change([7])
            assert len(store.similar("@8", k=N_PICTURES)) == n_found  # before the engine is told
            store.index()
            assert (len(store.similar("@8", k=N_PICTURES)), store.session.engine.count()) == (n_found, n_found)


def test_an_index_that_is_made_anew_answers_the_same(place: str, photos: Path, truth: Callable[[], Any]) -> None:
    with opened(place) as store:
        store.add(photos)
        report = store.index(rebuild=True)
        assert (report.index, report.rows, report.recall) == ("exact", N_PICTURES, 1.0)
        assert store.session.engine.count() == N_PICTURES
        assert [hit.id for hit in store.similar("@7", k=8)] == [hit.id for hit in truth()["similar"]]


def test_a_companion_folder_is_the_store(elsewhere: str, photos: Path) -> None:
    with opened(elsewhere) as store:
        store.add(photos)
        expected = store.similar("@7")
    with Store.open(Address.parse(elsewhere).companion) as store:
        assert (store.info().engine, store.similar("@7")) == (Address.parse(elsewhere).shown, expected)


# What a store promises, wherever it is searched


def seen(store: Store) -> tuple[list[Neighbour], int, list[Finding]]:
    """What is found near one image, how many rows the engine has, and what a check finds."""
    return store.similar("@7", k=N_PICTURES), store.session.engine.count(), store.check()


def test_an_undone_removal_is_found_again_and_redone_it_is_not(place: str, photos: Path) -> None:
    with opened(place) as store:
        store.add(photos)
        before = seen(store)
        store.remove("@3", "@12")
        after = seen(store)
        store.undo()
        assert seen(store) == before
        store.undo(redo=True)
        assert seen(store) == after
        assert (len(after[0]), after[1:]) == (N_PICTURES - 2, (N_PICTURES - 2, []))


def test_an_undone_add_is_found_no_more(place: str, photos: Path) -> None:
    with opened(place) as store:
        store.add(photos / "right")
        before = seen(store)
        store.add(photos)
        store.undo()
        assert seen(store) == before


def test_a_compacted_store_answers_the_same_and_takes_contents_back(place: str, photos: Path) -> None:
    with opened(place) as store:
        store.add(photos)
        store.cluster(4, restarts=3)
        store.remove("@3", "@12")
        before = seen(store)
        assert store.compact().images == 2
        assert seen(store) == before
        store.add(photos)
        assert (len(store.similar("@7", k=500)), store.session.engine.count()) == (N_PICTURES, N_PICTURES)
        assert store.similar("@61", k=1)[0].id == 61  # ids are not used again


def test_a_backup_answers_the_same_here_and_leaves_the_engine_alone(place: str, photos: Path, tmp_path: Path) -> None:
    with opened(place) as store:
        store.add(photos)
        store.backup(tmp_path / "copy")
        before = seen(store)
        with Store.open(tmp_path / "copy", embedder="tiny") as copy:
            assert (copy.info().engine, seen(copy)) == (EMBEDDED, before)
            copy.remove("@7")
            copy.add(paint(tmp_path / "one more.png", 1_000))
        assert seen(store) == before


def test_a_damaged_vector_is_mended(place: str, photos: Path) -> None:
    with opened(place) as store:
        store.add(photos)
        before = seen(store)
        with open(store.path / "vectors.f16", "r+b") as file:
            file.seek(7 * store.session.vectors().shape[1] * 2)
            file.write(b"\x11\x11")
        with pytest.raises(StoreDamaged, match="the vector of @7 is damaged"):
            store.similar("@7")
        assert [(found.where, found.repaired) for found in store.check(repair=True)] == [("@7", True)]
        assert seen(store) == before


def test_a_check_says_what_an_engine_lost_and_a_repair_tells_it_again(elsewhere: str, photos: Path) -> None:
    with opened(elsewhere) as store:
        store.add(photos)
        before, vectors = seen(store), store.session.vectors()
        for is_lost in (True, False):
            if is_lost:
                store.session.engine.delete(np.array([3]))
            else:
                store.session.engine.upsert(np.array([3]), vectors[:1])
            (found,) = store.check()
            assert (found.kind, found.where, found.repairable) == ("engine", Address.parse(elsewhere).shown, True)
            assert [found.repaired for found in store.check(repair=True)] == [True]
            assert seen(store) == before


def test_an_export_is_taken_in_by_every_engine(place: str, photos: Path, tmp_path: Path) -> None:
    with opened(tmp_path / "source") as source:
        source.add(photos)
        source.cluster(4, restarts=3)
        source.export(tmp_path / "photos.parquet")
        expected = source.similar("@7", k=20), source.clusters()
    with Store.open(place, create=True) as store:
        assert store.import_vectors(tmp_path / "photos.parquet").added == N_PICTURES
        assert (store.similar("@7", k=20), store.clusters()) == expected


def test_what_needs_no_search_is_done_while_the_engine_is_away(
    elsewhere: str, photos: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_arguments: Any) -> None:
        raise EngineUnavailable("it does not answer")

    with opened(elsewhere) as store:
        store.add(photos)
        with monkeypatch.context() as broken:
            broken.setattr(milvus_connection.Connection, "call", away)
            assert store.remove("@7").removed == 1
            assert "the changes are safe" in caplog.text
            assert len(store.similar("@8", k=N_PICTURES, exact=True)) == N_PICTURES - 1
            with pytest.raises(EngineUnavailable):
                store.similar("@8")
        store.cluster(3, restarts=3)
        assert (store.session.engine.count(), store.check()) == (N_PICTURES - 1, [])


def test_a_store_is_served_wherever_it_is_searched(place: str, photos: Path, tmp_path: Path) -> None:
    with Store.open(place, embedder="hsv", create=True) as store:
        store.add(photos)
        expected = [hit.id for hit in store.similar("@7")]
    with serving(place) as client:
        assert [hit["id"] for hit in client.get("/api/images/7/similar").json()] == expected


# Kills and losses


def stop_telling(monkeypatch: pytest.MonkeyPatch, name: str, after: int) -> None:
    """Break off like a kill once the engine was told so many times."""
    original, told = getattr(milvus.MilvusEngine, name), [0]

    def tell(*arguments: Any) -> None:
        told[0] += 1
        if told[0] > after:
            raise KilledHere
        original(*arguments)

    monkeypatch.setattr(milvus.MilvusEngine, name, tell)


class KilledHere(BaseException):
    """What no code of ours handles."""


def test_what_the_engine_was_not_told_is_found_and_told_later(
    elsewhere: str, photos: Path, truth: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(milvus, "SENT_ROWS", 16)
    with monkeypatch.context() as killed:
        stop_telling(killed, "upsert", after=2)
        with opened(elsewhere) as store, pytest.raises(KilledHere):
            store.add(photos)
    with opened(elsewhere) as store:
        assert store.session.catalog.engine.pending_count() == N_PICTURES - 2 * 16
        assert store.similar("@7", k=8) == [dataclasses.replace(hit, cluster=None) for hit in truth()["similar"]]
        assert store.similar("@59", k=1)[0].id == 59
        store.add(photos)
        assert (store.session.engine.count(), store.session.catalog.engine.pending_rows(-1)) == (N_PICTURES, [])


def test_a_removal_that_the_engine_was_not_told_holds(
    elsewhere: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(elsewhere) as store:
        store.add(photos)
        with monkeypatch.context() as killed:
            stop_telling(killed, "delete", after=0)
            with pytest.raises(KilledHere):
                store.remove("@7", "@8")
        assert store.session.engine.count() == N_PICTURES  # it was not told
        assert {7, 8} & {hit.id for hit in store.similar("@9", k=N_PICTURES)} == set()
        store.remove("@9")
        assert store.session.engine.count() == N_PICTURES - 3


def test_an_answer_is_of_one_moment_though_the_engine_went_on(elsewhere: str, photos: Path, tmp_path: Path) -> None:
    with opened(elsewhere) as store:
        store.add(photos / "left")
        n_rows, query = store.session.catalog.images.row_count(), np.asarray(store.session.vectors()[:1], np.float32)
        before = store.session.engine.searcher(store.session.vectors())
        store.add(photos)
        assert before.search(query, 1_000).rows.max() == n_rows - 1
        assert store.session.engine.searcher(store.session.vectors()).search(query, 1_000).rows.max() == N_PICTURES - 1


def test_rows_that_the_engine_lost_are_told_again(elsewhere: str, photos: Path, tmp_path: Path) -> None:
    with opened(elsewhere) as store:
        store.add(photos)
        store.session.engine.delete(np.array([3, 4]))  # behind the catalog's back
        store.session.engine.upsert(np.array([900]), store.session.vectors()[:1])
        assert len(store.similar("@9", k=N_PICTURES)) == N_PICTURES  # k come back where k are
        store.add(paint(tmp_path / "one more.png", 1_000))
        rows = np.concatenate([rows for rows, _ in store.session.engine.iterate()])
        np.testing.assert_array_equal(rows, np.arange(N_PICTURES + 1))


def test_a_collection_that_is_gone_is_made_anew(elsewhere: str, photos: Path, truth: Callable[[], Any]) -> None:
    with opened(elsewhere) as store:
        store.add(photos)
        store.session.engine.drop()
    with opened(elsewhere) as store:
        with pytest.raises(StoreDamaged, match="index --rebuild"):
            store.similar("@7")
        assert [hit.id for hit in store.similar("@7", exact=True, k=8)] == [hit.id for hit in truth()["similar"]]
        store.index(rebuild=True)
        assert [hit.id for hit in store.similar("@7", k=8)] == [hit.id for hit in truth()["similar"]]


# Refusals


def test_a_name_that_is_taken_is_refused(elsewhere: str, photos: Path, tmp_path: Path) -> None:
    with opened(elsewhere) as store:
        store.add(photos / "right")
    other = f"{elsewhere.partition('?')[0]}?companion={tmp_path}/other"
    with opened(other) as store, pytest.raises(BadInput, match=r"is taken, by store \w{12}, made with tiny"):
        store.add(photos / "right")
    assert not (tmp_path / "other/catalog.sqlite").exists()


def test_the_companion_of_another_store_is_refused(elsewhere: str, photos: Path, tmp_path: Path) -> None:
    with opened(elsewhere) as store:
        store.add(photos / "right")
    store_id = store_at(tmp_path / "store")
    with Store.open(tmp_path / "store") as store:
        store.session.catalog.engine.move_to(store.session.catalog.engine.uri())  # it is another store now
        store.session.catalog.engine.clear_pending(store.session.catalog.engine.pending_rows(-1))
    with Store.open(elsewhere) as store, pytest.raises(StoreDamaged, match=f"belongs to store {store_id[:12]}"):
        store.similar("@0")


def store_at(folder: Path) -> str:
    with Store.open(folder) as store:
        return store.session.catalog.engine.uid()


def test_a_folder_that_is_a_store_of_its_own_is_no_companion(tmp_path: Path, photos: Path) -> None:
    with opened(tmp_path / "store") as store:
        store.add(photos / "right")
    with pytest.raises(BadInput, match="vecstore migrate"):
        opened(f"milvus://localhost/photos?companion={tmp_path}/store")


@needs_milvus
def test_a_server_that_is_away_is_said_in_one_line(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(milvus_connection.PATIENCE, "0.3")
    monkeypatch.setenv(milvus_connection.TOKEN, "root:secret")
    place = f"milvus://127.0.0.1:{free_port()}/photos?companion={tmp_path}/store"
    result = CliRunner().invoke(app, ["add", str(photos / "right"), "-e", "tiny", "--store", place])
    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch(r"Error: milvus://127.0.0.1:\d+/photos does not answer, .*\n", result.stderr)
    assert "secret" not in result.stderr
    assert not (tmp_path / "store/catalog.sqlite").exists()


@needs_milvus
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("auth check failure, please check username and password", "credentials"),
        ("quota exceeded[reason=memory quota exhausted]", "no room"),
        ("topk [20000] is invalid", "refused: topk"),
    ],
)
def test_what_another_attempt_would_not_change_is_said_at_once(
    said: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pymilvus.exceptions import MilvusException

    connection = milvus_connection.Connection(Address.parse("milvus://localhost/photos"))
    monkeypatch.setattr(connection, "_connected", lambda: None)

    def refuse(_client: Any, _seconds: float) -> None:
        raise MilvusException(message=said)

    with pytest.raises(EngineRefused, match=expected):
        connection.call(refuse)


@needs_milvus
def test_a_lite_file_that_another_process_has_open_is_said_in_one_line(photos: Path, tmp_path: Path) -> None:
    place = f"milvus+lite://{tmp_path}/photos.db"
    assert start_program("add", photos / "right", "-e", "hsv", "-s", place).communicate(timeout=60)[1] == ""
    with Store.open(place) as store:
        store.similar("@0")
        second = start_program("similar", "@0", "--store", place)
        _, stderr = second.communicate(timeout=60)
    assert (second.returncode, stderr.count("\n"), "takes one at a time" in stderr) == (1, 1, True), stderr


@needs_milvus
def test_an_old_server_is_refused() -> None:
    class Old:
        def get_server_version(self, timeout: float) -> str:
            return "v2.2.16"

    connection = milvus_connection.Connection(Address.parse("milvus://localhost/photos"))
    with pytest.raises(EngineRefused, match=r"is Milvus v2\.2\.16; 2\.3 or newer"):
        connection._require_version(Old())  # type: ignore[arg-type]


def test_a_missing_client_is_said_with_the_way_to_get_it(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with opened(f"milvus://localhost/photos?companion={tmp_path}/store") as store:
        with pytest.raises(BadInput, match=re.escape("pip install 'vecstore[milvus]'")):
            store.add(photos / "right")


# URIs


def test_what_a_uri_says() -> None:
    address = Address.parse("milvuss://db.example.org/photos?database=lab&ca=/etc/ca.pem&shards=4&companion=/srv/c")
    assert address == Address(
        shown="milvuss://db.example.org:19530/photos?database=lab",
        endpoint="https://db.example.org:19530",
        collection="photos",
        companion=Path("/srv/c"),
        database="lab",
        ca="/etc/ca.pem",
        shards=4,
    )
    assert Address.parse("milvus://h/n?secure=true").shown == "milvuss://h:19530/n"
    assert Address.parse("milvus://[::1]:7/n").endpoint == "http://[::1]:7"
    lite = Address.parse("milvus+lite:///srv/photos.db")
    assert (lite.endpoint, lite.companion) == ("/srv/photos.db", Path("/srv/photos.companion"))


def test_companions_of_different_stores_are_different() -> None:
    places = ["milvus://a/n", "milvus://b/n", "milvus://a:1/n", "milvus://a/m", "milvus://a/n?database=d"]
    assert len({Address.parse(place).companion for place in places}) == len(places)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("milvus://root:secret@h/n", "holds a user or a password"),
        ("milvus://h", "names no store"),
        ("milvus://h/1n", "names no store"),
        ("milvus://h/a/b", "names no store"),
        ("milvus://h:port/n", "cannot be read"),
        ("milvus://h/n?x=1", "'x' is not an option"),
        ("milvus://h/n?shards=0", "'0' is not a number of shards"),
        ("milvusx://h/n", "no engine is called milvusx"),
        ("milvus+lite://h/n.db", "ends in .db"),
        ("milvus+lite:///srv/photos", "ends in .db"),
    ],
)
def test_a_uri_that_names_nothing_is_refused(uri: str, expected: str) -> None:
    with pytest.raises(BadInput, match=re.escape(expected)) as refusal:
        Address.parse(uri)
    assert "secret" not in str(refusal.value)


def test_conditions_leave_just_the_rows_that_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus_search, "MOST_IDS", 5)
    monkeypatch.setattr(milvus_search, "SPAN_ROWS", 4)
    random = np.random.default_rng(0)
    for _ in range(300):
        n_rows = int(random.integers(1, 80))
        removed = np.flatnonzero(random.random(n_rows) < random.choice([0, 0.3]))
        told = random.random(n_rows) < random.choice([0.02, 0.5, 0.98, 1])
        told[random.integers(n_rows) :] = bool(random.integers(2))  # a long run, as --added-after makes
        told[removed] = False
        left = np.zeros(n_rows, int)
        for condition, n_left in milvus_search.conditions(told, removed):
            fits = [row for row in range(n_rows) if eval(condition or "True", {"row": row})]  # noqa: S307
            fits = [row for row in fits if row not in removed]
            assert n_left == len(fits)
            assert len(re.findall(r"\d+", condition)) <= 5 + 4 + 2
            left[fits] += 1
        np.testing.assert_array_equal(left, told.astype(int))


# Moving


@pytest.fixture(params=[EMBEDDED, *ELSEWHERE])
def other_place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return place_on(request.param, request, tmp_path / "elsewhere")


def settled(store: Store) -> Any:
    """What is to be the same in a copy: ids, paths, clusterings, names, neighbours."""
    graph = list(store.neighbours(k=5))
    return store.clusterings(), store.clusters(), store.failures(), sorted(store.session.catalog.paths.all()), graph


def test_a_store_moves_there_and_back(other_place: str, photos: Path, tmp_path: Path) -> None:
    with opened(tmp_path / "store") as store:
        store.add(photos)
        store.cluster(4, restarts=3)
        store.name_cluster(1, "blue")
        store.remove("@12")
        before = settled(store)
        report = store.migrate(other_place, compare_all=True)
        assert (report.images, report.rows, report.compared) == (N_PICTURES - 1, N_PICTURES, N_PICTURES - 1)
    with Store.open(other_place) as there:
        assert settled(there) == before
        there.migrate(tmp_path / "back")
        with pytest.raises(BadInput, match="already holds a store"):
            there.migrate(tmp_path / "back")
    with Store.open(tmp_path / "back") as back:
        assert settled(back) == before
        assert back.info().engine == EMBEDDED


@pytest.mark.parametrize("grown", [False, True])
def test_a_migration_that_was_killed_goes_on(
    elsewhere: str, grown: bool, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(milvus, "SENT_ROWS", 16)
    elsewhere = elsewhere.replace(f"{tmp_path}/store", f"{tmp_path}/there")
    with opened(tmp_path / "store") as store:
        store.add(photos)
        store.cluster(3, restarts=3)
        with monkeypatch.context() as killed:
            stop_telling(killed, "upsert", after=2)
            with pytest.raises(KilledHere):
                store.migrate(elsewhere)
        with pytest.raises(StoreDamaged, match="run the same `vecstore migrate` again"):
            Store.open(elsewhere)
        if grown:  # what was copied is of another state
            store.add(paint(tmp_path / "one more.png", 1_000))
        told: list[int] = []
        monkeypatch.setattr(milvus.MilvusEngine, "upsert", counting(milvus.MilvusEngine.upsert, told))
        report = store.migrate(elsewhere)
        assert (report.images, sum(told)) == ((N_PICTURES + 1,) * 2 if grown else (N_PICTURES, N_PICTURES - 2 * 16))
        with Store.open(elsewhere) as there:
            assert settled(there) == settled(store)


def counting(upsert: Callable[..., None], told: list[int]) -> Callable[..., None]:
    def count(engine: Any, rows: Any, vectors: Any) -> None:
        told.append(len(rows))
        upsert(engine, rows, vectors)

    return count


@pytest.mark.parametrize("step", ["_copy_rows", "_install", "_require_equal_rows", "require_equal"])
def test_a_migration_between_folders_goes_on_after_a_kill_at_every_step(
    step: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_arguments: Any, **_options: Any) -> None:
        raise KilledHere

    with opened(tmp_path / "store") as store:
        store.add(photos)
        with monkeypatch.context() as killed:
            killed.setattr(migrate, step, kill)
            with pytest.raises(KilledHere):
                store.migrate(tmp_path / "copy")
        with pytest.raises(VecstoreError):
            Store.open(tmp_path / "copy")
        assert store.migrate(tmp_path / "copy").images == N_PICTURES
        with Store.open(tmp_path / "copy") as copy:
            assert copy.similar("@7") == store.similar("@7")


def test_a_copy_that_is_not_true_is_not_kept(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_rows = migrate._copy_rows

    def copy_badly(source: Any, n_rows: int, to: Any) -> None:
        copy_rows(source, n_rows, to)
        with open(to.path, "r+b") as file:
            file.write(b"\0\0")

    with opened(tmp_path / "store") as store:
        store.add(photos)
        with monkeypatch.context() as bad:
            bad.setattr(migrate, "_copy_rows", copy_badly)
            with pytest.raises(StoreDamaged, match="differed from .* and was removed"):
                store.migrate(tmp_path / "copy")
        with pytest.raises(VecstoreError):
            Store.open(tmp_path / "copy")
        store.migrate(tmp_path / "copy")
        with Store.open(tmp_path / "copy") as copy:
            assert copy.similar("@7") == store.similar("@7")


def test_nothing_is_migrated_over_other_things(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/letter.txt").write_text("mine")
    with opened(tmp_path / "store") as store:
        store.add(photos)
        for destination in (tmp_path / "full", tmp_path / "store"):
            with pytest.raises(BadInput):
                store.migrate(destination)
    assert [file.name for file in (tmp_path / "full").iterdir()] == ["letter.txt"]


# A server that dies

# What the slow program of the tests for kills does (tests/programs.py), with commits that a kill falls between.
N_SLOW = 160


def slow_add(folder: Path, place: str, patience: float, monkeypatch: pytest.MonkeyPatch) -> subprocess.Popen[str]:
    """Start an add that takes seconds; return when some of it was committed."""
    monkeypatch.setenv(milvus_connection.PATIENCE, str(patience))
    process = start_program("add", folder, "--store", place, "-e", "hsv", prelude=SLOWLY)
    rows = Address.parse(place).companion / "vectors.f16"
    while process.poll() is None and not (rows.exists() and rows.stat().st_size > 0):
        time.sleep(0.01)
    return process


def add_whose_server_is_killed(
    server: MilvusServer, folder: Path, companion: Path, patience: float, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, subprocess.Popen[str]]:
    """Return the place of a new store, and the add to it that was under way when the server was killed."""
    place = f"milvus://127.0.0.1:{server.port}/t{uuid.uuid4().hex}?companion={companion}"
    process = slow_add(folder, place, patience, monkeypatch)
    server.kill()
    return place, process


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    for seed in range(N_SLOW):
        paint(folder / f"{seed:03}.png", seed)
    return folder


def each_once(place: str) -> bool:
    """Say whether the store and its engine have each of the pictures once, and find it."""
    with Store.open(place) as store:
        rows = np.concatenate([rows for rows, _ in store.session.engine.iterate()])
        found = [store.similar(f"@{row}", k=1)[0].id for row in range(0, N_SLOW, 40)]
        counts = (store.info().images, store.info().paths, store.session.engine.count())
        return counts == (N_SLOW,) * 3 and rows.tolist() == [*range(N_SLOW)] and found == [*range(0, N_SLOW, 40)]


@needs_milvus
def test_an_add_goes_on_when_the_server_is_killed_and_comes_back(
    server: MilvusServer, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, process = add_whose_server_is_killed(server, many, tmp_path / "store", 120, monkeypatch)
    server.start_again()
    stdout, stderr = process.communicate(timeout=180)
    assert (process.returncode, stdout.count(f"added {N_SLOW}, known 0")) == (0, 1), stderr
    assert each_once(place)


@needs_milvus
def test_an_add_fails_clearly_when_the_server_stays_away_and_a_second_ends_it(
    server: MilvusServer, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, process = add_whose_server_is_killed(server, many, tmp_path / "store", 1, monkeypatch)
    _, stderr = process.communicate(timeout=60)
    server.start_again()
    last = stderr.splitlines()[-1]
    assert process.returncode == 1
    assert re.fullmatch(r"Error: milvus://\S+ does not answer, after \d+ s of trying .*", last), stderr
    monkeypatch.setenv(milvus_connection.PATIENCE, "120")
    again = start_program("add", many, "--store", place, prelude=SLOWLY)
    stdout, stderr = again.communicate(timeout=180)
    assert (again.returncode, " failed 0 " in stdout) == (0, True), stderr
    assert each_once(place)


@needs_milvus
def test_real_pictures_move_to_a_server_and_back(
    server: MilvusServer,
    shared_pictures: Callable[[str], Path],
    tmp_path: Path,
    efficientnet: Any,
) -> None:
    place = f"milvus://127.0.0.1:{server.port}/t{uuid.uuid4().hex}?companion={tmp_path}/there"
    with Store.open(tmp_path / "store", embedder="efficientnet-lite0", create=True) as store:
        n_images = store.add(shared_pictures("trashnet2521")).added
        store.migrate(place)
        expected = [store.similar(f"@{row}", k=10) for row in range(0, n_images, 25)]
    with Store.open(place) as there:
        assert there.session.engine.count() == n_images
        assert [there.similar(f"@{row}", k=10) for row in range(0, n_images, 25)] == expected
        there.migrate(tmp_path / "back")
    with Store.open(tmp_path / "back") as back:
        assert [back.similar(f"@{row}", k=10) for row in range(0, n_images, 25)] == expected


@needs_milvus
@pytest.mark.parametrize("kind", ["ivf_sq8", "hnsw"])
def test_a_server_with_an_approximate_index_finds_the_same(
    kind: str, server: MilvusServer, photos: Path, tmp_path: Path, truth: Callable[[], Any]
) -> None:
    place = f"milvus://127.0.0.1:{server.port}/t{uuid.uuid4().hex}?companion={tmp_path}/store"
    with opened(place) as store:
        store.add(photos)
        report = store.index(kind=kind)
        assert (report.index, report.recall) == (kind, 1.0)
        assert [hit.score for hit in store.similar("@7", k=8)] == [hit.score for hit in truth()["similar"]]
        assert store.index(kind="auto").index == "exact"
        with pytest.raises(BadInput, match="choose auto, exact, ivf_sq8 or hnsw"):
            store.index(kind="rabitq")


# The last, as a machine has room for one server: it stops the others' to have its own.


@needs_milvus
def test_credentials_and_tls_are_as_the_server_wants_them(
    server: MilvusServer, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate(tmp_path)
    server.kill()
    pems = {"server_pem_path": f"{tmp_path}/server.pem", "server_key_path": f"{tmp_path}/server.key"}
    strict = MilvusServer(
        tmp_path / "milvus", authorization_enabled=True, tls_mode=1, **pems, ca_pem_path=f"{tmp_path}/server.pem"
    )
    strict.start()
    try:
        monkeypatch.setenv(milvus_connection.PATIENCE, "10")
        place = f"milvuss://localhost:{strict.port}/photos?ca={tmp_path}/server.pem&companion={tmp_path}/store"
        with opened(place) as store, pytest.raises(EngineRefused, match="refuses these credentials"):
            store.add(photos / "right")
        monkeypatch.setenv(milvus_connection.TOKEN, "root:Milvus")
        with opened(place) as store:
            assert store.add(photos / "right").added == N_PICTURES // 3
            assert len(store.similar("@0")) == 10
        assert b"root:Milvus" not in (tmp_path / "store/catalog.sqlite").read_bytes()
        monkeypatch.setenv(milvus_connection.PATIENCE, "1")
        # Not without TLS. Asked by a process of its own, as pymilvus keeps connections for others to the same address.
        plain = f"milvus://localhost:{strict.port}/photos?companion={tmp_path}/store"
        process = start_program("similar", "@0", "--store", plain)
        _, stderr = process.communicate(timeout=60)
        assert (process.returncode, "does not answer" in stderr) == (1, True), stderr
    finally:
        strict.stop()
        server.start_again()


def certificate(folder: Path) -> None:
    """Write server.pem and server.key: a certificate of localhost that is its own authority."""
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(folder / "server.key"), "-out", str(folder / "server.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files],
        check=True,
        capture_output=True,
    )
