"""Whatever is done to a store and its index, in whatever order, it answers as NumPy does over what it holds.

The index looks at all that it has, so that its answers are exact; what is tried here is its life, not its recall.
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from indexes import compressed, recall
from indexes.index_metadata import KINDS, read_header
from vecstore.engines import index_lifecycle
from vecstore.errors import NotFound
from vecstore.ingest import pipeline
from vecstore.storage.layout import INDEX
from vecstore.store import Store

DIM = 8
choices = st.integers(0, 10**6)


class StoreAndIndex(RuleBasedStateMachine):
    """The model is the set of rows that are there and the vectors as they are stored."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = Store.open(self.folder / "store", create=True)
        self.reader: Store | None = None
        self.alive: list[int] = []
        self.n_rows = 0

    def teardown(self) -> None:
        self.store.close()
        if self.reader is not None:
            self.reader.close()
        shutil.rmtree(self.folder)

    @property
    def index(self) -> Path:
        return self.folder / "store" / INDEX

    @rule(n=st.integers(1, 40), copies=st.booleans())
    def grow(self, n: int, copies: bool) -> None:
        """copies: the same few vectors again and again."""
        rng = np.random.default_rng(3 if copies else self.n_rows)
        np.save(self.folder / "new.npy", rng.standard_normal((n, DIM)))
        paths = [f"/nowhere/{self.n_rows + number}.jpg\n" for number in range(n)]
        (self.folder / "paths.txt").write_text("".join(paths))
        assert self.store.import_vectors(self.folder / "new.npy", self.folder / "paths.txt").added == n
        self.alive.extend(range(self.n_rows, self.n_rows + n))
        self.n_rows += n

    @precondition(lambda self: self.alive)
    @rule(which=choices, n=st.integers(1, 10))
    def remove(self, which: int, n: int) -> None:
        gone = self.alive[which % len(self.alive) :][:n]
        assert self.store.remove(*gone).removed == len(gone)
        self.alive = [row for row in self.alive if row not in gone]
        with pytest.raises(NotFound):
            self.store.similar(gone[0])

    @precondition(lambda self: self.n_rows)
    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = Store.open(self.folder / "store")

    @precondition(lambda self: self.n_rows)
    @rule(kind=st.sampled_from([None, "auto", "exact", *KINDS]), rebuild=st.booleans())
    def bring_up_to_date(self, kind: str | None, rebuild: bool) -> None:
        report = self.store.index(kind=kind, rebuild=rebuild)
        header = read_header(self.index)
        assert report.rows == self.n_rows
        if header is None:
            assert (report.index, self.index.exists()) == ("exact", False)
        else:
            assert (report.index, header.rows) == (header.kind, self.n_rows)
            compressed.verify(self.index, self.store.session.vectors())

    @precondition(lambda self: self.index.exists())
    @rule(where=choices, how=st.sampled_from(["flip", "zeros", "cut"]))
    def damage(self, where: int, how: str) -> None:
        data = bytearray(self.index.read_bytes())
        at = where % len(data)
        if how == "cut":
            del data[at:]
        elif how == "zeros":
            data[at : at + 600] = bytes(len(data[at : at + 600]))
        else:
            data[at] ^= 255
        (self.folder / "damaged").write_bytes(data)
        (self.folder / "damaged").replace(self.index)

    @precondition(lambda self: self.index.exists())
    @rule()
    def lose_the_index(self) -> None:
        self.index.unlink()

    @precondition(lambda self: self.n_rows)
    @rule(which=choices, k=st.sampled_from([1, 10, 500]))
    def ask(self, which: int, k: int) -> None:
        self._ask(self.store, which, k)

    @precondition(lambda self: self.n_rows)
    @rule(which=choices)
    def ask_in_a_session_of_its_own(self, which: int) -> None:
        self.reader = self.reader or Store.open(self.folder / "store")
        self._ask(self.reader, which, 10)

    @invariant()
    def the_newest_image_finds_itself_first(self) -> None:
        if self.alive:
            assert self.store.similar(self.alive[-1], k=1)[0].id == self.alive[-1]

    def _ask(self, store: Store, which: int, k: int) -> None:
        if not self.alive:
            return
        row = self.alive[which % len(self.alive)]
        stored = np.fromfile(self.folder / "store/vectors.f16", "<f2").reshape(-1, DIM).astype(np.float64)
        scores = stored @ stored[row] / np.linalg.norm(stored, axis=1) / np.linalg.norm(stored[row])
        others = sorted((r for r in self.alive if r != row), key=lambda r: (-round(scores[r], 6), r))
        expected = [row, *others][:k]
        hits = store.similar(row, k=k)
        assert [hit.score for hit in hits] == pytest.approx(scores[expected].tolist(), abs=1e-5)
        # In which order those come that are as near as each other depends on the last bits.
        assert len({hit.id for hit in hits}) == len(expected)
        assert {hit.id for hit in hits} <= set(self.alive)


def test_answers_are_exact_whatever_happens(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> None:
    def looks_at_all(index: object, header: compressed.IndexHeader, *_: object) -> compressed.IndexHeader:
        everything = {"probes": header.lists, "candidates": 10**6, "recall": 1.0, "measured": header.rows}
        return compressed.replace(header, **everything)

    monkeypatch.setattr(recall, "with_least_work", looks_at_all)
    monkeypatch.setattr(compressed, "ROWS_A_CANDIDATE", 0)
    monkeypatch.setattr(compressed, "EXACT_BYTES", -1)
    monkeypatch.setattr(compressed, "MEASURE_AGAIN", 0)
    monkeypatch.setattr(compressed, "TRAINING_ITERATIONS", 1)
    monkeypatch.setattr(index_lifecycle, "EXACT_BYTES", 50 * DIM * 2)
    monkeypatch.setattr(index_lifecycle, "TAIL_BYTES", 20 * DIM * 2)
    monkeypatch.setattr(pipeline, "COMMIT_FILES", 30)
    bounded = settings(
        max_examples=40,
        stateful_step_count=15,
        deadline=None,
        derandomize=True,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(StoreAndIndex, settings=bounded)
