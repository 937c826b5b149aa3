"""What searches a store's vectors: this process (`embedded`), or an engine elsewhere (`milvus`).

Wherever it is, the catalog says which images there are and `vectors.f16` holds their vectors; both are in the store's
folder. An engine that keeps vectors of its own is sent what became of which rows, and answers never depend on how far
that has got: rows it has not been sent are compared here. So an engine's copy is derived, as an index is.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecstore.storage.vector_file import Float16, Float32

if TYPE_CHECKING:
    from indexes.ann import Index
    from vecstore.engines.index_lifecycle import IndexSettings

Int64 = NDArray[np.int64]
# Is given how many rows the catalog has after a commit that added some.
OnCommit: TypeAlias = Callable[[int], None]

EMBEDDED = "embedded"


@dataclass(frozen=True)
class Capabilities:
    """What an engine can do. keeps_vectors: it has a copy of its own. index_kinds: of `IndexSettings`."""

    keeps_vectors: bool
    index_kinds: tuple[str, ...]


class Engine(Protocol):
    """Where one store's vectors are searched. What changes anything is called by the holder of the store's lock."""

    @property
    def name(self) -> str:
        """`embedded`, or the URI that it is reached by."""
        ...

    @property
    def capabilities(self) -> Capabilities: ...

    def open(self) -> None:
        """Reach the engine and what it keeps of this store; other calls do so by themselves.

        Raises EngineUnavailable, EngineRefused, StoreDamaged if what is there is not this store's.
        """
        ...

    def upsert(self, rows: Int64, vectors: Float16) -> None:
        """Let these rows be found from now on; once more changes nothing. vectors: (n, dim), as in the row file."""
        ...

    def delete(self, rows: Int64) -> None:
        """Let these rows be found no longer; once more changes nothing."""
        ...

    def flush_pending(self, on_sent: Callable[[int], None] | None = None) -> None:
        """Upsert and delete whatever the catalog says that the engine has not been sent.

        on_sent: is given the number of rows sent so far, now and then.
        """
        ...

    def growing(self, *, fast: bool = False) -> AbstractContextManager[OnCommit]:
        """Keep up with the commits made inside; yields what is to be called after each.

        fast: many rows come in a short time; an index of this process takes them in once, at the end.
        """
        ...

    def flush(self) -> None:
        """Return when what the engine was sent is on its disks."""
        ...

    def get(self, rows: Int64) -> Float32:
        """Return the engine's vectors of these rows, (n, dim). Raises NotFound if it lacks one."""
        ...

    def iterate(self) -> Iterator[tuple[Int64, Float32]]:
        """Yield (rows, vectors) of everything that can be found, in blocks, rows ascending. Slow where it is remote."""
        ...

    def count(self) -> int:
        """Return how many rows can be found."""
        ...

    def searcher(self, vectors: Float16, *, exact: bool = False, many: bool = False) -> "Index":
        """Return what to search with, of the moment of the read transaction that this is called in.

        Its `search` takes a mask of the rows that may be found, and scores exactly, the nearest first; so a least
        score is a matter of where to stop reading, on every engine.
        vectors: all rows of that moment, mapped. exact: compare every row. many: every row will be asked for.
        """
        ...

    def build_index(self, settings: "IndexSettings", rebuild: bool = False) -> None:
        """Bring the index up to date with every row and measure it. rebuild: rebuild everything derived."""
        ...

    def keep_up(self) -> None:
        """Update the index if an update is due."""
        ...

    def drop(self) -> None:
        """Give up all that the engine keeps of this store."""
        ...

    def close(self) -> None:
        """Close files and connections."""
        ...
