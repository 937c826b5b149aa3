"""One act of the journal on its files: doing it, undoing it, and seeing which of the two an interrupted one came to."""

import os
from dataclasses import replace
from pathlib import Path

from vecstore.curation import file_acts, trash
from vecstore.curation.file_acts import holds
from vecstore.storage.catalog.acts import (
    COPY,
    DELETE,
    FOLDER,
    HARDLINK,
    LINK,
    MOVE,
    SYMLINK,
    TRASH,
    UNDOING,
    JournalledAct,
)
from vecstore.storage.durable_files import make_directory


def do_it(act: JournalledAct) -> None:
    """Do an act, once the file that stays in the stead of another is on the disk. Raises OSError."""
    draft, keeper, target = draft_of(act), act.keeper or b"", act.target or b""
    if keeper:
        file_acts.secure(keeper)
    if act.act == TRASH:
        trash.put(act.path)
        return
    if act.act == FOLDER:
        file_acts.make_folder(act.path)
        return
    if target:
        make_directory_of(target)
    if act.act == MOVE:
        file_acts.move(act.path, target, act.sha256, draft)
    elif act.act == HARDLINK:
        file_acts.replace_by_hardlink(act.path, keeper, draft)
    elif act.act == SYMLINK:
        file_acts.replace_by_symlink(act.path, keeper, draft)
    elif act.act == DELETE:
        file_acts.delete(act.path)
    elif act.act == COPY:
        file_acts.copy(act.path, target, act.sha256, draft)
    else:
        file_acts.link(act.path, target)


def settle(act: JournalledAct) -> bool | None:
    """Say whether the act was done, None if nothing can be seen of it; what it has left beside the files goes."""
    draft, keeper, target = draft_of(act), act.keeper or b"", act.target or b""
    if act.act == MOVE:
        done = file_acts.settle_move(act.path, target, act.sha256, draft)
        return done if done or os.path.lexists(act.path) else None
    if act.act == FOLDER:
        return os.path.isdir(act.path)
    if act.act in (TRASH, DELETE):
        gone = file_acts.settle_delete(act.path)
        return gone if not gone or os.path.isdir(os.path.dirname(act.path)) else None
    if act.act == HARDLINK:
        return file_acts.settle_hardlink(act.path, keeper, draft)
    if act.act == SYMLINK:
        return file_acts.settle_symlink(act.path, keeper, draft)
    if act.act == COPY:
        return file_acts.settle_copy(target, act.sha256, draft)
    return file_acts.settle_link(act.path, target)


def with_target(act: JournalledAct) -> JournalledAct:
    """Return the act with where the file is now, which the trash decides."""
    if act.act == TRASH and act.state != UNDOING and trash.HAS_NOTES:
        return replace(act, target=trash.find(act.path, act.sha256))
    return act


def undo_it(act: JournalledAct) -> None:
    draft, keeper, target = draft_of(act, undo=True), act.keeper or b"", act.target or b""
    if act.act in (COPY, LINK):
        file_acts.delete(target)
        return
    make_directory_of(act.path)
    if act.act in (HARDLINK, SYMLINK):
        source = keeper if holds(keeper, act.sha256) else act.path
        file_acts.restore_copy(act.path, source, act.sha256, draft, act.mode, act.modified_ns)
        return
    file_acts.move(target, act.path, act.sha256, draft)
    if act.act == TRASH:
        trash.forget_note(target)


def settle_undo(act: JournalledAct) -> bool | None:
    draft, keeper, target = draft_of(act, undo=True), act.keeper or b"", act.target or b""
    if act.act in (COPY, LINK):
        return file_acts.settle_delete(target)
    if act.act in (HARDLINK, SYMLINK):
        return file_acts.settle_copy_restored(act.path, keeper, act.sha256, draft)
    done = file_acts.settle_move(target, act.path, act.sha256, draft)
    return done if done or os.path.lexists(target) else None


def make_directory_of(path: bytes) -> None:
    """Make the folder of a path. Raises OSError."""
    make_directory(Path(os.fsdecode(os.path.dirname(path))))


def draft_of(act: JournalledAct, undo: bool = False) -> bytes:
    """Return where a file is written before it takes its place: in the same folder, by a name of this act alone."""
    place = act.path if undo or act.target is None or act.act == TRASH else act.target
    return os.path.join(os.path.dirname(place), b".vecstore-%s-%d" % (act.sha256[:6].hex().encode(), act.id))
