"""A session: the parts of one open store. The packages above ("rooms") take a session, never a `Store`.

It keeps what a store promises: its parts are opened in the right order, one process writes at a time with the vector
file cut to the rows that the catalog counts, and only the recorded embedder and engine are used. Queries and commands
are in the rooms.
"""

import errno
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from indexes.devices import choose_device
from vecstore.embedders import calling
from vecstore.embedders.embedder import Embedder, EmbedderOptions, EmbedderSpec
from vecstore.embedders.recorded import precision_difference, recorded_embedder, require_recorded
from vecstore.embedders.registry import BUILT_IN, DEFAULT_EMBEDDER, is_known, open_embedder, resolve_name
from vecstore.embedders.runtimes import require_precision
from vecstore.engines.address import Address, place_of
from vecstore.engines.engine import Engine
from vecstore.engines.factory import engine_for, require_room
from vecstore.engines.index_lifecycle import IndexSettings
from vecstore.errors import (
    BadInput,
    EngineUnavailable,
    NotFound,
    StoreBusy,
    StoreDamaged,
    VecstoreError,
    WrongEmbedder,
)
from vecstore.sources.paths import AnyPath, network_file_system
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.catalog.connection import holds_store
from vecstore.storage.checksums import record_missing
from vecstore.storage.durable_files import make_directory
from vecstore.storage.layout import CATALOG, LOCK, VECTORS
from vecstore.storage.lock import writer_lock
from vecstore.storage.vector_file import Float16, VectorFile

# The name recorded for imported vectors of an unnamed embedder.
IMPORTED = "imported"
# Errors caused by the place that the user named for a store; other errors come from the disk or the system.
OF_THE_PLACE = (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenedAs:
    """How a store was opened, to open it again: in another thread, or, pickled, in another process.

    place: its folder, absolute, or its URI. The others are as given to `Session.open`.
    """

    place: str
    embedder: str | Embedder | None
    options: EmbedderOptions
    create: bool
    wait: float | None


class Session:
    """The catalog, vector file, embedder, engine and lock of one open store. Make one with `Session.open`."""

    def __init__(
        self,
        path: Path,
        catalog: Catalog | None,
        name: str | None,
        options: EmbedderOptions,
        wait: float | None = None,
        address: Address | None = None,
        given: Embedder | None = None,
        opened_as: OpenedAs | None = None,
    ) -> None:
        """Use `Session.open`. catalog: None for a store that its first add will make. given: an embedder's object."""
        self.path = path
        self.device = choose_device(options.device)
        self.options = options
        self.name = name
        self._catalog = catalog
        self._spec = recorded_embedder(catalog) if catalog else None
        self._given = given
        self._embedder: Embedder | None = None
        self._wait = wait
        self._address = address
        self._engine: Engine | None = None
        self._opened_as = opened_as
        self._process = os.getpid()
        # What a writer does first, with the lock held: finishing what an interrupted one has left, in a room above.
        self.before_writing: Callable[[Session], None] = lambda session: None

    @classmethod
    def open(
        cls,
        path: AnyPath,
        embedder: str | Embedder | None,
        options: EmbedderOptions,
        *,
        create: bool,
        wait: float | None,
    ) -> "Session":
        """Open the store at `path`. Parameters and errors are those of `Store.open`."""
        folder, address = place_of(path)
        place = str(folder) if address is None else os.fsdecode(path)
        opened_as = OpenedAs(place, embedder, options, create, wait)
        require_precision(options.precision)
        given = None
        if embedder is None or isinstance(embedder, str):
            name, options = (None, options) if embedder is None else resolve_name(embedder, options)
        else:
            given, name = embedder, embedder.spec.name
            if options.weights is not None:
                raise BadInput(f"the embedder {name} is given as an object, with its weights; leave weights out")
        if not holds_store(folder / CATALOG):
            if not create:
                raise NotFound(_no_store(folder, address))
            _require_empty(folder)
            return cls(folder, None, name, options, wait, address, given, opened_as)
        catalog = Catalog(folder / CATALOG)
        try:
            session = cls(folder, catalog, name, options, wait, address, given, opened_as)
            if catalog.is_older():
                session._bring_up_to_date()
            session._require_same_embedder()
            session._require_same_engine()
        except BaseException:
            catalog.close()
            raise
        return session

    @property
    def opened_as(self) -> OpenedAs:
        """How it was opened, for the same store to be opened again."""
        if self._opened_as is None:
            raise BadInput(f"the store {self.path} was not opened by its place; open it with `Store.open`")
        return self._opened_as

    def reopen(self) -> "Session":
        """Open the same store again, for another thread, with the embedder that may be loaded already."""
        how = self.opened_as
        session = Session.open(how.place, how.embedder, how.options, create=how.create, wait=how.wait)
        if session._embedder is None and session.exists and self._embedder is not None:
            if self._embedder.spec == session.spec:
                session._embedder = self._embedder
        return session

    def close(self) -> None:
        """Close the store's files and its engine."""
        if os.getpid() != self._process:
            return  # they are those of the process that this one was forked from
        with ExitStack() as parts:  # each of them, also when another cannot be closed
            for part in (self._catalog, self._engine):
                if part is not None:
                    parts.callback(part.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Parts

    @property
    def exists(self) -> bool:
        """Whether the store is on disk; a new one is created by its first add."""
        return self._catalog is not None

    @property
    def catalog(self) -> Catalog:
        """The catalog. Raises NotFound for a store that does not exist yet."""
        if self._catalog is None:
            raise NotFound(f"no store at {self.path} yet; `vecstore add` creates it")
        if os.getpid() != self._process:  # SQLite's connections do not survive a fork
            raise BadInput(
                f"the store {self.path} was opened in another process, which this one was forked from; call "
                "`Store.reopen` in this one, and use what it returns (docs/python.md)"
            )
        return self._catalog

    @property
    def spec(self) -> EmbedderSpec:
        """The recorded description of the embedder that made the store's vectors."""
        if self._spec is None:
            self._spec = recorded_embedder(self.catalog)
        return self._spec

    @property
    def embedder(self) -> Embedder:
        """The embedder, opened on first use, with the recorded weights. Raises WrongEmbedder."""
        if self._embedder is None:
            name = self._spec.name if self._spec else (self.name or DEFAULT_EMBEDDER)
            if name == IMPORTED:
                raise BadInput(
                    f"the vectors of the store {self.path} were imported without the name of their embedder; "
                    "import the vectors of new pictures too, or create a new --store with `vecstore add`"
                )
            options = self.options
            spec = self._spec
            if spec is not None:
                options = replace(
                    options,
                    expected=spec.weights,
                    precision="auto",
                    recorded=spec.precisions,
                    described=spec.preprocessings,
                )
                if self._given is None and not is_known(name):
                    raise BadInput(
                        f"the store {self.path} was made with {name}, which no package here brings; from Python, pass "
                        "the same object again as `embedder=` of Store.open, or install the package that brings it"
                    )
            embedder = self._given if self._given is not None else open_embedder(name, options)
            if self._spec is not None and embedder.spec != self._spec:
                raise WrongEmbedder(difference(self.path, self._spec, embedder.spec))
            self._embedder = embedder
        return self._embedder

    def loaded_embedder(self) -> Embedder:
        """Return the embedder, ready to embed; for a store that is to be made, others' are tried out first."""
        calling.load(self.embedder)
        if not self.exists and self.embedder.spec.name not in BUILT_IN:
            calling.try_out(self.embedder)
        return self.embedder

    @property
    def engine(self) -> Engine:
        """The engine that searches the vectors, connected on first use."""
        if self._engine is None:
            self._engine = engine_for(self.path, self._address, self.catalog, self.vector_file(), self.device)
        return self._engine

    def vector_file(self) -> VectorFile:
        return VectorFile(self.path / VECTORS, self.spec.dim)

    def vectors(self) -> Float16:
        """Return all rows that the catalog counts, (rows, dim) float16, mapped; call it inside a read transaction."""
        return self.vector_file().read(self.catalog.images.row_count())

    def index_settings(self) -> IndexSettings:
        return IndexSettings.from_json(self.catalog.index_settings())

    # Writing

    def lock(self, wait: float | None = None) -> AbstractContextManager[None]:
        """Hold the store's lock. wait: in seconds; None: as given to `open`. Raises StoreBusy."""
        return writer_lock(self.path, self._wait if wait is None else wait)

    @contextmanager
    def writing(self, kind: str | None = None, what: str = "") -> Iterator[None]:
        """Hold the lock, with the vector file cut to the rows that the catalog counts.

        Parameters
        ----------
        kind: what `Operation` this is, which `undo` undoes as a whole; None: not an operation.
        what: its subject, such as a folder.

        Raises
        ------
        StoreBusy: another process holds the lock.
        StoreDamaged: the vector file is shorter than the catalog counts.
        """
        with self.lock():
            if self.catalog.is_wal() and (network := network_file_system(self.path)) is not None:
                log.warning(
                    "the store %s was moved to a network disk (%s): use it from one machine alone, or make a backup of "
                    "it there; see docs/durability.md",
                    self.path,
                    network,
                )
            self.vector_file().truncate_uncommitted(self.catalog.images.row_count())
            with self.catalog.writing():
                self.catalog.images.purge_removed(quarantined_only=True)
            self.before_writing(self)
            with self.catalog.operations.announced(kind, what) if kind is not None else nullcontext():
                yield
            self.flush_engine()

    def flush_engine(self) -> None:
        """Send the committed changes to the engine; if it does not answer, warn and leave them for the next time."""
        try:
            self.engine.flush_pending()
        except EngineUnavailable as error:
            log.warning(
                "the changes are safe; the next command that writes sends them to %s (%s)", self.engine.name, error
            )

    def create(self, spec: EmbedderSpec) -> None:
        """Create the store on disk; if another process has just created it, use it.

        Raises WrongEmbedder if that one has another embedder, BadInput if no store can be created at this place.
        """
        try:
            make_directory(self.path)
        except OSError as error:
            kind = BadInput if error.errno in OF_THE_PLACE else VecstoreError
            raise kind(f"no store can be created at {self.path}: {error.strerror}; choose another --store") from error
        catalog = self.path / CATALOG
        with self.lock():
            if not holds_store(catalog):
                catalog.unlink(missing_ok=True)  # left by a creation that was killed
                require_room(self._address)
                network = network_file_system(self.path)
                if network is not None:
                    log.warning("the store %s is on a network disk (%s); see docs/durability.md", self.path, network)
                engine = self._address.shown if self._address else None
                Catalog.create(catalog, spec.to_json(), engine, shared=network is not None).close()
        opened = Catalog(catalog)
        try:
            recorded = recorded_embedder(opened)
            if recorded != spec:
                raise WrongEmbedder(difference(self.path, recorded, spec))
        except BaseException:
            opened.close()
            raise
        self._catalog, self._spec = opened, recorded

    # Opening

    def _bring_up_to_date(self) -> None:
        """Upgrade an older store to this format, in one transaction."""
        try:
            with self.lock(), self.catalog.writing():
                lacks_checksums = self.catalog.lacks_checksums()  # unless another process upgraded it meanwhile
                self.catalog.migrate()
                if lacks_checksums:
                    record_missing(self.catalog, self.vector_file())
        except StoreBusy:
            raise
        except VecstoreError as error:
            raise type(error)(
                f"the store {self.path} has an older format and must be upgraded once, by a user who may write to it: "
                f"{error}"
            ) from error

    def _require_same_embedder(self) -> None:
        if self.name is not None and self.name != self.spec.name:
            raise WrongEmbedder(difference(self.path, self.spec, replace(self.spec, name=self.name)))
        if self.options.weights is not None or self.options.files or self._given is not None:
            _ = self.embedder  # compares the weights, or the specs
        require_recorded(self.path, self.spec, self.options.precision)

    def _require_same_engine(self) -> None:
        """Use the recorded engine, and refuse any other."""
        if self.catalog.engine.migrating() is not None:
            raise StoreDamaged(
                f"the copy of a store at {self.path} is incomplete; run the same `vecstore migrate` again to resume it"
            )
        recorded = self.catalog.engine.uri()
        if self._address is None and recorded is not None:
            self._address = replace(Address.parse(recorded), companion=self.path)
        elif self._address is not None and recorded is None:
            raise BadInput(
                f"{self.path} is an independent store, not the companion of {self._address.shown}; "
                f"`vecstore migrate {self.path} {self._address.shown}` copies it there"
            )


def difference(path: Path, recorded: EmbedderSpec, opened: EmbedderSpec) -> str:
    """Return the message that an embedder is not the one that made the vectors of the store or file at `path`."""
    if recorded.name != opened.name:
        return (
            f"the store {path} was made with {recorded.name}, not {opened.name}; leave --embedder out, "
            "or use another store for the other embedder"
        )
    if recorded.weights != opened.weights:
        return (
            f"the store {path} was made with {recorded.name} and other weights (sha256 "
            f"{', '.join(sha256[:12] for sha256 in recorded.weights.values())}..., not "
            f"{', '.join(sha256[:12] for sha256 in opened.weights.values())}...); give the same file with --weights, "
            "or use another store"
        )
    if recorded.preprocessings != opened.preprocessings and recorded.version == opened.version:
        return (
            f"the store {path} was made with {recorded.name} and pictures prepared so: "
            f"{'; '.join(recorded.preprocessings.values())}; not so: {'; '.join(opened.preprocessings.values())}; "
            "describe the model as it was, or use another store"
        )
    if recorded.precisions != opened.precisions:
        return precision_difference(path, recorded, *opened.precisions.values())
    return (
        f"the store {path} was made with version {recorded.version} of {recorded.name}, this vecstore has version "
        f"{opened.version}; add the pictures to a new store, or use the older vecstore"
    )


def _no_store(folder: Path, address: Address | None) -> str:
    if address is None and folder.is_dir() and any(folder.iterdir()):
        return f"{folder} holds other files and no store; name the folder of a store with --store"
    if address is None and folder.is_file():
        return f"{folder} is a file, and a store is a folder; name another with --store"
    if address is None:
        return f"no store at {folder}; create one with `vecstore add FOLDER --store {folder}`"
    return (
        f"no store at {address.shown}: its companion folder {folder} does not exist; name the right one with "
        f"?companion=DIR, or create a new store with `vecstore add FOLDER --store {address.shown}`"
    )


def _require_empty(folder: Path) -> None:
    """Raise BadInput unless a new store can be created here: the folder is missing or empty."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file, and a store is a folder; name another for the store")
    # Left by a creation that was killed before its catalog was complete.
    left_over = {LOCK, CATALOG, f"{CATALOG}-wal", f"{CATALOG}-shm", f"{CATALOG}-journal"}
    if folder.is_dir() and not {entry.name for entry in folder.iterdir()} <= left_over:
        raise BadInput(f"{folder} holds other files and no store; name an empty or new folder for the store")
