"""Search by Milvus: it finds candidates, and the stored rows put them in exact order, so scores are those of any store.

An answer is of one moment of the catalog. Rows that Milvus had not been sent then are compared here; what it has
that the moment has not (a writer went on) is passed over, and it is asked for more.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from indexes.ann import ROUNDING, ExactIndex, Neighbours, check, gathered, ranked
from indexes.index_metadata import EXACT_BYTES
from indexes.rows import in_blocks
from vecstore.engines.engine import Int64
from vecstore.engines.index_lifecycle import EXACT
from vecstore.engines.milvus_connection import MOST_ROWS
from vecstore.engines.milvus_index import IndexState
from vecstore.storage.vector_file import ROW_DTYPE, Float16, Float32

Bool = NDArray[np.bool_]
Found: TypeAlias = tuple[Int64, NDArray[np.float32]]
Ask: TypeAlias = Callable[[Float32, int, str, IndexState], list[Found]]

# Seen on 2.3.5: a few thousand ids in a condition cost what a search costs anyway, a million take 22 s.
MOST_IDS = 8_192
SPAN_ROWS = 4_096
QUERY_ROWS = 64
MORE = 8
# The factor of additional candidates for an index of rounded codes; the stored rows choose among them.
ROUNDED_TIMES = 4


@dataclass(frozen=True)
class Moment:
    """What is searched. vectors: (rows, dim), mapped. pending: rows not sent to Milvus yet. removed: in no answer."""

    vectors: Float16
    pending: Int64
    removed: Int64


class MilvusIndex:
    """Fulfils `indexes.ann.Index`, by asking Milvus."""

    bytes = None  # it is not here, and Milvus does not say

    def __init__(self, ask: Ask, moment: Moment, state: IndexState) -> None:
        self.kind, self.recall = state.kind, state.recall
        self._ask, self._state = ask, state
        self._vectors = np.asarray(moment.vectors)
        self._pending, self._removed = moment.pending, moment.removed

    def search(self, queries: Float32, k: int, allowed: Bool | None = None) -> Neighbours:
        """Return the k rows nearest to each query, as `Index.search` says."""
        check(self._vectors, queries, k, allowed)
        if allowed is None:
            allowed = np.ones(len(self._vectors), np.bool_)
        allowed = allowed.copy()
        allowed[self._removed] = False
        n_allowed = int(np.count_nonzero(allowed))
        k = min(k, n_allowed)
        if self._is_small(n_allowed) and n_allowed < len(self._vectors) - len(self._removed):
            return gathered(self._compare(queries, k, allowed), k)
        if k + MORE > MOST_ROWS:
            return ExactIndex(self._vectors).search(queries, k, allowed)
        sent = allowed.copy()
        sent[self._pending] = False
        late = allowed & ~sent
        blocks = in_blocks(queries, QUERY_ROWS)
        return gathered([found for block in blocks for found in self._search_block(block, k, sent, late)], k)

    def _search_block(self, queries: Float32, k: int, sent: Bool, late: Bool) -> Iterator[Found]:
        candidates = self._candidates(queries, k, sent)
        n_late = int(np.count_nonzero(late))
        if n_late:
            compared = self._compare(queries, min(k, n_late), late)
            candidates = [np.concatenate([rows, more]) for rows, (more, _) in zip(candidates, compared, strict=True)]
        for query, rows in zip(queries, candidates, strict=True):
            # A writer that went on, or a collection that lost some: k come back where k are.
            yield (
                ranked(self._vectors, rows, query, k)
                if len(rows) >= k
                else self._compare(query[None], k, sent | late)[0]
            )

    def _candidates(self, queries: Float32, k: int, sent: Bool) -> list[Int64]:
        """Return, for each query, rows among which are its k nearest of those that Milvus was sent."""
        found = [np.empty(0, np.int64) for _ in queries]
        for condition, n_rows in conditions(sent, self._removed):
            asked, wanted = np.arange(len(queries)), min(k, n_rows) * self._times() + MORE
            while len(asked):
                wanted = min(wanted, MOST_ROWS)
                answers = self._ask(queries[asked], wanted, condition, self._state)
                again = []
                for i, (rows, scores) in zip(asked.tolist(), answers, strict=True):
                    known = rows < len(sent)
                    usable = np.zeros(len(rows), np.bool_)
                    usable[known] = sent[rows[known]]
                    if len(rows) == wanted < MOST_ROWS and not self._is_enough(scores, usable, min(k, n_rows)):
                        again.append(i)
                    else:
                        found[i] = np.concatenate([found[i], rows[usable]])
                asked, wanted = np.array(again, np.int64), wanted * 4
        return found

    def _is_enough(self, scores: NDArray[np.float32], usable: Bool, k: int) -> bool:
        """Say whether the k nearest are certainly among these: k usable, the last farther than rounding explains."""
        if np.count_nonzero(usable) < k:
            return False
        return self.kind != EXACT or bool(scores[-1] < scores[usable][k - 1] - ROUNDING)

    def _times(self) -> int:
        return 1 if self.kind == EXACT else ROUNDED_TIMES

    def _compare(self, queries: Float32, k: int, allowed: Bool) -> list[Found]:
        """Return the k nearest of these rows to each query, by looking at every one here."""
        rows = np.flatnonzero(allowed)
        if self._is_small(len(rows)):
            found = ExactIndex(self._vectors[rows]).search(queries, k)
            return list(zip(rows[found.rows], found.scores, strict=True))
        found = ExactIndex(self._vectors).search(queries, k, allowed)
        return list(zip(found.rows, found.scores, strict=True))

    def _is_small(self, n_rows: int) -> bool:
        return bool(n_rows * self._vectors.shape[1] * ROW_DTYPE.itemsize <= EXACT_BYTES)


def conditions(sent: Bool, removed: Int64) -> list[tuple[str, int]]:
    """Return conditions for Milvus, each with how many rows it leaves, that together leave the rows in `sent`.

    A condition names ids, those that are in or those that are out, whichever are fewer, and not too many: 2.3.5 fails
    on a hundred ranges and takes its time over many ids. removed: are not in Milvus, so they need not be named.
    """
    absent = np.zeros(len(sent), np.bool_)
    absent[removed] = True
    inside, outside = sent, ~sent & ~absent
    made = []
    start = n_in = n_out = 0
    for block in range(0, len(sent), SPAN_ROWS):
        more_in, more_out = (int(rows[block : block + SPAN_ROWS].sum()) for rows in (inside, outside))
        if min(n_in + more_in, n_out + more_out) > MOST_IDS:
            made.append((_condition(inside, outside, start, block), n_in))
            start, n_in, n_out = block, 0, 0
        n_in, n_out = n_in + more_in, n_out + more_out
    made.append((_condition(inside, outside, start, len(sent)), n_in))
    return [(condition, n_rows) for condition, n_rows in made if n_rows]


def _condition(inside: Bool, outside: Bool, start: int, stop: int) -> str:
    rows_in, rows_out = (start + np.flatnonzero(rows[start:stop]) for rows in (inside, outside))
    if len(rows_in) <= len(rows_out):
        return f"row in {rows_in.tolist()}"
    bounds = [f"row >= {start}"] if start else []
    bounds += [f"row < {stop}"] if stop < len(inside) else []
    bounds += [f"row not in {rows_out.tolist()}"] if len(rows_out) else []
    return " and ".join(bounds)
