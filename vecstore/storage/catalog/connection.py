"""A connection to the catalog's file, with transactions, and errors that say what to do.

Every query of the project passes through here. Knows no table: `schema.py` makes them, and the parts of the catalog,
each of them `Queries`, ask them.
"""

import errno
import itertools
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vecstore.errors import BadInput, StoreDamaged, VecstoreError

# How long SQLite waits for another process's transaction.
BUSY_SECONDS = 30.0
# Values that one query is asked for together: an older SQLite takes at most 999 parameters.
KEYS_AT_ONCE = 900
# How long to wait before a connection is tried again that SQLite refused at once, without waiting itself.
RETRY_SECONDS = 0.02
# What SQLite says when another process holds what it needs; and of a disk that is full, fails or may not be written to.
BUSY_ERRORS = ("SQLITE_BUSY", "SQLITE_LOCKED")
DISK_ERRORS = tuple(f"SQLITE_{name}" for name in ("FULL", "IOERR", "READONLY", "CANTOPEN", "PERM", "NOMEM"))


@dataclass(frozen=True)
class Announced:
    """An operation of which nothing is recorded before its first change. kind, what: as in `results.Operation`."""

    kind: str
    what: str


class Database:
    """An open database. Reads see one moment inside `reading()`; writes happen inside `writing()` or not at all.

    operation: what the changes made now belong to, for the parts that record it (`undo.py`): its number, 0 for none,
    or one that was announced. A rollback puts back what it was when the transaction began.
    """

    def __init__(self, path: Path) -> None:
        """Open the database at `path`. Raises StoreDamaged, VecstoreError."""
        self.path = path
        self.operation: int | Announced = 0
        self._operation_before: int | Announced = 0
        self.db = connect(path)
        try:
            self.db.execute("pragma foreign_keys = on")
            # A damaged page is noticed when it is read, instead of being believed as far as it goes.
            self.db.execute("pragma cell_size_check = on")
            # FULL: a commit that was reported is on the disk, also after a power cut.
            self.db.execute("pragma synchronous = full")
            # KiB. SQLite's own 2 MiB make recording a large clustering, whose index is written in no order, take half
            # as long again: 200,000 memberships 1.44 s of CPU time, 0.91 s with this.
            self.db.execute("pragma cache_size = -65536")
        except BaseException:
            self.db.close()
            raise

    def close(self) -> None:
        with translate_sqlite_errors(self.path):
            self.db.close()

    def version(self) -> int:
        """Return the format of the store, 0 for a database that is none yet."""
        return int(self.db.execute("pragma user_version").fetchone()[0])

    def state(self) -> tuple[int, int]:
        """Return what differs after every commit, by this connection or another; to be compared on this one alone."""
        # SQLite's number is of other connections' commits alone (https://sqlite.org/pragma.html#pragma_data_version).
        return int(self.db.execute("pragma data_version").fetchone()[0]), self.db.total_changes

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One write transaction: all of it or, on any error or interruption, nothing."""
        yield from self._transaction("begin immediate")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One read transaction: every query inside sees the same moment, whatever a writer commits meanwhile."""
        yield from self._transaction("begin")

    def abandon(self) -> None:
        """Roll back what an interruption has left open: one that strikes between a transaction and its block."""
        if self.db.in_transaction:
            self.db.execute("rollback")
            self.operation = self._operation_before

    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with translate_sqlite_errors(self.path):
            is_inside = self.db.in_transaction
        if is_inside:
            yield self.db
            return
        try:
            self._operation_before = self.operation
            self.db.execute(begin)
            yield self.db
            self.db.execute("commit")
        except BaseException as error:  # Ctrl-C too: a half-done transaction must not stay open
            self.abandon()
            if isinstance(error, sqlite3.OperationalError):
                raise VecstoreError(f"the catalog {self.path} cannot be used: {error}; nothing was changed") from error
            raise


class Queries:
    """What every part of the catalog is: queries over one database, those that write inside its `writing()`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.db = database.db

    def _of_keys(self, query: str, keys: Iterable[bytes] | Iterable[int]) -> Iterator[tuple[Any, ...]]:
        """Yield what a query finds for many values, which stand for its {keys}: a fifth of the time of one by one."""
        wanted = list(keys)
        for start in range(0, len(wanted), KEYS_AT_ONCE):
            some = wanted[start : start + KEYS_AT_ONCE]
            yield from self.db.execute(query.format(keys=",".join("?" * len(some))), some)

    def _text(self, query: str) -> str | None:
        found = self._value(query)
        return None if found is None else str(found)

    def _value(self, query: str, **values: Any) -> Any:
        found = self.db.execute(query, values).fetchone()
        return None if found is None else found[0]


def holds_store(path: Path) -> bool:
    """Say whether `path` is the catalog of a store whose creation was completed.

    Raises StoreDamaged if it is not a catalog, VecstoreError if it cannot be opened, BadInput if no file can be there.
    """
    try:
        if not path.is_file():
            return False
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise BadInput(
            f"no store can be at {str(path.parent)[:60]}...: {error.strerror}; name another place"
        ) from error
    try:
        with closing(connect(path)) as db:
            return int(db.execute("pragma user_version").fetchone()[0]) > 0
    except StoreDamaged as error:
        raise StoreDamaged(
            f"{path} is not a readable catalog ({error.__cause__}); restore the store from a backup"
        ) from error
    except (sqlite3.OperationalError, VecstoreError) as error:
        reason = error.__cause__ or error
        raise VecstoreError(f"{path} cannot be opened ({reason}); check who may read it, and its folder") from error


def connect(path: Path) -> "Connection":
    """Open the database; one that may not be written to for reading alone."""
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return _connect_to_write(path)
    # Reading in WAL mode writes to the -shm file. Where nothing waits in the -wal, the file can be read as it lies.
    log = Path(f"{path}-wal")
    mode = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
    return _open(path, f"{path.absolute().as_uri()}?{mode}", uri=True)


def _connect_to_write(path: Path) -> "Connection":
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        db = _open(path, path)
        try:
            db.execute("pragma user_version")
            return db
        except BaseException as error:
            db.close()
            if not isinstance(error, VecstoreError) or isinstance(error, StoreDamaged):
                raise
            if not is_busy(error):
                break
            # While the last of the others closes, or recovers the -wal, SQLite says so at once instead of waiting.
            if time.monotonic() > give_up:
                raise
            time.sleep(RETRY_SECONDS)
    # WAL wants some KB beside the file, which a full disk does not have. Alone it can do without them
    # (https://sqlite.org/wal.html, "Use of WAL Without Shared-Memory"): others wait, and answers are right.
    db = _open(path, path)
    db.execute("pragma locking_mode = exclusive")
    return db


def _open(path: Path, name: str | Path, uri: bool = False) -> "Connection":
    with translate_sqlite_errors(path):
        # Transactions are begun by hand: sqlite3's own would leave schema changes outside of them.
        db = sqlite3.connect(name, isolation_level=None, timeout=BUSY_SECONDS, factory=Connection, uri=uri)
    db.place = path
    return db


class Connection(sqlite3.Connection):
    """A connection whose errors say what to do, wherever damage or a failing disk is met."""

    place = Path()

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        with translate_sqlite_errors(self.place):
            return self.cursor(_Cursor).execute(*arguments)

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        with translate_sqlite_errors(self.place):
            return self.cursor(_Cursor).executemany(*arguments)

    def insert_all(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Run `insert into ... values {rows} ...` for rows of equally many values, in order.

        executemany lets go of the interpreter at each row, and then waits for it while other threads compute; here that
        is once for many rows.
        """
        remaining = iter(rows)
        while first := next(remaining, None):
            together = [first, *itertools.islice(remaining, KEYS_AT_ONCE // len(first) - 1)]
            row = f"({', '.join('?' * len(first))})"
            values = list(itertools.chain.from_iterable(together))
            self.execute(statement.format(rows=", ".join([row] * len(together))), values)


class _Cursor(sqlite3.Cursor):
    def fetchone(self) -> Any:
        with translate_sqlite_errors(self.connection.place):  # type: ignore[attr-defined]
            return super().fetchone()

    def fetchall(self) -> list[Any]:
        with translate_sqlite_errors(self.connection.place):  # type: ignore[attr-defined]
            return super().fetchall()

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        with translate_sqlite_errors(self.connection.place):  # type: ignore[attr-defined]
            while rows := self.fetchmany(1_000):  # as quick as SQLite's own iterator; row by row is half as quick
                yield from rows


@contextmanager
def translate_sqlite_errors(place: Path) -> Iterator[None]:
    """Raise StoreDamaged for damage and VecstoreError for a disk that fails, is full, or a lock held too long.

    And BadInput for a connection that was closed, or is of another thread.

    Any other error is a mistake of this program, and stays what it is.
    """
    try:
        yield
    except sqlite3.ProgrammingError as error:
        if "closed" in str(error):
            raise BadInput(f"the store {place.parent} was closed; open it again with `Store.open`") from error
        if "thread" in str(error):
            raise BadInput(
                f"the store {place.parent} was opened in another thread, and is used in that one alone; call "
                "`Store.reopen` in this one, and use what it returns (docs/python.md)"
            ) from error
        raise
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT")) or "decode" in str(error):
            raise StoreDamaged(
                f"the catalog {place} is damaged ({error}); `vecstore check` says where; a backup can be restored"
            ) from error
        if name.startswith((*DISK_ERRORS, *BUSY_ERRORS)):
            raise VecstoreError(f"the catalog {place} cannot be used: {error}; nothing was changed") from error
        raise
    except UnicodeDecodeError as error:  # of SQLite's own message, which quotes what is damaged
        raise StoreDamaged(
            f"the catalog {place} is damaged; `vecstore check` says where; a backup can be restored"
        ) from error


def is_busy(error: VecstoreError) -> bool:
    """Say whether an error only means that another process holds the database at this moment."""
    return str(getattr(error.__cause__, "sqlite_errorname", "")).startswith(BUSY_ERRORS)


def now() -> str:
    """Return the moment as it is recorded, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def sqlite_version() -> str:
    """Return the version of SQLite that the catalog is kept by."""
    return sqlite3.sqlite_version
