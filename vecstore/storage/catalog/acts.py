"""The journal of acts on files: each is written down before it is begun and when it is done, with its path's record.

What the files are is not known here. The paths' records that an act changes are kept with it, so that they come back
with the file, one by one; an operation of acts therefore has no `changes`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vecstore.sources.file_stamp import FileStamp
from vecstore.storage.catalog.connection import Database, Queries
from vecstore.storage.catalog.undo import Operations

TRASH, MOVE, HARDLINK, SYMLINK, DELETE, COPY, LINK = "trash", "move", "hardlink", "symlink", "delete", "copy", "link"
# A folder that was made for files to go into; it has no content, and no operation is called so.
FOLDER = "folder"
# What operations of acts are called.
ACTS = (TRASH, MOVE, HARDLINK, SYMLINK, DELETE, COPY, LINK)
# lost: it was done, and cannot be undone.
STARTED, DONE, UNDOING, UNDONE, REDOING, LOST = "started", "done", "undoing", "undone", "redoing", "lost"


@dataclass(frozen=True)
class JournalledAct:
    """One act on one file.

    sha256: of the content. keeper: the file that stays in the stead of this one; None: nothing is given up, and the
    store follows a file that is moved. target: where it goes, or what is made. size, mtime_ns, since: what was on
    record of the path, None where it was not. mode, modified_ns: of the file itself.
    """

    act: str
    sha256: bytes
    path: bytes
    keeper: bytes | None
    target: bytes | None
    mode: int = 0
    modified_ns: int = 0
    size: int | None = None
    mtime_ns: int | None = None
    since: int | None = None
    id: int = 0
    operation: int = 0
    state: str = STARTED


class Acts(Queries):
    """What was done to files, and can be undone."""

    def __init__(self, database: Database, operations: Operations) -> None:
        super().__init__(database)
        self._operations = operations

    def begin(self, act: JournalledAct) -> JournalledAct:
        """Write down an act that is about to be begun, as part of the operation under way; return it as written."""
        values = {**vars(act), "operation": self._operations.begin()}
        return next(self._acts("where id = :value", self.db.execute(BEGIN, values).lastrowid))

    def unfinished(self) -> list[JournalledAct]:
        """Return the acts that were begun, or begun to be undone, and not finished, the oldest first."""
        return list(self._acts("where state in ('started', 'undoing', 'redoing') order by id"))

    def of_operation(self, operation: int) -> list[JournalledAct]:
        """Return the acts of an operation, the oldest first."""
        return list(self._acts("where operation = :value order by id", operation))

    def set_state(self, number: int, state: str, target: bytes | None = None) -> None:
        """target: where the file went, if only now that is known."""
        query = "update acts set state = :state, target = coalesce(:target, target) where id = :id"
        self.db.execute(query, {"id": number, "state": state, "target": target})

    def drop(self, number: int) -> None:
        """Forget an act that was never begun."""
        self.db.execute("delete from acts where id = :id", {"id": number})

    def drop_empty_operations(self) -> None:
        """Forget the operations of acts of which nothing was done."""
        kinds = ", ".join(f"'{act}'" for act in ACTS)
        self.db.execute(f"delete from operations where kind in ({kinds}) and id not in (select operation from acts)")

    def mark_undone(self, operation: int, undone: bool) -> None:
        self.db.execute("update operations set undone = :undone where id = :id", {"id": operation, "undone": undone})

    # The records of paths

    def forget_path(self, path: bytes) -> None:
        self.db.execute("delete from paths where path = :path", {"path": path})

    def record_path(self, act: JournalledAct, stamp: FileStamp) -> bool:
        """Let a file in this state hold an act's content, as one did before; return whether the store has it still."""
        row = self._value("select row from images where sha256 = :sha256", sha256=act.sha256)
        if row is None or act.since is None:  # compacted since, or not on record before either
            return False
        self.forget_path(stamp.path)
        self.db.execute(
            "insert into paths values (:path, :row, :size, :mtime_ns, :since)",
            {**vars(stamp), "row": row, "since": act.since},
        )
        return True

    def restamp(self, stamp: FileStamp) -> None:
        """Record the state of a file whose content is the same."""
        query = "update paths set size = :size, mtime_ns = :mtime_ns where path = :path"
        self.db.execute(query, vars(stamp))

    def _acts(self, which: str, value: Any = None) -> Iterator[JournalledAct]:
        fields = ", ".join(JournalledAct.__annotations__)
        found = self.db.execute(f"select {fields} from acts {which}", {"value": value} if value is not None else {})
        for values in found.fetchall():
            yield JournalledAct(*values)


BEGIN = """
    insert into acts (
        operation, act, state, sha256, path, keeper, target, size, mtime_ns, since, mode, modified_ns
    )
    select :operation, :act, 'started', :sha256, :path, :keeper, :target,
           paths.size, paths.mtime_ns, paths.since, :mode, :modified_ns
    from   (select 1) left join paths on paths.path = :path"""
