"""What is looked at just before an act, or its undo: contents, what kind of file each is, and what is in the way."""

import os
from dataclasses import dataclass

from vecstore.curation import file_acts
from vecstore.curation.file_acts import FileState, holds
from vecstore.results import Act
from vecstore.sources import archives, decoding
from vecstore.sources.path_state import identities
from vecstore.sources.paths import archive_of, on_disk, shown
from vecstore.storage.catalog.acts import COPY, DELETE, HARDLINK, LINK, SYMLINK, JournalledAct
from vecstore.storage.catalog.catalog import Catalog

# What needs a keeper of the very same content.
OF_COPIES = (HARDLINK, SYMLINK, DELETE)


class Refused(Exception):
    """An act is not done, for a reason in words. final: it never can be."""

    def __init__(self, reason: str, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


@dataclass(frozen=True)
class Planned:
    """An act that is to be done. reason: why it is not, if that is known already."""

    act: str
    id: int
    sha256: bytes
    path: bytes
    keeper: bytes | None = None
    target: bytes | None = None
    reason: str | None = None

    def result(self, state: str, size: int = 0, reason: str | None = None, target: bytes | None = None) -> Act:
        path, keeper, where = os.fsdecode(self.path), _decoded(self.keeper), _decoded(target or self.target)
        return Act(self.act, self.id, path, keeper, where, size, state, reason)


def _decoded(path: bytes | None) -> str | None:
    return None if path is None else os.fsdecode(path)


def require_doable(catalog: Catalog, planned: Planned) -> tuple[FileState, ...]:
    """Return the state of a file that may be acted on, and of its keeper. Raises Refused, with what was found."""
    if planned.reason is not None:
        raise Refused(planned.reason)
    if planned.target is not None and os.path.lexists(planned.target):
        raise Refused(f"{shown(planned.target)} is there already, and nothing is overwritten")
    if archive_of(planned.path) is not None:
        return (_member(planned),)
    state = _look(planned.path, "it")
    if state.sha256 != planned.sha256:
        raise Refused("it has another content than on record; `vecstore sync` its folder")
    if planned.keeper is None:
        return (state,)
    known = catalog.paths.known(planned.keeper)
    recorded = catalog.images.sha256_of(known.row) if known is not None else None
    if recorded is None:
        raise Refused(f"the file to keep, {shown(planned.keeper)}, is not in the store any more")
    keeper = _look(planned.keeper, f"the file to keep, {shown(planned.keeper)},")
    if keeper.identities & state.identities:
        raise Refused(f"it is the same file as the one to keep, {shown(planned.keeper)}")
    if keeper.sha256 != recorded:
        raise Refused(
            f"the file to keep, {shown(planned.keeper)}, has another content than on record; `vecstore sync` its folder"
        )
    if planned.act in OF_COPIES and keeper.sha256 != state.sha256:
        raise Refused("it is another picture than the one to keep; such a file is only moved, or put into the trash")
    return state, keeper


def _member(planned: Planned) -> FileState:
    if planned.act != COPY:
        raise Refused("it is in an archive, which is never changed; it can only be copied out")
    try:
        content = archives.read_path(planned.path)
    except (OSError, decoding.Unreadable) as error:
        raise Refused(f"it cannot be read: {error}") from error
    if content.sha256 != planned.sha256:
        raise Refused("it has another content than on record; `vecstore sync` its archive")
    return FileState(content.sha256, len(content.data), 0, content.mtime_ns, frozenset(), 1)


def _look(path: bytes, called: str) -> FileState:
    try:
        return file_acts.look(path)
    except FileNotFoundError as error:
        raise Refused(f"{called} is gone; `vecstore sync` its folder") from error
    except OSError as error:
        if os.path.islink(path):
            raise Refused(f"{called} is a symbolic link, and only files of their own count") from error
        raise Refused(f"{called} cannot be read: {error.strerror or error}") from error


def require_undoable(catalog: Catalog, act: JournalledAct) -> bool:
    """Say whether there is anything to undo, or a person has put it back already. Raises Refused."""
    if act.act == DELETE:
        raise Refused("it was deleted, and cannot come back", final=True)
    if act.act in (COPY, LINK):
        return _require_removable(catalog, act)
    if act.act in (HARDLINK, SYMLINK):
        return _require_linked(act)
    if os.path.lexists(act.path):
        if holds(act.path, act.sha256):
            return False
        raise Refused("something else is there by now; move it away, and undo again")
    if act.target is None:
        raise Refused("put it back from the system's trash, and `vecstore add` it", final=True)
    if not holds(act.target, act.sha256):
        gone = "is no longer there" if not os.path.lexists(act.target) else "has another content by now"
        raise Refused(f"{shown(act.target)}, where it went, {gone}", final=True)
    return True


def _require_removable(catalog: Catalog, act: JournalledAct) -> bool:
    target = act.target or b""
    if not os.path.lexists(target):
        return False
    if act.act == LINK:
        if not file_acts.is_symlink_to(target, act.path):
            raise Refused(f"{shown(target)} is not the link that was made; it is left as it is", final=True)
        return True
    if not holds(target, act.sha256):
        raise Refused(f"the copy {shown(target)} was changed; it is left as it is", final=True)
    row = catalog.images.row_of(act.sha256)
    others = {act.path, *(catalog.paths.of(row) if row is not None else ())} - {target}
    other = next((path for path in others if _is_elsewhere(path, target) and _can_be_read(path, act.sha256)), None)
    if other is None:
        raise Refused(f"the copy {shown(target)} is the last file of its content, and stays")
    try:
        file_acts.secure(os.path.realpath(on_disk(other)))
    except OSError as error:
        raise Refused(f"{shown(other)}, which stays in its stead, cannot be brought to the disk: {error}") from error
    return True


def _require_linked(act: JournalledAct) -> bool:
    keeper = act.keeper or b""
    if _is_linked(act) or not os.path.lexists(act.path):
        if not holds(keeper, act.sha256) and not _can_be_read(act.path, act.sha256):
            raise Refused(f"{shown(keeper)}, which it would be copied from, is gone or has changed")
        return True
    if holds(act.path, act.sha256):
        return False
    raise Refused("it was changed since; it is left as it is", final=True)


def _is_linked(act: JournalledAct) -> bool:
    keeper = act.keeper or b""
    if act.act == SYMLINK:
        return file_acts.is_symlink_to(act.path, keeper)
    return file_acts.are_same(act.path, keeper)


def _is_elsewhere(path: bytes, target: bytes) -> bool:
    """Say whether a path leads to a file that is there also without the one at `target`."""
    found, copied = os.path.realpath(path), os.path.realpath(target)
    try:
        same = identities(os.stat(on_disk(found)), found) & identities(os.stat(copied), copied)
        return found != copied and (not same or os.stat(found).st_nlink > 1)
    except OSError:
        return False


def _can_be_read(path: bytes, sha256: bytes) -> bool:
    """Say whether a path leads to this content, also by a link or in an archive."""
    try:
        return archives.read_path(path).sha256 == sha256
    except (OSError, decoding.Unreadable):
        return False
