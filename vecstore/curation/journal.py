"""The journal of acts on files: checked by content just before, written down before and after, finished after a kill.

An act is one of two states of the files, and `one_act.py` can tell which; so whatever was interrupted is completed or
taken back by the next writer (`recover`), also if the files were touched by others meanwhile. No act leaves a content
without a file that can be read: what stays in the stead of a file is read and compared before, and what has no such
file is moved, never deleted.
"""

import errno
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

from vecstore.curation.checks import Planned, Refused, require_doable, require_undoable
from vecstore.curation.file_acts import FileState, remove_folder, require_as_found
from vecstore.curation.one_act import do_it, settle, settle_undo, undo_it, with_target
from vecstore.results import Act, Operation, UndoReport
from vecstore.session import Session
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.paths import shown
from vecstore.storage.catalog.acts import (
    COPY,
    DONE,
    FOLDER,
    HARDLINK,
    LINK,
    LOST,
    MOVE,
    REDOING,
    STARTED,
    SYMLINK,
    TRASH,
    UNDOING,
    UNDONE,
    JournalledAct,
)
from vecstore.storage.catalog.catalog import Catalog

log = logging.getLogger(__name__)

PLANNED, REFUSED = "planned", "refused"
# The sha256 that a folder is written down with.
NO_CONTENT = bytes(32)
# What the system says of a place that may not be written to.
READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
OnAct = Callable[[Act], None]


def preview(catalog: Catalog, planned: Planned) -> Act:
    """Return what would become of an act, with all that is looked at just before it is done."""
    try:
        state, *_ = require_doable(catalog, planned)
    except Refused as refusal:
        return planned.result(REFUSED, reason=str(refusal))
    return planned.result(PLANNED, _room_of(state))


def carry_out(session: Session, acts: Iterable[Planned], on_act: OnAct) -> list[Act]:
    """Do acts, one after the other; what cannot be done is refused, and the others are done. Inside `writing()`.

    Raises VecstoreError if the catalog cannot be written; a file that was touched by then is seen to by `recover`.
    """
    done: list[Act] = []
    folders: list[JournalledAct] = []
    for planned in acts:
        try:
            result = _carry_out(session.catalog, planned, folders)
        except Refused as refusal:
            result = planned.result(REFUSED, reason=str(refusal))
        done.append(result)
        on_act(result)
    with session.catalog.writing():
        for folder in reversed(folders):
            if remove_folder(folder.path):  # nothing came into it
                session.catalog.acts.drop(folder.id)
        session.catalog.acts.drop_empty_operations()
    return done


def recover(session: Session) -> None:
    """Complete, or take back, what was interrupted. The lock is held."""
    catalog = session.catalog
    unfinished = catalog.acts.unfinished()
    for act in unfinished:
        try:
            settled = settle_undo(act) if act.state == UNDOING else settle(act)
        except OSError as error:
            log.warning("an interrupted %s of %s cannot be seen to: %s", act.act, shown(act.path), error)
            continue
        if settled is None:  # nothing can be seen of it: a disk that is away
            continue
        with catalog.writing():
            if settled:
                act = with_target(act)
                _finish(catalog, act, UNDONE if act.state == UNDOING else DONE)
            elif act.state == STARTED:
                catalog.acts.drop(act.id)
            else:
                catalog.acts.set_state(act.id, DONE if act.state == UNDOING else UNDONE)
        log.info("an interrupted %s of %s was %s", act.act, shown(act.path), "completed" if settled else "taken back")
    if unfinished:
        with catalog.writing():
            catalog.acts.drop_empty_operations()


def undo(session: Session, operation: Operation, redo: bool) -> UndoReport:
    """Undo the acts of an operation, the last first, or do them again. What cannot be is left, with a reason.

    The operation counts as undone when nothing is left that could be. The lock is held.
    """
    catalog, refused = session.catalog, []
    files, restored, forgotten, lost = 0, 0, 0, 0
    acts = catalog.acts.of_operation(operation.operation)
    from_state, way = (UNDONE, _redo) if redo else (DONE, _undo)
    for act in acts if redo else reversed(acts):
        if act.state != from_state:
            continue
        if act.act == FOLDER:
            _turn_folder(catalog, act, redo)
            continue
        before = catalog.paths.count()
        try:
            way(catalog, act)
        except Refused as refusal:
            if not refusal.final:
                refused.append(f"{shown(act.path)}: {refusal}")
                continue
            lost += 1
            log.warning("%s: %s", shown(act.path), refusal)
            with catalog.writing():
                catalog.acts.set_state(act.id, LOST)
            continue
        files += 1
        change = catalog.paths.count() - before
        restored, forgotten = restored + max(change, 0), forgotten + max(-change, 0)
    undone = redo if refused else not redo
    with catalog.writing():
        catalog.acts.mark_undone(operation.operation, undone)
    turned = {**vars(operation), "undone": undone}
    return UndoReport(**turned, forgotten=forgotten, restored=restored, lost=lost, files=files, refused=tuple(refused))


# One act


def _carry_out(catalog: Catalog, planned: Planned, folders: list[JournalledAct]) -> Act:
    """Do what is planned. folders: those that are made for it are added."""
    found = require_doable(catalog, planned)
    state = found[0]
    folders += _made_folders(catalog, planned.target)
    act = JournalledAct(
        planned.act, planned.sha256, planned.path, planned.keeper, planned.target, state.mode, state.modified_ns
    )
    with catalog.writing():
        act = catalog.acts.begin(act)
    _perform(catalog, act, _doing(found), settle, on_failure=lambda: catalog.acts.drop(act.id))
    act = with_target(act)
    with catalog.writing():
        _finish(catalog, act, DONE)
    return planned.result(DONE, _room_of(state), target=act.target)


def _doing(found: Sequence[FileState]) -> Callable[[JournalledAct], None]:
    """Return what does an act, unless a file is not any more what was read."""

    def do(act: JournalledAct) -> None:
        for state in found:
            if state.path:
                require_as_found(state)
        do_it(act)

    return do


def _made_folders(catalog: Catalog, target: bytes | None) -> Iterator[JournalledAct]:
    """Make the folders that a target still needs, each an act of its own, and yield them."""
    missing: list[bytes] = []
    folder = os.path.dirname(target or b"")
    while folder and not os.path.lexists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for folder in reversed(missing):
        with catalog.writing():
            act = catalog.acts.begin(JournalledAct(FOLDER, NO_CONTENT, folder, None, None))
        try:
            do_it(act)
        except OSError as error:
            with catalog.writing():
                catalog.acts.drop(act.id)
            if isinstance(error, FileExistsError):  # another program was quicker: it is not ours to remove
                continue
            raise Refused(_in_words(error, act)) from error
        with catalog.writing():
            catalog.acts.set_state(act.id, DONE)
        yield act


def _turn_folder(catalog: Catalog, act: JournalledAct, redo: bool) -> None:
    """Make a folder again, or remove it if nothing is in it. What cannot be is left; its files' acts say why.

    One that somebody else made meanwhile stays undone, so that no undo removes it.
    """
    if redo:
        try:
            do_it(act)
        except OSError:
            return
    if redo or remove_folder(act.path):
        with catalog.writing():
            catalog.acts.set_state(act.id, DONE if redo else UNDONE)


def _redo(catalog: Catalog, act: JournalledAct) -> None:
    row = catalog.images.row_of(act.sha256)
    if row is None:
        raise Refused("its image was compacted meanwhile; `vecstore add` it again", final=True)
    target = None if act.act == TRASH else act.target  # another place in the trash, this time
    found = require_doable(catalog, Planned(act.act, row, act.sha256, act.path, act.keeper, target))
    with catalog.writing():
        catalog.acts.set_state(act.id, REDOING)
    _perform(catalog, act, _doing(found), settle, on_failure=lambda: catalog.acts.set_state(act.id, UNDONE))
    with catalog.writing():
        _finish(catalog, with_target(act), DONE)


def _undo(catalog: Catalog, act: JournalledAct) -> None:
    is_to_do = require_undoable(catalog, act)
    if is_to_do:
        with catalog.writing():
            catalog.acts.set_state(act.id, UNDOING)
        _perform(catalog, act, undo_it, settle_undo, on_failure=lambda: catalog.acts.set_state(act.id, DONE))
    with catalog.writing():
        _finish(catalog, act, UNDONE)


def _perform(
    catalog: Catalog,
    act: JournalledAct,
    do: Callable[[JournalledAct], None],
    look: Callable[[JournalledAct], bool | None],
    on_failure: Callable[[], None],
) -> None:
    """Do it; after an error, look whether it was done all the same. Raises Refused if not."""
    try:
        do(act)
    except OSError as error:
        try:
            settled = look(act)
        except OSError as second:
            raise Refused(f"{_in_words(second)}; the next command that writes sees to it") from error
        if settled:
            return
        if settled is not None:
            with catalog.writing():
                on_failure()
        raise Refused(_in_words(error, act)) from error


def _finish(catalog: Catalog, act: JournalledAct, state: str) -> None:
    """Record that an act is done, or undone, and what that makes of its path. In one transaction."""
    catalog.acts.set_state(act.id, state, act.target)
    goes_along = act.act == MOVE and act.keeper is None
    if act.act in (HARDLINK, SYMLINK):
        if (stamp := _stamp(act.path)) is not None:
            catalog.acts.restamp(stamp)
    elif act.act not in (COPY, LINK):
        came, went = (act.target, act.path) if state == DONE else (act.path, act.target)
        # The new path comes before the old one goes, so that no image is without one in between.
        if (state == UNDONE or goes_along) and came is not None and (stamp := _stamp(came)) is not None:
            catalog.acts.record_path(act, stamp)
        if (state == DONE or goes_along) and went is not None:
            catalog.acts.forget_path(went)


def _stamp(path: bytes) -> FileStamp | None:
    try:
        state = os.stat(path)
    except OSError:
        return None
    return FileStamp(path, state.st_size, state.st_mtime_ns)


def _room_of(state: FileState) -> int:
    return state.size if state.links == 1 else 0


def _in_words(error: OSError, act: JournalledAct | None = None) -> str:
    if error.errno == errno.EXDEV and act is not None and act.act == HARDLINK:
        return f"it is on another file system than {shown(act.keeper or b'')}, where no hard link leads; use symlink"
    said = error.strerror or str(error)
    if error.errno in READ_ONLY:
        return f"it, or its folder, may not be written to ({said})"
    return said
