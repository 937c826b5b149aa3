"""A store whose vectors are searched by Milvus: a collection with a row's number and vector, and nothing else.

Paths, clusters and the rows themselves stay in the companion folder, so Milvus is sent two things, upsert and delete,
and an index that is lost is sent again. Rows to send are in the catalog (`pending`), put there in the transaction that
changes them and taken out once Milvus has them: a kill at any moment costs a repetition.

Facts of milvus 2.3.5: float16 vectors crash the server, so float32 is sent; `insert` doubles a row that is sent twice,
so it is always `upsert`; a message has 64 MiB at most.
"""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from indexes.rows import in_blocks
from vecstore.engines.address import Address
from vecstore.engines.engine import Capabilities, Int64, OnCommit
from vecstore.engines.index_lifecycle import AUTO, EXACT, IndexSettings
from vecstore.engines.milvus_connection import MOST_ROWS, Connection
from vecstore.engines.milvus_index import HNSW, IVF_SQ8, IndexState
from vecstore.errors import BadInput, NotFound, StoreDamaged
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.vector_file import Float16, Float32, VectorFile

if TYPE_CHECKING:
    from pymilvus import MilvusClient

    from indexes.ann import Index

log = logging.getLogger(__name__)

ROW, VECTOR = "row", "vector"
STORE, EMBEDDER = "vecstore.store", "vecstore.embedder"  # properties of the collection
STRONG = "Strong"
# Bytes of vectors in one message, which with their framing stays well below 64 MiB.
MESSAGE_BYTES = 16 << 20
GET_ROWS = 1_000
SENT_ROWS = 2_048  # sent between two notes of it in the catalog
# Building an index, loading a collection: a server at work answers, but late.
LONG_SECONDS = 24 * 3600.0
RECALL_QUERIES, RECALL_K = 50, 10
EFFORTS = (16, 32, 64, 128, 256, 512)


class MilvusEngine:
    """One store's collection. The catalog and the row file are those of its companion folder."""

    def __init__(self, address: Address, catalog: Catalog, vectors: VectorFile) -> None:
        self.name = address.shown
        # milvus-lite takes the name of any index and searches exactly.
        kinds = (AUTO, EXACT) if address.is_lite else (AUTO, EXACT, IVF_SQ8, HNSW)
        self.capabilities = Capabilities(keeps_vectors=True, index_kinds=kinds)
        self._address = address
        self._collection = address.collection
        self._catalog = catalog
        self._vectors = vectors
        self._connection = Connection(address)
        self._is_open = False
        self._has_sent = False

    # Opening

    def open(self) -> None:
        if self._is_open:
            return
        found = _described(self._connection, self._collection)
        if found is None:
            if self._has_rows():
                raise StoreDamaged(
                    f"{self.name} is gone, or was never on this server, and its companion {self._catalog.path.parent} "
                    "is whole; `vecstore index --rebuild` rebuilds the collection from it"
                )
            self._make()
        else:
            self._require_ours(found)
        self._connection.call(self._make_ready, LONG_SECONDS)
        self._is_open = True

    def close(self) -> None:
        self._connection.close()
        self._is_open = False

    def _require_ours(self, found: dict[str, Any]) -> None:
        owner = found.get("properties", {}).get(STORE)
        uid = self._catalog.engine.uid()
        if owner != uid:
            raise StoreDamaged(
                f"{self.name} belongs to {_owner(found)}, and its companion {self._catalog.path.parent} to store "
                f"{uid[:12]}; name the folder that goes with it by ?companion=DIR, or another store"
            )

    def _make(self) -> None:
        from pymilvus import DataType, MilvusClient

        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field(ROW, DataType.INT64, is_primary=True)
        schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=self._vectors.dim)
        properties = {STORE: self._catalog.engine.uid(), EMBEDDER: self._catalog.embedder()}

        def make(client: "MilvusClient", seconds: float) -> None:
            if client.has_collection(self._collection, timeout=seconds):  # an attempt whose answer was lost
                return
            client.create_collection(
                self._collection,
                schema=schema,
                consistency_level=STRONG,
                properties=properties,
                num_shards=self._address.shards,
                timeout=seconds,
            )

        self._connection.call(make)
        self._require_ours(_described(self._connection, self._collection) or {})

    def _make_ready(self, client: "MilvusClient", seconds: float) -> None:
        """Give the collection its index if it has none yet, and have it loaded."""
        if not client.list_indexes(self._collection):
            self._create_index(client, self._state(), seconds)
        client.load_collection(self._collection, timeout=seconds)

    # What it is sent

    def upsert(self, rows: Int64, vectors: Float16) -> None:
        self.open()
        block_rows = max(MESSAGE_BYTES // (4 * self._vectors.dim), 1)
        for start in range(0, len(rows), block_rows):
            stop = start + block_rows
            wide = np.asarray(vectors[start:stop], np.float32)
            entities = [{ROW: row, VECTOR: vector} for row, vector in zip(rows[start:stop].tolist(), wide, strict=True)]
            self._connection.call(partial(self._upsert, entities))

    def delete(self, rows: Int64) -> None:
        self.open()
        for block in in_blocks(rows, MOST_ROWS):
            self._connection.call(partial(self._delete, block.tolist()))

    def _upsert(self, entities: list[dict[str, Any]], client: "MilvusClient", seconds: float) -> None:
        client.upsert(self._collection, entities, timeout=seconds)

    def _delete(self, rows: list[int], client: "MilvusClient", seconds: float) -> None:
        client.delete(self._collection, ids=rows, timeout=seconds)

    def flush_pending(self, on_sent: Callable[[int], None] | None = None) -> None:
        n_sent = 0
        while pending := self._catalog.engine.pending_rows(SENT_ROWS):
            n_rows = self._catalog.images.row_count()
            removed = np.isin(pending, self._catalog.images.hidden_rows())
            rows = np.asarray(pending, np.int64)
            self.upsert(rows[~removed], self._vectors.read(n_rows)[rows[~removed]])
            if removed.any():
                self.delete(rows[removed])
            self._catalog.engine.clear_pending(pending)
            self._has_sent = True
            n_sent += len(pending)
            if on_sent is not None:
                on_sent(n_sent)

    @contextmanager
    def growing(self, *, fast: bool = False) -> Iterator[OnCommit]:
        yield lambda _n_rows: self.flush_pending()
        self.flush_pending()
        if self._has_sent:
            self._reconcile()
            self.keep_up()

    def flush(self) -> None:
        self.open()
        self._connection.call(lambda client, seconds: client.flush(self._collection, timeout=seconds), LONG_SECONDS)

    def _reconcile(self) -> None:
        """Where Milvus has another number of rows than the catalog, send what it lacks and delete what is too much."""
        if self.count() == self._catalog.images.found_count():
            return
        kept = np.concatenate([rows for rows, _ in self._blocks([ROW])] or [np.empty(0, np.int64)])
        differing = np.setxor1d(kept, np.asarray(self._catalog.images.searchable_rows(), np.int64))
        log.warning("%s differs from its companion in %d images; sending them again", self.name, len(differing))
        self._catalog.engine.mark_pending(differing[differing < self._catalog.images.row_count()].tolist())
        foreign = differing[differing >= self._catalog.images.row_count()]
        if len(foreign):
            self.delete(foreign)
        self.flush_pending()

    def _has_rows(self) -> bool:
        return self._catalog.engine.pending_count() < self._catalog.images.found_count()

    # Reading and searching

    def get(self, rows: Int64) -> Float32:
        self.open()
        found: dict[int, list[float]] = {}
        for block in in_blocks(rows, GET_ROWS):
            for entity in self._query(f"{ROW} in {block.tolist()}", [ROW, VECTOR]):
                found[entity[ROW]] = entity[VECTOR]
        absent = [row for row in rows.tolist() if row not in found]
        if absent:
            raise NotFound(f"row {absent[0]} is not in {self.name}; `vecstore index --rebuild` rebuilds it")
        return np.array([found[row] for row in rows.tolist()], np.float32).reshape(len(rows), self._vectors.dim)

    def iterate(self) -> Iterator[tuple[Int64, Float32]]:
        self.open()
        for rows, entities in self._blocks([ROW, VECTOR], GET_ROWS):
            vectors = {entity[ROW]: entity[VECTOR] for entity in entities}
            yield rows, np.array([vectors[row] for row in rows.tolist()], np.float32)

    def count(self) -> int:
        self.open()
        return int(self._query("", ["count(*)"])[0]["count(*)"])

    def searcher(self, vectors: Float16, *, exact: bool = False, many: bool = False) -> "Index":
        from indexes.ann import ExactIndex
        from vecstore.engines.milvus_search import MilvusIndex, Moment

        if exact or not self._has_rows():
            return ExactIndex(vectors)
        self.open()
        pending = np.asarray(self._catalog.engine.pending_rows(-1), np.int64)
        moment = Moment(vectors, pending, np.asarray(self._catalog.images.hidden_rows(), np.int64))
        return MilvusIndex(self.ask, moment, self._state())

    def ask(
        self, queries: Float32, limit: int, condition: str, state: IndexState
    ) -> list[tuple[Int64, NDArray[np.float32]]]:
        """Return (rows, scores) for each query, nearest first, as Milvus finds them. condition: on the rows, or ""."""

        def search(client: "MilvusClient", seconds: float) -> Any:
            return client.search(
                self._collection,
                data=list(queries),
                anns_field=VECTOR,
                limit=limit,
                filter=condition,
                output_fields=[ROW],  # or milvus-lite sends the vectors too
                search_params=state.search_parameters(limit),
                consistency_level=STRONG,
                timeout=seconds,
            )

        found = self._connection.call(search)
        return [
            (np.array([hit.id for hit in hits], np.int64), np.array([hit.distance for hit in hits], np.float32))
            for hits in found
        ]

    def _query(self, condition: str, fields: list[str]) -> list[dict[str, Any]]:
        return list(
            self._connection.call(
                lambda client, seconds: client.query(
                    self._collection,
                    filter=condition,
                    output_fields=fields,
                    consistency_level=STRONG,
                    timeout=seconds,
                )
            )
        )

    def _blocks(self, fields: list[str], block_rows: int = MOST_ROWS) -> Iterator[tuple[Int64, list[dict[str, Any]]]]:
        # Rows are dense, so a range of them is a page, in an order that no iterator of Milvus 2.3 promises.
        for start in range(0, self._catalog.images.row_count(), block_rows):
            entities = self._query(f"{ROW} >= {start} and {ROW} < {start + block_rows}", fields)
            if entities:
                yield np.array(sorted(entity[ROW] for entity in entities), np.int64), entities
        beyond = self._query(f"{ROW} >= {self._catalog.images.row_count()}", fields) if fields == [ROW] else []
        if beyond:
            yield np.array(sorted(entity[ROW] for entity in beyond), np.int64), beyond

    # The index

    def build_index(self, settings: IndexSettings, rebuild: bool = False) -> None:
        if rebuild:
            self.drop()
            self._catalog.engine.mark_pending(self._catalog.images.searchable_rows())
            self._catalog.engine.set_index_state(None)
        self.flush_pending()
        self.open()
        self._reconcile()
        kind = self._kind_for(settings)
        state = IndexState(kind)
        if kind != self._state().kind:
            log.info("indexing %d images in %s (%s) ...", self._catalog.images.found_count(), self.name, kind)
            self.flush()
            self._connection.call(lambda client, seconds: self._exchange_index(client, state, seconds), LONG_SECONDS)
        if kind != EXACT:
            state = self._tuned(kind, settings.target_recall)
        self._catalog.engine.set_index_state(state.to_json())

    def keep_up(self) -> None:
        settings = IndexSettings.from_json(self._catalog.index_settings())
        if self._kind_for(settings) != self._state().kind:
            self.build_index(settings)

    def _state(self) -> IndexState:
        return IndexState.from_json(self._catalog.engine.index_state())

    def _kind_for(self, settings: IndexSettings) -> str:
        if settings.kind not in self.capabilities.index_kinds:
            kinds = ", ".join(self.capabilities.index_kinds)
            raise BadInput(f"{self.name} has no index of the kind {settings.kind!r}; choose one of {kinds}")
        if settings.kind != AUTO:
            return settings.kind
        # Where the embedded store would compress. A byte a number, as candidates are put in order by the stored rows.
        n_rows = self._catalog.images.row_count()
        is_small = IndexSettings().kind_for(n_rows, self._vectors.dim) == EXACT
        return EXACT if is_small or IVF_SQ8 not in self.capabilities.index_kinds else IVF_SQ8

    def _create_index(self, client: "MilvusClient", state: IndexState, seconds: float) -> None:
        kind, parameters = {
            EXACT: ("FLAT", {}),
            # Of each segment, which has some 100,000 rows of 2048 numbers at the most.
            IVF_SQ8: ("IVF_SQ8", {"nlist": 512}),
            HNSW: ("HNSW", {"M": 16, "efConstruction": 200}),
        }[state.kind]
        made = client.prepare_index_params()
        made.add_index(VECTOR, index_type=kind, metric_type="IP", params=parameters)
        client.create_index(self._collection, made, timeout=seconds)

    def _exchange_index(self, client: "MilvusClient", state: IndexState, seconds: float) -> None:
        client.release_collection(self._collection, timeout=seconds)
        for name in client.list_indexes(self._collection):
            client.drop_index(self._collection, name, timeout=seconds)
        self._create_index(client, state, seconds)
        client.load_collection(self._collection, timeout=seconds)

    def _tuned(self, kind: str, target: float) -> IndexState:
        """Return the index with the least effort that finds the target's part of ten neighbours of some stored rows."""
        from indexes.ann import ExactIndex

        vectors = self._vectors.read(self._catalog.images.row_count())
        living = np.asarray(self._catalog.images.searchable_rows(), np.int64)
        if not len(living):  # nothing to measure by: as much effort as there is, until there is something
            return IndexState(kind, EFFORTS[-1])
        rows = living[:: max(len(living) // RECALL_QUERIES, 1)][:RECALL_QUERIES]
        queries = np.asarray(vectors[rows], np.float32)
        allowed = np.zeros(len(vectors), np.bool_)
        allowed[living] = True
        truth = ExactIndex(vectors).search(queries, RECALL_K, allowed)
        best = IndexState(kind, 0, 0.0)
        for effort in EFFORTS:
            tried = IndexState(kind, effort)
            found = self._searched(vectors, queries, truth.rows.shape[1], tried)
            # A neighbour counts as found if one with its score is.
            recall = float(np.mean(found >= truth.scores[:, -1:] - 1e-6))
            best = IndexState(kind, effort, round(recall, 4))
            if recall >= target:
                return best
        log.warning("%s reaches a recall of %.3f, and %.3f is needed; use --kind exact", self.name, best.recall, target)
        return best

    def _searched(self, vectors: Float16, queries: Float32, k: int, state: IndexState) -> NDArray[np.float32]:
        from vecstore.engines.milvus_search import MilvusIndex, Moment

        none = np.empty(0, np.int64)
        removed = np.asarray(self._catalog.images.hidden_rows(), np.int64)
        return MilvusIndex(self.ask, Moment(vectors, none, removed), state).search(queries, k).scores

    def drop(self) -> None:
        found = _described(self._connection, self._collection)
        if found is not None:
            self._require_ours(found)
            self._connection.call(lambda client, seconds: client.drop_collection(self._collection, timeout=seconds))
        self._is_open = False


def require_room(address: Address) -> None:
    """Raise BadInput if the collection's name is taken on the server, before a new store is made there."""
    connection = Connection(address)
    try:
        found = _described(connection, address.collection)
    finally:
        connection.close()
    if found is not None:
        raise BadInput(
            f"{address.shown} is taken, by {_owner(found)}; if that store is yours, name its companion folder with "
            "?companion=DIR, else choose another name"
        )


def _described(connection: Connection, collection: str) -> dict[str, Any] | None:
    """Return what the server says of a collection, None if it has none of that name."""

    def describe(client: "MilvusClient", seconds: float) -> dict[str, Any] | None:
        if not client.has_collection(collection, timeout=seconds):
            return None
        return dict(client.describe_collection(collection, timeout=seconds))

    return connection.call(describe)


def _owner(found: dict[str, Any]) -> str:
    owner = found.get("properties", {}).get(STORE)
    if owner is None:
        return "something other than vecstore"
    made_by = json.loads(found["properties"].get(EMBEDDER, "{}")).get("name", "an unknown embedder")
    return f"store {owner[:12]}, made with {made_by}"
