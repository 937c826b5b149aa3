"""Acts on files: each is checked by content just before, keeps the store in step, and is undone."""

import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from send2trash.exceptions import TrashPermissionError

from tests.conftest import paint
from tests.curation.interruptions import Killed, killed_at
from tests.curation.trash_bin import use_trash
from vecstore.curation import file_acts, journal
from vecstore.errors import BadInput, NotFound
from vecstore.results import Act, ActReport
from vecstore.storage.catalog.acts import Acts, JournalledAct
from vecstore.store import Store

OpenStore = Callable[..., Store]
ACTS = ("trash", "move", "hardlink", "symlink", "delete")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """a/1.png and b/1.png of one content, a/2.png and b/2.png of another, a/3.png alone."""
    for seed in (1, 2, 3):
        paint(tmp_path / "pictures/a" / f"{seed}.png", seed)
    (tmp_path / "pictures/b").mkdir()
    for seed in (1, 2):
        shutil.copyfile(tmp_path / f"pictures/a/{seed}.png", tmp_path / f"pictures/b/{seed}.png")
        os.utime(tmp_path / f"pictures/b/{seed}.png", (seed, seed))
    return tmp_path / "pictures"


@pytest.fixture
def store(open_store: OpenStore, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    use_trash(tmp_path / "data", monkeypatch)
    made = open_store()
    made.add(folder)
    return made


def apply(store: Store, act: str, **options: object) -> ActReport:
    """Do an act to the copies in b, keeping those in a."""
    folder = store.path.parent
    name = f"move:{folder / 'moved'}" if act == "move" else act
    given: dict[str, object] = {"keep_by": [f"folder:{folder / 'pictures/a'}"], "dry_run": False, **options}
    return store.act_on_duplicates(name, **given)  # type: ignore[arg-type]


def tree(folder: Path) -> dict[str, tuple[str, bytes, int]]:
    """Every file below a folder: whether it is a link, its bytes, and its time."""
    return {
        str(path.relative_to(folder)): (
            "link" if path.is_symlink() else "file",
            path.read_bytes(),
            path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def recorded(store: Store) -> list[tuple[int, bytes]]:
    return sorted((row, stamp.path) for row, stamp in store.session.catalog.paths.states())


def is_in_step(store: Store) -> bool:
    """Whether every recorded path is a file in the state on record, and the store whole."""
    states = [stamp for _, stamp in store.session.catalog.paths.states()]
    found = [os.stat(stamp.path) for stamp in states]
    return store.check(files=True) == [] and [(s.st_size, s.st_mtime_ns) for s in found] == [
        (stamp.size, stamp.mtime_ns) for stamp in states
    ]


@pytest.mark.parametrize("act", ACTS)
def test_an_act_is_done_to_every_copy_and_the_store_keeps_in_step(act: str, store: Store, folder: Path) -> None:
    report = apply(store, act)
    assert [(one.act, one.path, one.keeper, one.state) for one in report.acts] == [
        (act, str(folder / f"b/{n}.png"), str(folder / f"a/{n}.png"), "done") for n in (1, 2)
    ]
    assert (report.done, report.refused, report.bytes, report.freed) == (
        2,
        0,
        sum((folder / f"a/{n}.png").stat().st_size for n in (1, 2)),
        act in ("hardlink", "symlink", "delete"),
    )
    gone = act in ("trash", "move", "delete")
    assert [(folder / f"b/{n}.png").exists() for n in (1, 2)] == [not gone] * 2
    assert len(recorded(store)) == (3 if gone else 5)
    assert is_in_step(store)


@pytest.mark.parametrize("act", ACTS[:-1])
def test_undo_puts_files_and_paths_back_and_redo_does_the_act_again(act: str, store: Store, folder: Path) -> None:
    before = tree(folder), recorded(store)
    apply(store, act)
    after = tree(folder), recorded(store)
    report = store.undo()
    assert (report.kind, report.undone, report.files, report.refused) == (act, True, 2, ())
    assert (tree(folder), recorded(store)) == before
    assert is_in_step(store)
    assert store.undo(redo=True).files == 2
    assert (tree(folder), recorded(store)) == after


def test_links_that_are_undone_are_files_of_their_own(store: Store, folder: Path) -> None:
    apply(store, "hardlink")
    assert (folder / "b/1.png").samefile(folder / "a/1.png")
    store.undo()
    assert not (folder / "b/1.png").samefile(folder / "a/1.png")


def test_undo_of_a_deletion_says_that_files_do_not_come_back(store: Store, folder: Path) -> None:
    apply(store, "delete")
    report = store.undo()
    assert (report.lost, report.files, report.undone) == (2, 0, True)
    assert [operation.undone for operation in store.operations()] == [True, False]


def test_a_dry_run_does_nothing_and_says_what_would_be(store: Store, folder: Path) -> None:
    before = tree(folder), recorded(store)
    report = apply(store, "delete", dry_run=True)
    assert ([act.state for act in report.acts], report.operation) == (["planned"] * 2, None)
    assert (tree(folder), recorded(store), len(store.operations())) == (*before, 1)


@pytest.mark.parametrize("act", ACTS)
def test_what_was_done_before_ctrl_c_is_kept_and_the_rest_is_done_the_next_time(
    act: str, store: Store, folder: Path
) -> None:
    before = tree(folder)

    def interrupt(act: Act) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apply(store, act, on_act=interrupt)
    assert (is_in_step(store), store.session.catalog.acts.unfinished()) == (True, [])
    assert [one.path for one in apply(store, act).acts] == [str(folder / "b/2.png")]
    if act != "delete":
        store.undo()
        store.undo()
        assert tree(folder) == before


@pytest.mark.parametrize("act", ACTS)
def test_of_two_at_once_the_second_finds_nothing_left_to_do(
    act: str, store: Store, open_store: OpenStore, folder: Path
) -> None:
    planned = apply(store, act, dry_run=True).acts
    with open_store() as other:
        assert apply(other, act).done == 2
    assert (apply(store, act).acts, len(planned)) == ((), 2)
    assert is_in_step(store)


def test_without_a_rule_or_a_decision_nothing_is_acted_on(store: Store) -> None:
    assert apply(store, "delete", keep_by=()).acts == ()


def test_a_decided_keeper_is_acted_on_without_a_rule(store: Store, folder: Path) -> None:
    store.decide(folder / "a/1.png", keep=folder / "b/1.png", verdict="keep")
    report = apply(store, "delete", keep_by=())
    assert [(act.path, act.keeper) for act in report.acts] == [(str(folder / "a/1.png"), str(folder / "b/1.png"))]


def break_keeper(folder: Path) -> None:
    (folder / "a/1.png").write_bytes((folder / "a/3.png").read_bytes())


def link_keeper(folder: Path) -> None:
    (folder / "a/1.png").unlink()
    (folder / "a/1.png").symlink_to(folder / "b/1.png")


def name_twice(folder: Path) -> None:
    (folder / "b/1.png").unlink()
    os.link(folder / "a/1.png", folder / "b/1.png")


def change_victim(folder: Path) -> None:
    (folder / "b/1.png").write_bytes((folder / "a/3.png").read_bytes())


def replace_victim(folder: Path) -> None:
    (folder / "new.png").write_bytes((folder / "a/3.png").read_bytes())
    os.replace(folder / "new.png", folder / "b/1.png")


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (break_keeper, "the file to keep, {folder}/a/1.png, has another content than on record; "),
        (lambda folder: (folder / "a/1.png").unlink(), "the file to keep, {folder}/a/1.png, is gone; "),
        (link_keeper, "the file to keep, {folder}/a/1.png, is a symbolic link, and only files of their own count"),
        (name_twice, "it is the same file as the one to keep, {folder}/a/1.png"),
        (change_victim, "it has another content than on record; "),
        (lambda folder: (folder / "b/1.png").unlink(), "it is gone; "),
    ],
)
def test_what_changed_since_it_was_planned_is_refused_and_the_rest_done(
    act: str,
    harm: Callable[[Path], None],
    reason: str,
    store: Store,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    carry_out = journal.carry_out

    def after_harm(*arguments: object) -> list[Act]:
        harm(folder)
        left = (folder / "b/1.png").read_bytes() if (folder / "b/1.png").exists() else None
        done = carry_out(*arguments)  # type: ignore[arg-type]
        assert ((folder / "b/1.png").read_bytes() if (folder / "b/1.png").exists() else None) == left
        return done

    monkeypatch.setattr(journal, "carry_out", after_harm)
    first, second = apply(store, act).acts
    assert (first.state, second.state) == ("refused", "done")
    assert str(first.reason).startswith(reason.format(folder=folder))


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("harm", [break_keeper, link_keeper, change_victim, replace_victim])
def test_what_changes_between_the_look_and_the_act_is_refused_too(
    act: str, harm: Callable[[Path], None], store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = Acts.begin

    def after_harm(acts: Acts, planned: JournalledAct) -> JournalledAct:
        if planned.path == bytes(folder / "b/1.png"):
            harm(folder)
        return begin(acts, planned)

    monkeypatch.setattr(Acts, "begin", after_harm)
    first, second = apply(store, act).acts
    assert (first.state, first.reason, second.state) == ("refused", "it was changed just now", "done")
    assert not (folder / "b/1.png").is_symlink()
    assert len({(folder / f"{where}/1.png").read_bytes() for where in "ab"}) == (1 if harm is link_keeper else 2)
    assert store.session.catalog.acts.unfinished() == []


@pytest.mark.parametrize("act", ACTS)
def test_nothing_is_given_up_for_a_file_that_cannot_be_brought_to_the_disk(
    act: str, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree(folder)

    def fail(path: bytes) -> None:
        raise OSError(5, "Input/output error", path)

    monkeypatch.setattr(file_acts, "secure", fail)
    assert [one.reason for one in apply(store, act).acts] == ["Input/output error"] * 2
    assert tree(folder) == before


@pytest.mark.parametrize("act", ["trash", "move"])
def test_what_is_put_elsewhere_and_what_stays_are_on_the_disk_with_all_their_folders(
    act: str, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also folders that a link leads to, and those that were made a moment ago: a power cut may take them all."""
    for link, real in ((folder, folder.parent / "one/real"), (folder.parent / "moved", folder.parent / "two/real")):
        real.parent.mkdir()
        link.rename(real) if link.exists() else real.mkdir()
        link.symlink_to(real)
    synced, fsync = set(), os.fsync

    def noted(descriptor: int) -> None:
        synced.add(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    report = apply(store, act)
    assert report.done == 2
    found = [(one.keeper, one.target) for one in report.acts]
    kept, put = ({Path(file or "").resolve() for file in files} for files in zip(*found, strict=True))
    above = {parent for file in kept | put for parent in file.parents if parent.is_relative_to(folder.parent)}
    assert kept | above <= synced


def test_near_images_are_moved_by_a_rule_that_says_so_and_never_deleted(store: Store, folder: Path) -> None:
    paint(folder / "a/near.png", 1, (64, 48))
    store.add(folder)
    assert apply(store, "trash").done == 2
    with pytest.raises(BadInput, match="^near images are other pictures, of which delete would lose some; "):
        apply(store, "delete", near=True)
    report = apply(store, "move", near=True, keep_by=["pixels"])
    assert [(act.path, act.keeper) for act in report.acts] == [(str(folder / "a/1.png"), str(folder / "a/near.png"))]
    assert (folder.parent / "moved/1.png").exists()


def test_a_decision_for_a_near_image_does_not_let_it_be_deleted(store: Store, folder: Path) -> None:
    paint(folder / "a/near.png", 1, (64, 48))
    store.add(folder)
    store.decide(folder / "a/1.png", folder / "a/near.png", keep=folder / "a/near.png", verdict="keep")
    report = apply(store, "delete", keep_by=())
    assert [(act.state, act.reason) for act in report.acts] == [
        ("refused", "it is another picture than the one to keep; give trash or move:DIR")
    ]
    assert apply(store, "trash", keep_by=()).done == 1


def test_a_picture_in_an_archive_is_never_changed(store: Store, folder: Path) -> None:
    with zipfile.ZipFile(folder / "z.zip", "w") as archive:
        archive.write(folder / "a/3.png", "3.png")
    store.add(folder)
    before = (folder / "z.zip").read_bytes()
    report = apply(store, "delete", keep_by=["newest"])
    assert {act.path for act in report.acts} == {str(folder / f"b/{n}.png") for n in (1, 2)}
    assert (folder / "z.zip").read_bytes() == before


def test_another_file_system_is_told_for_a_hard_link(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    before = tree(folder)
    assert apply(store, "hardlink").acts[0].reason == (
        f"it is on another file system than {folder}/a/1.png, where no hard link leads; use symlink"
    )
    assert (tree(folder), len(store.operations())) == (before, 1)


def test_a_move_to_another_file_system_copies_and_is_undone(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, replace = tree(folder), os.replace

    def refuse(source: bytes, target: bytes) -> None:
        if b".vecstore-" not in os.fsencode(source):
            raise OSError(18, "Invalid cross-device link")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    assert apply(store, "move").done == 2
    assert sorted(path.name for path in (folder.parent / "moved").iterdir()) == ["1.png", "2.png"]
    store.undo()
    assert tree(folder) == before


@pytest.mark.parametrize("after", [False, True])
def test_a_kill_at_any_moment_of_a_move_to_another_disk_leaves_the_file_at_one_place(
    after: bool, store: Store, folder: Path
) -> None:
    if not Path("/dev/shm").is_dir() or os.stat("/dev/shm").st_dev == os.stat(folder).st_dev:
        pytest.skip("there is no second file system here")
    victim, content = folder / "a/3.png", (folder / "a/3.png").read_bytes()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        moved = Path(elsewhere) / "3.png"
        for number in range(1, 30):
            try:
                with killed_at(number, after=after):
                    store.collect(victim, target=elsewhere, act="move")
                break
            except Killed:
                store.compact()  # any writer
            assert [path.read_bytes() for path in (victim, moved) if path.exists()] == [content]
            assert sorted(os.listdir(elsewhere)) == ["3.png"] * moved.exists()
            assert os.fsencode(moved if moved.exists() else victim) in {path for _, path in recorded(store)}
            if moved.exists():
                store.undo()
        assert number > 5
        store.undo()
    assert victim.read_bytes() == content


def test_a_folder_that_may_not_be_written_to_is_told(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: bytes) -> None:
        raise PermissionError(13, "Permission denied", path)

    before = tree(folder)
    monkeypatch.setattr(os, "unlink", refuse)  # the administrator may write anywhere
    report = apply(store, "delete")
    assert (report.acts[0].reason, report.done) == ("it, or its folder, may not be written to (Permission denied)", 0)
    assert tree(folder) == before


def test_a_trash_that_cannot_be_used_is_told(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise TrashPermissionError(path)

    before = tree(folder), recorded(store)
    monkeypatch.setattr("send2trash.send2trash", refuse)
    report = apply(store, "trash")
    assert (report.done, str(report.acts[0].reason)[:37]) == (0, "it, or its folder, may not be written")
    assert (tree(folder), recorded(store)) == before


def test_undo_overwrites_nothing_and_goes_on_when_there_is_room(store: Store, folder: Path) -> None:
    before = tree(folder)
    apply(store, "trash")
    (folder / "b/1.png").write_bytes(b"another")
    report = store.undo()
    assert (report.files, report.undone, report.refused) == (
        1,
        False,
        (f"{folder}/b/1.png: something else is there by now; move it away, and undo again",),
    )
    (folder / "b/1.png").unlink()
    assert store.undo().undone
    assert tree(folder) == before


def test_undo_says_what_the_trash_does_not_have_any_more(store: Store, folder: Path) -> None:
    apply(store, "trash")
    shutil.rmtree(folder.parent / "data/Trash/files")
    assert (store.undo().lost, len(recorded(store))) == (2, 3)


def test_a_file_is_put_back_also_after_its_image_was_compacted(store: Store, folder: Path) -> None:
    paint(folder / "a/near.png", 1, (64, 48))
    store.add(folder)
    before = tree(folder)
    apply(store, "trash", near=True, keep_by=["pixels"])
    store.compact()
    store.undo()
    assert tree(folder) == before
    assert store.add(folder).embedded == 1


# Into folders


@pytest.mark.parametrize("act", ["copy", "link", "move"])
def test_images_go_into_a_folder_under_free_names_and_come_back(act: str, store: Store, folder: Path) -> None:
    before = tree(folder), recorded(store)
    target = folder.parent / "target"
    paint(target / "1.png", 50)
    report = store.collect(folder / "a/1.png", folder / "a/3.png", target=target, act=act)
    assert [one.target for one in report.acts] == [str(target / "1 (2).png"), str(target / "3.png")]
    assert sorted(tree(target)) == ["1 (2).png", "1.png", "3.png"]
    assert (folder / "a/3.png").exists() == (act != "move")
    assert is_in_step(store)
    assert store.undo().files == 2
    assert (tree(folder), recorded(store), sorted(tree(target))) == (*before, ["1.png"])


def test_undo_removes_the_folders_that_were_made_if_nothing_else_is_in_them(store: Store, folder: Path) -> None:
    there, made = folder.parent / "there", folder.parent / "there/made"
    there.mkdir()
    store.collect(folder / "a/3.png", target=made / "deep", act="move")
    assert store.undo().files == 1
    assert list(there.iterdir()) == []
    assert store.undo(redo=True).files == 1
    assert (made / "deep/3.png").exists()
    (made / "mine.txt").touch()
    store.undo()
    assert [path.name for path in made.iterdir()] == ["mine.txt"]


def test_a_folder_that_somebody_else_made_stays(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = folder.parent / "target"
    make = file_acts.make_folder

    def too_late(path: bytes) -> None:
        Path(os.fsdecode(path)).mkdir()
        make(path)

    monkeypatch.setattr(file_acts, "make_folder", too_late)
    assert store.collect(folder / "a/3.png", target=target, act="move").acts[0].state == "done"
    monkeypatch.undo()
    assert store.undo().files == 1
    assert target.is_dir()


def test_a_folder_that_somebody_else_made_before_a_redo_stays(store: Store, folder: Path) -> None:
    target = folder.parent / "target"
    store.collect(folder / "a/3.png", target=target, act="move")
    store.undo()
    target.mkdir()
    for redo in (True, False):
        assert store.undo(redo=redo).files == 1
    assert target.is_dir()


def test_a_folder_is_not_made_for_what_cannot_be_done(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(file_acts, "copy", refuse)
    report = store.collect(folder / "a/3.png", target=folder.parent / "new/deep")
    assert [one.reason for one in report.acts] == ["No space left on device"]
    assert not (folder.parent / "new").exists()
    assert len(store.operations()) == 1


@pytest.mark.parametrize("after", [False, True])
def test_a_kill_while_a_folder_is_made_leaves_it_to_the_undo(after: bool, store: Store, folder: Path) -> None:
    with pytest.raises(Killed), killed_at(2, after=after):  # the first opens the file
        store.collect(folder / "a/3.png", target=folder.parent / "new", act="move")
    assert (folder.parent / "new").exists() == after
    store.compact()  # any writer
    assert store.session.catalog.acts.unfinished() == []
    if after:
        store.undo()
    assert not (folder.parent / "new").exists()
    assert len(store.operations()) == 1 + after


def test_a_moved_image_keeps_its_id(store: Store, folder: Path) -> None:
    row = store.image(folder / "a/3.png").id
    store.collect(row, target=folder.parent / "target", act="move")
    assert store.image(row).paths == (str(folder.parent / "target/3.png"),)


def test_a_picture_in_an_archive_is_copied_out_and_not_linked_to(store: Store, folder: Path) -> None:
    paint(folder.parent / "inner.png", 9)
    with zipfile.ZipFile(folder / "z.zip", "w") as archive:
        archive.write(folder.parent / "inner.png", "inner.png")
    store.add(folder)
    row = store.image(folder / "z.zip!/inner.png").id
    report = store.collect(row, target=folder.parent / "target", act="move")
    assert [(one.act, one.state) for one in report.acts] == [("copy", "done")]
    assert (folder.parent / "target/inner.png").read_bytes() == (folder.parent / "inner.png").read_bytes()
    assert store.collect(row, target=folder.parent / "links", act="link").acts[0].reason == (
        "it is in an archive, which is never changed; it can only be copied out"
    )


def test_undo_keeps_a_copy_that_is_the_last_file_of_its_content(store: Store, folder: Path) -> None:
    store.collect(folder / "a/3.png", target=folder.parent / "target")
    (folder / "a/3.png").unlink()
    (folder / "a/3.png").symlink_to(folder.parent / "target/3.png")
    (refused,) = store.undo().refused
    assert (
        refused == f"{folder}/a/3.png: the copy {folder.parent}/target/3.png is the last file of its content, and stays"
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda store: apply(store, "burn"), "'burn' is not an act; there are trash, "),
        (lambda store: store.act_on_duplicates("move:"), "'move:' is not an act; "),
        (lambda store: apply(store, "trash", keep_by=["best"]), "'best' is not a rule for what to keep; there are "),
        (lambda store: apply(store, "trash", keep_by=(), near=True), "near images are only acted on by a rule "),
        (lambda store: store.collect(0, target=store.path / "in"), ".*/store/in is inside the store itself; "),
        (lambda store: store.collect(0, target=store.path / "catalog.sqlite"), ".*catalog.sqlite is a file; "),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(
    call: Callable[[Store], object], message: str, store: Store, folder: Path
) -> None:
    before = tree(folder)
    with pytest.raises(BadInput, match=f"^{message}"):
        call(store)
    assert tree(folder) == before


def test_an_unknown_image_is_not_found(store: Store, folder: Path) -> None:
    with pytest.raises(NotFound, match="^no image @99 "):
        store.collect(99, target=folder.parent / "target")
    assert not (folder.parent / "target").exists()
