"""Tables of Lance and LanceDB: vectors and paths in, all that an export in Parquet has out.

A table is a folder `NAME.lance`; a database of LanceDB is a folder of them. https://lancedb.github.io/lance/
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vecstore.errors import BadInput, NotFound
from vecstore.exchange.arrow import pyarrow_for, readable
from vecstore.exchange.given_rows import in_size, paths_in
from vecstore.exchange.new_files import bytes_below, new_folder
from vecstore.ingest.vector_import import Block, GivenRows
from vecstore.maintenance.export import arrow_schema, arrow_tables
from vecstore.results import ExportReport
from vecstore.session import Session
from vecstore.storage.checksums import ChecksumVerifier

SUFFIX = ".lance"
PATH_COLUMNS = ("path", "image_path", "filepath", "file_name", "uri", "url")
WHAT = "a table of Lance"


class LanceRows:
    """The vectors of a table, of the version that was there when it was opened."""

    def __init__(self, table: Any, source: Path, column: str) -> None:
        self._table, self._source, self._column = table, source, column
        kind = table.schema.field(column).type
        self.dtype = np.dtype(kind.value_type.to_pandas_dtype())
        self.shape: tuple[int, ...] = (table.count_rows(), kind.list_size)

    def blocks(self, size: int) -> Iterator[Block]:
        with readable(self._source, WHAT):
            yield from in_size(self._parts(size), size)

    def _parts(self, size: int) -> Iterator[Any]:
        # In order, or vectors and paths would not be of the same rows.
        for batch in self._table.to_batches(columns=[self._column], batch_size=size, scan_in_order=True):
            column = batch.column(self._column)
            if column.null_count:
                raise ValueError(f"a row has no {self._column}")
            yield column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), self.shape[1])


def load(source: Path, pictures: Path | None) -> tuple[GivenRows, list[bytes]]:
    """Return the vectors of a table, or of the only one of a database, and the path of each."""
    lance = _lance(f"reading {source}")
    pa = pyarrow_for(f"reading {source}")
    source = _table_in(source)
    with readable(source, WHAT):
        table = lance.dataset(str(source))
        found = [
            field.name
            for field in table.schema
            if pa.types.is_fixed_size_list(field.type) and pa.types.is_floating(field.type.value_type)
        ]
        vector = "vector" if "vector" in found else found[0] if len(found) == 1 else None
        path = next((name for name in PATH_COLUMNS if name in table.schema.names), None)
        if vector is None or path is None:
            raise BadInput(
                f"{source} needs a column vector of equally long lists of numbers, and one of the columns "
                f"{', '.join(PATH_COLUMNS)}; it has {', '.join(table.schema.names)}"
            )
        rows = LanceRows(table, source, vector)
        names: list[Any] = []
        for batch in table.to_batches(columns=[path], scan_in_order=True):
            names += batch.column(path).to_pylist()
        if not all(isinstance(name, str | bytes) and name for name in names):
            raise BadInput(f"{source} has a row without {path}; nothing was imported")
    return rows, paths_in(pictures, names)


def _table_in(source: Path) -> Path:
    if source.suffix == SUFFIX:
        return source
    tables = sorted(source.glob(f"*{SUFFIX}")) if source.is_dir() else []
    if len(tables) != 1:
        names = ", ".join(table.name for table in tables) or "none"
        raise BadInput(f"{source} is neither NAME{SUFFIX} nor a folder of one such table; it has {names}")
    return tables[0]


def write(session: Session, target: Path) -> ExportReport:
    """Write a table: a row for each path, with the columns that an export in Parquet has."""
    lance = _lance(f"writing {target}")
    if target.suffix != SUFFIX:
        raise BadInput(f"a table of Lance is a folder NAME{SUFFIX}, and {target} is not; name it {target}{SUFFIX}")
    catalog = session.catalog
    images: set[int] = set()
    n_rows = 0
    with catalog.reading(), new_folder(target) as draft:
        if not catalog.images.count():
            raise NotFound("the store has no images to export")
        vectors = session.vectors()
        guard = ChecksumVerifier(catalog, vectors)
        schema = arrow_schema(catalog, session.spec)
        # Not one reader for all: Lance would ask it from a thread of its own, and the catalog is of this one.
        fragments = []
        for rows, table in arrow_tables(catalog, vectors, catalog.paths.exported(), guard, schema):
            fragments += lance.fragment.write_fragments(table, str(draft), mode="create")
            images.update(rows)
            n_rows += len(rows)
        lance.LanceDataset.commit(str(draft), lance.LanceOperation.Overwrite(schema, fragments))
    return ExportReport(str(target), None, len(images), n_rows, bytes_below(target))


def _lance(what: str) -> Any:
    try:
        import lance
        import lance.fragment
    except ImportError as error:
        raise BadInput(f"{what} needs Lance; install vecstore[lance]") from error
    return lance
