"""Undo and redo: what an operation replaced comes back, in any order of operations."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import TinyEmbedder, paint
from vecstore.errors import NotFound
from vecstore.storage.catalog.undo import OPERATIONS_KEPT
from vecstore.store import Store

OpenStore = Callable[..., Store]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def store(open_store: OpenStore, pictures: Path) -> Store:
    made = open_store()
    made.add(pictures)
    return made


def state(store: Store) -> tuple[object, ...]:
    """All that an operation can change: which path leads where, which clustering answers, and the names."""
    current = store.session.catalog.clusterings.current()
    names = [(c.cluster, c.name) for c in store.clusters()] if current and store.info().images else []
    return sorted(store.session.catalog.paths.all()), current, names


def test_an_add_is_undone_and_adding_again_embeds_nothing(store: Store, pictures: Path) -> None:
    before = state(store)
    paint(pictures / "new.png", 50)
    store.add(pictures)
    report = store.undo()
    assert (report.kind, report.what, report.forgotten, state(store)) == ("add", str(pictures), 1, before)
    assert (store.add(pictures).added, TinyEmbedder.embedded_count) == (1, 11)


def test_a_sync_is_undone_whatever_it_did(store: Store, pictures: Path) -> None:
    before = state(store)
    paint(pictures / "0.png", 60)
    (pictures / "1.png").unlink()
    (pictures / "2.png").rename(pictures / "renamed.png")
    (pictures / "3.png").write_bytes(b"broken")
    paint(pictures / "new.png", 61)
    store.sync(pictures)
    after = state(store)
    assert (after != before, store.undo().kind, state(store)) == (True, "sync", before)
    assert (store.undo(redo=True).undone, state(store)) == (False, after)


@pytest.mark.parametrize(
    "operate",
    [
        lambda store: store.remove(2, 3),
        lambda store: store.cluster(2, restarts=1),
        lambda store: store.use_clustering(1),
        lambda store: store.name_cluster(0, "second name"),
    ],
)
def test_every_operation_is_undone_and_redone(operate: Callable[[Store], object], store: Store) -> None:
    store.cluster(3, restarts=1)
    store.name_cluster(0, "first name")
    store.cluster(4, restarts=1)
    before = state(store)
    operate(store)
    after = state(store)
    store.undo()
    undone = state(store)
    store.undo(redo=True)
    assert (undone, state(store)) == (before, after)


def test_any_sequence_can_be_gone_back_and_forth(store: Store, pictures: Path) -> None:
    random = np.random.default_rng(0)
    states = [state(store)]
    for number in range(25):
        alive = store.session.catalog.images.alive_rows()
        match int(random.integers(5)):
            case 0:
                paint(pictures / f"{random.integers(12)}.png", 100 + number)
                store.sync(pictures)
            case 1 if len(alive) > 4:
                store.remove(int(random.choice(alive)))
            case 2:
                store.cluster(int(random.integers(1, 4)), restarts=1, iterations=2)
            case 3 if states[-1][1]:
                store.name_cluster(store.clusters()[0].cluster, f"name {number}")
            case _:
                store.add(pictures)
        if state(store) != states[-1]:
            states.append(state(store))
    seen = [states[-1]]
    for _ in states[1:]:
        store.undo()
        seen.append(state(store))
    assert seen == states[::-1]
    for _ in states[1:]:
        store.undo(redo=True)
    assert (state(store), store.check()) == (states[-1], [])


def test_what_changes_nothing_is_no_operation(store: Store, pictures: Path) -> None:
    store.add(pictures)
    store.sync(pictures)
    assert [(found.kind, found.undone) for found in store.operations()] == [("add", False)]


@pytest.mark.parametrize(
    "repeat",
    [
        lambda store: store.name_cluster(0, "first name"),
        lambda store: store.confirm_name(0),
        lambda store: store.name_cluster(1, ""),
        lambda store: store.use_clustering(1),
        lambda store: store.move(2, to=0),
        lambda store: store.pin(2),
        lambda store: store.unpin(3),
        lambda store: store.decide(0, 1, verdict="different"),
        lambda store: store.select("some", 4),
        lambda store: store.select("some", 5, remove=True),
        lambda store: touched(store).add(Path(store.paths[0]).parent),
    ],
)
def test_an_act_that_changes_nothing_is_no_operation_and_leaves_what_can_be_redone(
    repeat: Callable[[Store], object], store: Store
) -> None:
    store.cluster(2, restarts=1)
    store.name_cluster(0, "first name")
    store.move(2, to=0)
    store.decide(0, 1, verdict="different")
    store.select("some", 4)
    store.select("others", 4)
    store.undo()
    before = store.operations()
    repeat(store)
    assert (store.operations(), store.undo(redo=True).undone) == (before, False)


def touched(store: Store) -> Store:
    """Return the store, whose first file has another time and the same content now."""
    os.utime(store.paths[0], (1, 1))
    return store


def test_nothing_to_undo_is_not_found(store: Store) -> None:
    store.undo()
    with pytest.raises(NotFound, match="nothing to undo in the store"):
        store.undo()


def test_something_new_ends_what_can_be_redone(store: Store) -> None:
    store.remove(1)
    store.undo()
    store.remove(2)
    with pytest.raises(NotFound, match="nothing to redo"):
        store.undo(redo=True)


def test_only_so_many_operations_are_kept(store: Store) -> None:
    store.cluster(2, restarts=1)
    for number in range(OPERATIONS_KEPT + 5):
        store.name_cluster(0, f"name {number}")
    assert [found.operation for found in store.operations()][-1] == 8
    assert len(store.operations()) == OPERATIONS_KEPT


def test_an_operation_that_failed_is_none(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr("vecstore.ingest.sync.RemoveReport", fail)
        with pytest.raises(ZeroDivisionError):
            store.remove(1)
    before = state(store)
    store.remove(2)
    assert [found.kind for found in store.operations()] == ["remove", "add"]
    assert (store.undo().restored, state(store)) == (1, before)


def test_what_was_compacted_meanwhile_is_told_as_lost(store: Store) -> None:
    store.remove(1, 2)
    store.compact()
    report = store.undo()
    assert (report.restored, report.lost, store.check()) == (0, 2, [])


def test_an_undo_of_a_clustering_whose_labels_were_forgotten_works_them_out(store: Store) -> None:
    store.cluster(2, restarts=1)
    expected = [m.id for c in store.clusters() for m in store.members(c.cluster)]
    store.cluster(3, restarts=1)
    store.compact(keep_clusterings=1)
    store.undo()
    assert [m.id for c in store.clusters() for m in store.members(c.cluster)] == expected
