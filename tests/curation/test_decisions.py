"""Decisions are by content: they hold wherever the files go, and in every copy of the store."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import paint
from vecstore.errors import BadInput
from vecstore.store import Store

OpenStore = Callable[..., Store]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """1.png, a copy of it, and a larger picture that is near to them; 2.png alone."""
    paint(tmp_path / "pictures/1.png", 1)
    paint(tmp_path / "pictures/large.png", 1, (64, 48))
    paint(tmp_path / "pictures/2.png", 2)
    shutil.copyfile(tmp_path / "pictures/1.png", tmp_path / "pictures/copy.png")
    return tmp_path / "pictures"


@pytest.fixture
def store(open_store: OpenStore, folder: Path) -> Store:
    made = open_store()
    made.add(folder)
    return made


def groups(store: Store) -> list[list[tuple[str, str]]]:
    return [[(file.kind, Path(file.path).name) for file in group.files] for group in store.duplicate_groups()]


def verdicts(store: Store) -> list[tuple[str, str | None, str | None]]:
    def name(path: str | None) -> str | None:
        return None if path is None else Path(path).name

    return sorted((one.verdict, name(one.one_path), name(one.other_path)) for one in store.decisions())


def test_what_is_different_is_in_no_group_again(store: Store, folder: Path) -> None:
    assert groups(store) == [[("keep", "large.png"), ("near", "1.png"), ("near", "copy.png")]]
    store.decide(folder / "1.png", folder / "large.png", verdict="different")
    assert groups(store) == [[("keep", "1.png"), ("copy", "copy.png")]]


def test_what_is_to_be_kept_both_comes_back_neither_as_near_nor_as_copy(store: Store, folder: Path) -> None:
    store.decide(folder / "1.png", folder / "large.png", verdict="both")
    assert groups(store) == []
    shutil.copyfile(folder / "1.png", folder / "third.png")
    store.add(folder)
    assert groups(store) == []


def test_of_copies_that_are_kept_one_stands_for_them_beside_a_near_image(store: Store, folder: Path) -> None:
    store.decide(folder / "1.png", verdict="both")
    assert groups(store) == [[("keep", "large.png"), ("near", "1.png")]]


def test_decisions_hold_after_files_moved_and_were_added_again(store: Store, folder: Path) -> None:
    store.decide(folder / "1.png", folder / "large.png", verdict="both")
    shutil.copytree(folder, folder.with_name("moved"))
    store.remove(folder)
    store.compact()
    assert groups(store) == []
    store.add(folder.with_name("moved"))
    assert groups(store) == []
    assert verdicts(store) == [("both", "1.png", "1.png"), ("both", "1.png", "large.png")]


def test_a_decision_of_contents_that_are_gone_is_listed_without_paths(store: Store, folder: Path) -> None:
    (decision,) = store.decide(folder / "1.png", folder / "large.png", verdict="different")
    store.remove(folder / "large.png")
    store.compact()
    (left,) = store.decisions()
    assert {left.one_sha256, left.other_sha256} == {decision.one_sha256, decision.other_sha256}
    assert sorted([left.one is None, left.other is None]) == [False, True]


def test_the_file_that_was_decided_to_be_kept_comes_first(store: Store, folder: Path) -> None:
    store.decide(folder / "1.png", folder / "large.png", keep=folder / "copy.png", verdict="keep")
    (group,) = store.duplicate_groups()
    assert [(file.kind, Path(file.path).name, file.why) for file in group.files] == [
        ("keep", "copy.png", "decided"),
        ("copy", "1.png", None),
        ("near", "large.png", None),
    ]
    assert group.is_decided


def test_a_decision_goes_before_rules(store: Store, folder: Path) -> None:
    store.decide(folder / "1.png", folder / "large.png", keep=folder / "copy.png", verdict="keep")
    first = next(store.duplicates(keep_by=["pixels"]))
    assert (Path(first.path).name, first.why) == ("copy.png", "decided")


def test_a_later_decision_takes_the_place_of_an_earlier_one_and_undo_puts_that_back(store: Store, folder: Path) -> None:
    store.decide(folder / "1.png", folder / "large.png", verdict="different")
    before = store.decisions()
    store.decide(folder / "1.png", folder / "large.png", keep=folder / "large.png", verdict="keep")
    assert verdicts(store) == [("keep", "1.png", "large.png")] or verdicts(store) == [("keep", "large.png", "1.png")]
    assert store.undo().kind == "decide"
    assert store.decisions() == before
    store.undo()
    assert (store.decisions(), len(groups(store)[0])) == ([], 3)
    store.undo(redo=True)
    assert store.decisions() == before


def test_the_same_decision_again_is_no_operation(store: Store, folder: Path) -> None:
    for _ in range(2):
        store.decide(folder / "1.png", folder / "large.png", verdict="both")
    assert [operation.kind for operation in store.operations()] == ["decide", "add"]


def test_backup_migration_and_export_take_decisions_along(store: Store, folder: Path, tmp_path: Path) -> None:
    store.decide(folder / "1.png", folder / "large.png", verdict="both")
    store.backup(tmp_path / "backup")
    store.migrate(tmp_path / "migrated")
    store.export(tmp_path / "all.parquet")
    with Store.open(tmp_path / "imported", embedder="tiny", create=True) as imported:
        imported.import_vectors(tmp_path / "all.parquet")
        assert (verdicts(imported), groups(imported)) == (verdicts(store), [])
        imported.undo()
        assert imported.decisions() == []
    store.embed_into(tmp_path / "of hsv", embedder="hsv")
    for name in ("backup", "migrated", "of hsv"):
        with Store.open(tmp_path / name) as copy:
            assert copy.decisions() == store.decisions()


def test_an_import_replaces_no_decision(store: Store, folder: Path, tmp_path: Path) -> None:
    store.decide(folder / "1.png", folder / "large.png", verdict="both")
    store.export(tmp_path / "all.parquet")
    store.decide(folder / "1.png", folder / "large.png", verdict="different")
    before = store.decisions()
    store.import_vectors(tmp_path / "all.parquet")
    assert store.decisions() == before


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda store: store.decide(0, 1, verdict="maybe"),
            "'maybe' is not a decision; there are different, both, keep",
        ),
        (lambda store: store.decide(1, verdict="both"), "a decision is about two images, or the copies of one; "),
        (lambda store: store.decide(0, 1, verdict="keep"), '"keep" needs the file to keep, '),
        (lambda store: store.decide(0, 1, keep="a.png", verdict="both"), '"keep" needs the file to keep, '),
        (lambda store: store.decide(0, 1, keep="/no.png", verdict="keep"), "/no.png is not a file of these images; "),
    ],
)
def test_what_cannot_be_decided_is_told(call: Callable[[Store], object], message: str, store: Store) -> None:
    with pytest.raises(BadInput, match=f"^{message}"):
        call(store)
    assert store.decisions() == []
