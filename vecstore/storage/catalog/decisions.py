"""The decisions: what a person said of two contents, or of the copies of one.

They are kept by content, so that they hold wherever the files go. What a decision replaces belongs to the operation
under way, and `undo` puts it back.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from vecstore.storage.catalog.connection import Database, Queries, now
from vecstore.storage.catalog.undo import Operations

DIFFERENT, BOTH, KEEP = "different", "both", "keep"
VERDICTS = (DIFFERENT, BOTH, KEEP)


@dataclass(frozen=True)
class PairDecision:
    """What was decided of two contents, one <= other; of the copies of one where both are the same.

    verdict: "different" (not duplicates), "both" (duplicates, all to be kept), or "keep". kept: of "keep", the content
    to keep. path: of "keep" among copies, the file to keep. decided: when, in UTC; "" for now.
    """

    one: bytes
    other: bytes
    verdict: str
    kept: bytes | None = None
    path: bytes | None = None
    decided: str = ""

    @classmethod
    def of(cls, verdict: str, first: bytes, second: bytes, path: bytes | None = None) -> "PairDecision":
        """Return the decision of two contents in any order; of "keep", the first is the one to keep."""
        one, other = min(first, second), max(first, second)
        return cls(one, other, verdict, first if verdict == KEEP else None, path)


class Decisions(Queries):
    """What was decided of contents. Writing belongs to the operation under way."""

    def __init__(self, database: Database, operations: Operations) -> None:
        super().__init__(database)
        self._operations = operations

    def all(self) -> list[PairDecision]:
        """Return all decisions, the latest first."""
        query = "select one, other, verdict, kept, path, decided from decisions order by decided desc, one, other"
        return [PairDecision(*found) for found in self.db.execute(query)]

    def put(self, decisions: Iterable[PairDecision]) -> int:
        """Record decisions, each in the place of an earlier one of the same contents; return how many are new."""
        n_new, moment = 0, now()
        for decision in decisions:
            values = {**vars(decision), "decided": decision.decided or moment}
            if self._value(IS_RECORDED, **values):
                continue
            n_new += 1
            self.db.execute(REMEMBER, {**values, "operation": self._operations.begin()})
            self.db.execute(
                "insert or replace into decisions values (:one, :other, :verdict, :kept, :path, :decided)", values
            )
        return n_new

    def put_missing(self, decisions: Iterable[PairDecision]) -> int:
        """Record the decisions of another store, but where this one has one of the same two; return how many."""
        return self.put(found for found in decisions if self.of_pair(found.one, found.other) is None)

    def of_pair(self, one: bytes, other: bytes) -> PairDecision | None:
        """Return what was decided of two contents, in any order."""
        query = """
            select one, other, verdict, kept, path, decided from decisions
            where  one = :one and other = :other"""
        found = self.db.execute(query, {"one": min(one, other), "other": max(one, other)}).fetchone()
        return PairDecision(*found) if found else None

    def among(self, contents: Iterable[bytes]) -> list[PairDecision]:
        """Return the decisions of which both contents are among these."""
        wanted = {*contents}
        query = "select one, other, verdict, kept, path, decided from decisions where one in ({keys})"
        found = (PairDecision(*values) for values in self._of_keys(query, wanted))
        return [decision for decision in found if decision.other in wanted]

    def rows_apart(self) -> list[tuple[int, int]]:
        """Return the pairs of rows, (less, greater), that were decided not to be duplicates, or to be kept both.

        A pair of a row with itself says so of its copies.
        """
        query = """
            select min(a.row, b.row), max(a.row, b.row)
            from   decisions join images a on a.sha256 = one join images b on b.sha256 = other
            where  verdict in ('different', 'both')"""
        return [(one, other) for one, other in self.db.execute(query)]


IS_RECORDED = """
    select exists (
        select 1 from decisions
        where  one = :one and other = :other and verdict = :verdict and kept is :kept and path is :path
    )"""


REMEMBER = """
    insert or ignore into decision_changes
    select :operation, :one, :other, verdict, kept, path, decided
    from   (select 1) left join decisions on one = :one and other = :other
    where  :operation > 0"""
