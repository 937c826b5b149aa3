"""Undo: what each operation replaced, and putting it back.

Undoing swaps what is there with what was kept, so redoing is the same step again (https://sqlite.org/undoredo.html).
"""

from collections.abc import Iterator
from contextlib import contextmanager

from vecstore.results import Operation, UndoReport
from vecstore.storage.catalog.connection import Announced, Queries, now
from vecstore.storage.catalog.sql import CURRENT

# So many operations can be undone; what older ones replaced is forgotten.
OPERATIONS_KEPT = 50


class Operations(Queries):
    """What was done, and can be undone."""

    @contextmanager
    def announced(self, kind: str, what: str) -> Iterator[None]:
        """Let what is changed inside be one operation, to be undone as one; nothing is recorded if nothing is changed.

        kind: what `operations` calls it. what: what it is about, for a person.
        """
        self._database.operation = Announced(kind, what)
        try:
            yield
        finally:
            self._database.operation = 0

    def begin(self) -> int:
        """Return the number of the operation under way, recorded with its first change; 0 if none was announced."""
        under_way = self._database.operation
        if isinstance(under_way, int):
            return under_way
        # What was undone before cannot be redone on top of something else.
        self.db.execute("delete from operations where undone")
        values = {**vars(under_way), "now": now()}
        query = f"insert into operations (kind, what, began, clustering) values (:kind, :what, :now, {CURRENT})"
        number = self.db.execute(query, values).lastrowid
        self.db.execute(f"delete from operations where id <= :id - {OPERATIONS_KEPT}", {"id": number})
        self._database.operation = int(number or 0)
        return self._database.operation

    def current(self) -> int | None:
        """Return the number of the operation under way, None if nothing was recorded of it yet."""
        under_way = self._database.operation
        return under_way if isinstance(under_way, int) and under_way else None

    def all(self) -> list[Operation]:
        """Return the operations that can be undone or redone, the last first."""
        query = "select id, kind, what, began, undone from operations order by id desc"
        found = self.db.execute(query).fetchall()
        return [Operation(number, kind, what, began, bool(undone)) for number, kind, what, began, undone in found]

    def state(self) -> str:
        """Return a text that differs after each operation, undo and redo."""
        last, undone = self.db.execute(
            "select coalesce(max(id), 0), coalesce(sum(undone), 0) from operations"
        ).fetchone()
        return f"{last}.{undone}"

    def undo(self, operation: Operation) -> UndoReport:
        """Put back what an operation replaced, keeping what it made, so that the next call does it again.

        Paths that led to an image that was compacted since stay as they are.
        """
        values = {"id": operation.operation}
        for step in UNDO:
            self.db.execute(step, values)
        gone, back, lost = self.db.execute(COUNT_TURNED, values).fetchone()
        for step in (*PUT_BACK, *PUT_BACK_BY_HAND, *UNDO_CLUSTERS.get(operation.kind, ())):
            self.db.execute(step, values)
        self.db.execute("update operations set undone = not undone where id = :id", values)
        turned = {**vars(operation), "undone": not operation.undone}
        return UndoReport(**turned, forgotten=gone, restored=back, lost=lost)


# `undo`, a statement a step. What is there now is kept as what the next turn puts back.
UNDO = (
    """
    insert or ignore into changes (operation, path)
    select :id, path from paths where since = :id""",
    "drop table if exists temp.turned",
    """
    create temp table turned as
    select changes.path, paths.row, paths.size, paths.mtime_ns, paths.since
    from   changes left join paths using (path) where operation = :id""",
)


COUNT_TURNED = """
    select count(*) filter (where changes.row is null and turned.row is not null),
           count(*) filter (where changes.row is not null and images.checksum is not null),
           count(*) filter (where changes.row is not null and images.checksum is null)
    from   changes join turned using (path) left join images on images.row = changes.row
    where  operation = :id"""


PUT_BACK = (
    "delete from paths where path in (select path from changes where operation = :id and row is null)",
    """
    insert into paths
    select path, changes.row, size, mtime_ns, since from changes join images using (row)
    where  operation = :id and checksum is not null
    on conflict (path) do update set
        since = excluded.since, row = excluded.row, size = excluded.size, mtime_ns = excluded.mtime_ns""",
    "delete from changes where operation = :id",
    "insert into changes select :id, * from turned",
    "drop table turned",
    # The same with failures.
    """
    create temp table turned as
    select path, failures.size, failures.mtime_ns, failures.reason, failures.failed
    from   failure_changes left join failures using (path) where operation = :id""",
    "delete from failures where path in (select path from failure_changes where operation = :id)",
    """
    insert into failures
    select path, size, mtime_ns, reason, failed from failure_changes where operation = :id and size is not null""",
    "delete from failure_changes where operation = :id",
    "insert into failure_changes select :id, * from turned",
    "drop table turned",
    # The same with decisions.
    """
    create temp table turned as
    select one, other, decisions.verdict, decisions.kept, decisions.path, decisions.decided
    from   decision_changes left join decisions using (one, other) where operation = :id""",
    "delete from decisions where (one, other) in (select one, other from decision_changes where operation = :id)",
    """
    insert into decisions
    select one, other, verdict, kept, path, decided
    from   decision_changes where operation = :id and verdict is not null""",
    "delete from decision_changes where operation = :id",
    "insert into decision_changes select :id, * from turned",
    "drop table turned",
)


# The same with selections, and with memberships that were changed by hand. An image that was compacted is in none.
PUT_BACK_BY_HAND = (
    """
    create temp table turned as
    select selection, selections.created
    from   selection_changes join selections on id = selection where operation = :id""",
    """
    update selections set created = (
        select created from selection_changes where operation = :id and selection = selections.id
    )
    where id in (select selection from selection_changes where operation = :id)""",
    "delete from selection_changes where operation = :id",
    "insert into selection_changes select :id, * from turned",
    "drop table turned",
    """
    create temp table turned as
    select selection, row, was_in, exists (
        select 1 from selected where selected.selection = changed.selection and selected.row = changed.row
    )
    as is_in from selected_changes as changed where operation = :id""",
    "delete from selected where (selection, row) in (select selection, row from turned where not was_in)",
    "insert or ignore into selected select selection, row from turned where was_in",
    "delete from selected_changes where operation = :id",
    "insert into selected_changes select :id, selection, row, is_in from turned",
    "drop table turned",
    """
    create temp table turned as
    select clustering, row, memberships.cluster, memberships.distance, memberships.pinned
    from   membership_changes join memberships using (clustering, row) where operation = :id""",
    """
    update memberships set (cluster, distance, pinned) = (
        select cluster, distance, pinned from membership_changes
        where  operation = :id and clustering = memberships.clustering and row = memberships.row
    )
    where  (clustering, row) in (select clustering, row from turned)""",
    "delete from membership_changes where operation = :id",
    "insert into membership_changes select :id, * from turned",
    "drop table turned",
)


UNDO_CURRENT = (
    "create temp table turned as select clustering from store",
    "update store set clustering = (select clustering from operations where id = :id)",
    "update operations set clustering = (select clustering from turned) where id = :id",
    "drop table turned",
)


# What operations of these kinds replace beside paths; each swaps what is there with what is kept.
UNDO_CLUSTERS = {
    "cluster": UNDO_CURRENT,
    "import": UNDO_CURRENT,
    "reassign": UNDO_CURRENT,
    "merge": UNDO_CURRENT,
    "split": UNDO_CURRENT,
    "name": (
        """
        create temp table turned as
        select identities.name, identities.named_in from identities join operations using (cluster) where id = :id""",
        """
        update identities set (name, named_in) = (select name, named_in from operations where id = :id)
        where  cluster = (select cluster from operations where id = :id)""",
        "update operations set (name, named_in) = (select name, named_in from turned) where id = :id",
        "drop table turned",
    ),
}
