"""The catalog: SQLite, the truth about everything but the vectors' bytes.

It numbers the images: row i of the catalog is row i of the vector file, dense from 0, never reused. An image is a
content (its sha256); a path is where it was seen; an image is alive while it has a path. Rows are committed after
their vectors are on disk, so a vector past the catalog's count belongs to an interrupted add.

All SQL of the project is in this package. It knows no picture, no vector and no FAISS.
"""

import sqlite3
from contextlib import AbstractContextManager, closing
from pathlib import Path

from vecstore.errors import StoreDamaged
from vecstore.storage.catalog.acts import Acts
from vecstore.storage.catalog.archives import Archives
from vecstore.storage.catalog.checksums import Checksums
from vecstore.storage.catalog.clusterings import Clusterings
from vecstore.storage.catalog.connection import Database, Queries, now
from vecstore.storage.catalog.copies import Pairs, PictureHashes
from vecstore.storage.catalog.decisions import Decisions
from vecstore.storage.catalog.engine_state import EngineState
from vecstore.storage.catalog.facts import ImageFacts
from vecstore.storage.catalog.failures import Failures
from vecstore.storage.catalog.images import Images
from vecstore.storage.catalog.integrity import Integrity
from vecstore.storage.catalog.memberships import Memberships
from vecstore.storage.catalog.paths import Paths
from vecstore.storage.catalog.relocation import Relocation
from vecstore.storage.catalog.schema import MIGRATIONS, m005_checksums
from vecstore.storage.catalog.selections import Selections
from vecstore.storage.catalog.tags import Tags
from vecstore.storage.catalog.trees import Trees
from vecstore.storage.catalog.undo import Operations


class Catalog(Queries):
    """An open catalog: its parts, its transactions, and the record of the store itself."""

    def __init__(self, path: Path) -> None:
        """Open the catalog of an existing store; `create` makes one. Raises StoreDamaged on a newer format."""
        super().__init__(Database(path))
        self.path = path
        self.engine = EngineState(self._database)
        self.checksums = Checksums(self._database)
        self.tags = Tags(self._database)
        self.picture_hashes = PictureHashes(self._database)
        self.pairs = Pairs(self._database, self.picture_hashes)
        self.images = Images(self._database, self.checksums, self.tags, self.pairs)
        self.facts = ImageFacts(self._database)
        self.operations = Operations(self._database)
        self.failures = Failures(self._database)
        self.paths = Paths(self._database, self.operations, self.failures)
        self.archives = Archives(self._database, self.paths)
        self.relocation = Relocation(self._database, self.operations)
        self.decisions = Decisions(self._database, self.operations)
        self.acts = Acts(self._database, self.operations)
        self.clusterings = Clusterings(self._database, self.operations)
        self.trees = Trees(self._database)
        self.memberships = Memberships(self._database, self.operations)
        self.selections = Selections(self._database, self.operations)
        self.integrity = Integrity(self._database)
        try:
            version = self._database.version()
            if version > len(MIGRATIONS):
                raise StoreDamaged(
                    f"{path} is of store format {version}; this vecstore knows formats up to {len(MIGRATIONS)}: "
                    "upgrade vecstore to use this store"
                )
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(cls, path: Path, embedder: str, engine: str | None = None, *, shared: bool = False) -> "Catalog":
        """Make the catalog of a new store.

        Parameters
        ----------
        embedder: the recorded description of what makes its vectors.
        engine: the URI of where they are searched, None for in this process.
        shared: it is on a network disk. WAL needs memory that all processes share, which two machines do not
            (https://sqlite.org/wal.html): there SQLite's older journal is kept, and readers and writers take turns.
        """
        with closing(sqlite3.connect(path)) as db:
            # Kept in the file; outside any transaction.
            db.execute(f"pragma journal_mode = {'delete' if shared else 'wal'}")
        catalog = cls(path)
        try:
            with catalog.writing() as db:
                catalog._apply_migrations()
                db.execute(
                    "insert into store (id, created, embedder) values (1, :now, :embedder)",
                    {"now": now(), "embedder": embedder},
                )
                if engine is not None:
                    db.execute("update engine set uri = :uri", {"uri": engine})
        except BaseException:
            catalog.close()
            raise
        return catalog

    def close(self) -> None:
        self._database.close()

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """One read transaction: every query inside sees the same moment, whatever a writer commits meanwhile."""
        return self._database.reading()

    def state(self) -> tuple[int, int]:
        """Return what differs after every commit, by whomever; to be compared by this object alone."""
        return self._database.state()

    def writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """One write transaction: all of it or, on any error or interruption, nothing."""
        return self._database.writing()

    def abandon(self) -> None:
        """Roll back what an interruption has left open: one that strikes between a transaction and its block."""
        self._database.abandon()

    # Its format

    def is_older(self) -> bool:
        """Say whether the store is of an older format than this program's."""
        return self._database.version() < len(MIGRATIONS)

    def lacks_checksums(self) -> bool:
        """Say whether the store is of a format from before rows had checksums."""
        return self._database.version() <= MIGRATIONS.index(m005_checksums)

    def migrate(self) -> None:
        """Bring an older store up to this program's format, each step in one transaction with its version stamp."""
        if self.is_older():
            with self.writing():
                self._apply_migrations()

    def _apply_migrations(self) -> None:
        done = self._database.version()
        for number, step in enumerate(MIGRATIONS[done:], start=done + 1):
            step(self.db)
            self.db.execute(f"pragma user_version = {number:d}")  # a pragma takes no parameters

    # The store itself

    def embedder(self) -> str:
        return str(self._value("select embedder from store"))

    def created(self) -> str:
        return str(self._value("select created from store"))

    def index_settings(self) -> str:
        return str(self._value("select index_settings from store"))

    def set_index_settings(self, settings: str) -> None:
        with self.writing() as db:
            db.execute("update store set index_settings = :settings", {"settings": settings})

    # The file as a whole

    def is_wal(self) -> bool:
        """Say whether readers do not wait for writers, for which all of them have to be on one machine."""
        return str(self._value("pragma journal_mode")) == "wal"

    def checkpoint_wal(self) -> bool:
        """Return whether every reader sees the present state, so that what was taken away before may be touched."""
        busy, _, _ = self.db.execute("pragma wal_checkpoint(truncate)").fetchone()
        return not busy

    def vacuum(self) -> None:
        """Rewrite the file without its unused pages; what is there until then is whole at any moment."""
        self.db.execute("vacuum")

    def copy_to(self, path: Path, *, shared: bool) -> None:
        """Copy the catalog as it is at this moment, whoever writes meanwhile, and return when it is on the disk.

        shared: as for `create`. Raises OSError if the copy cannot be written.
        """
        with closing(sqlite3.connect(path)) as copy:
            try:
                self.db.backup(copy)
                copy.execute(f"pragma journal_mode = {'delete' if shared else 'wal'}")
            except sqlite3.DatabaseError as error:
                raise OSError(f"its catalog cannot be written ({error})") from error
