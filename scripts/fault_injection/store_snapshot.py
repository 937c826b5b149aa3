"""What a store holds and answers, to be compared with what it should.

It is read with plain SQLite and NumPy, not by vecstore: what is to be trusted cannot be its own witness. What the store
answers is asked of the library.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from vecstore.store import Store

Answers = dict[str, Any]
# The number of images whose neighbours are queried.
QUERIES, NEIGHBOURS = 6, 5


@dataclass(frozen=True)
class StoreSnapshot:
    """rows: the sha256 of each. vectors: their bytes. paths: the row of each. clusters: the cluster of living rows.

    clusterings: number, k and objective. problems: what should never be, in words.
    """

    rows: tuple[bytes, ...]
    vectors: tuple[bytes, ...]
    paths: dict[bytes, int]
    failures: dict[bytes, str]
    clusterings: tuple[tuple[int, int, float], ...]
    current: int | None
    clusters: dict[int, int]
    names: dict[int, str]
    answers: Answers
    problems: tuple[str, ...]
    # How many operations can be undone, and redone. An add that was killed and run again is two.
    undoable: int = field(default=0, compare=False)
    redoable: int = field(default=0, compare=False)

    def differences(self, other: "StoreSnapshot") -> str:
        """Say in which fields the other differs, for a person; empty if in none."""
        return "; ".join(
            f"{one.name}: {_difference(getattr(self, one.name), getattr(other, one.name))}"
            for one in fields(self)
            if one.compare and getattr(self, one.name) != getattr(other, one.name)
        )

    def is_on_the_way(self, before: "StoreSnapshot", after: "StoreSnapshot") -> str:
        """Say why this cannot be a state in the middle of an add that leads from one to the other; empty if it can."""
        if self.rows != after.rows[: len(self.rows)] or len(self.rows) < len(before.rows):
            return f"its {len(self.rows)} rows do not begin the {len(after.rows)} that there should be"
        for name in ("paths", "failures"):
            mine, was, becomes = (getattr(snapshot, name) for snapshot in (self, before, after))
            for path in {*mine, *was, *becomes}:
                if mine.get(path) not in (was.get(path), becomes.get(path)):
                    return f"{name} of {path!r}: {mine.get(path)}, neither {was.get(path)} nor {becomes.get(path)}"
        if (self.clusterings, self.current, self.names) != (before.clusterings, before.current, before.names):
            return "its clusterings are others"
        return ""


EMPTY = StoreSnapshot((), (), {}, {}, (), None, {}, {}, {}, ())


def snapshot(store: Path, truth: dict[bytes, bytes]) -> StoreSnapshot | None:
    """Return what is in a store, None if there is none. truth: the vector of each content."""
    answers = answers_of(store)
    if answers is None:
        return None
    with closing(sqlite3.connect(store / "catalog.sqlite")) as db:
        problems = [text for (text,) in db.execute("pragma integrity_check") if text != "ok"]
        problems += [f"a foreign key of {table} leads nowhere" for table, *_ in db.execute("pragma foreign_key_check")]
        images = db.execute("select row, sha256 from images order by row").fetchall()
        paths = dict(db.execute("select path, row from paths"))
        failures = dict(db.execute("select path, reason from failures"))
        current = db.execute("select clustering from store").fetchone()[0]
        clusterings = tuple((n, k, round(o, 3)) for n, k, o in db.execute("select id, k, objective from clusterings"))
        alive = {*paths.values()}
        memberships = dict(db.execute("select row, cluster from memberships where clustering = ?", (current,)))
        names = dict(db.execute("select cluster, name from identities where name is not null"))
        removed = {row for (row,) in db.execute("select row from removed")}
        undone = [undone for (undone,) in db.execute("select undone from operations")]
        (embedder,) = db.execute("select embedder from store").fetchone()
    rows = tuple(bytes(sha256) for _, sha256 in images)
    if [row for row, _ in images] != list(range(len(rows))):
        problems.append("rows are not dense")
    if removed != set(range(len(rows))) - alive:
        problems.append("what is listed as removed is not what has no path")
    if len({*rows}) != len(rows):
        problems.append("an image is there twice")
    if current is not None and alive - memberships.keys():
        problems.append(f"{len(alive - memberships.keys())} living images have no cluster")
    vectors = _vectors(store, len(rows), embedder, problems)
    # A compacted row is of no image, and its room may or may not have been given back yet.
    vectors = tuple(b"" if len(sha256) != 32 else vector for sha256, vector in zip(rows, vectors, strict=True))
    # An approximate index may miss a neighbour, depending on when it was made. It may not say a wrong score.
    if not _are_right(answers.pop("by the index"), vectors):
        problems.append("the index has given a wrong score")
    wrong = [
        row
        for row, (sha256, vector) in enumerate(zip(rows, vectors, strict=True))
        if truth.get(sha256, vector) != vector
    ]
    if wrong:
        problems.append(f"rows {wrong[:5]} have the vectors of other pictures")
    with Store.open(store) as opened:
        problems += [f"check: {found.where}: {found.what}" for found in opened.check()]
    clusters = {row: cluster for row, cluster in memberships.items() if row in alive}
    return StoreSnapshot(
        *(rows, vectors, paths, failures, clusterings, current, clusters, names, answers),
        problems=tuple(map(str, problems)),
        undoable=undone.count(0),
        redoable=undone.count(1),
    )


def answers_of(store: Path) -> Answers | None:
    """Return what a store answers to all kinds of questions; None if there is none. Raises what the library does."""
    from vecstore.storage.catalog.connection import holds_store

    if not holds_store(store / "catalog.sqlite"):
        return None
    with Store.open(store) as opened:
        return {name: ask() for name, ask in questions(opened).items()}


def questions(store: Store) -> dict[str, Any]:
    """Return what to ask a store, by name, each a call without arguments."""
    asked: dict[str, Any] = {
        "info": lambda: [getattr(store.info(), name) for name in ("images", "paths", "failures", "dim", "clusters")],
        "failures": store.failures,
        # In an order of its own: which path comes first depends on the files, and they change between two questions.
        "duplicates": lambda: sorted((found.id, found.path) for found in store.duplicates(exact=True)),
        "similar": lambda: _neighbours(store, exact=True),
        "by the index": lambda: _neighbours(store, exact=False),
        "clusters": lambda: _clusters(store),
    }
    return asked


def _neighbours(store: Store, exact: bool) -> dict[int, list[tuple[int, float]]]:
    alive = store.session.catalog.images.alive_rows()
    asked = alive[:: max(len(alive) // QUERIES, 1)][:QUERIES]
    found = {row: store.similar(row, k=NEIGHBOURS, exact=exact) for row in asked}
    return {row: [(hit.id, round(hit.score, 4)) for hit in hits] for row, hits in found.items()}


def _are_right(found: dict[int, list[tuple[int, float]]], vectors: tuple[bytes, ...]) -> bool:
    """Say whether scores are those that NumPy works out."""
    wide = [np.frombuffer(vector, "<f2").astype(np.float64) for vector in vectors]
    units = [vector / np.linalg.norm(vector) for vector in wide]
    hits = [(units[row] @ units[other], score) for row, near in found.items() for other, score in near]
    return all(abs(right - score) < 2e-4 for right, score in hits)


def _clusters(store: Store) -> list[tuple[int, str | None, int, str]]:
    if store.session.catalog.clusterings.current() is None:
        return []
    return [(found.cluster, found.name, found.size, found.representative) for found in store.clusters()]


def _vectors(store: Path, n_rows: int, embedder: str, problems: list[str]) -> tuple[bytes, ...]:
    import json

    row_bytes = json.loads(embedder)["dim"] * 2
    path = store / "vectors.f16"
    stored = path.read_bytes() if path.exists() else b""
    if len(stored) < n_rows * row_bytes:
        problems.append(f"there are {len(stored) // row_bytes} vectors for {n_rows} rows")
    return tuple(stored[row * row_bytes : (row + 1) * row_bytes] for row in range(n_rows))


def _difference(mine: Any, other: Any) -> str:
    """Say what the first thing is in which two values differ."""
    if isinstance(mine, dict) and isinstance(other, dict):
        first = next(key for key in (*mine, *other) if mine.get(key) != other.get(key))
        return f"{first!r}: {_difference(mine.get(first), other.get(first))}"
    if isinstance(mine, tuple | list) and len(mine) == len(other):
        first = next(number for number, (a, b) in enumerate(zip(mine, other, strict=True)) if a != b)
        return f"[{first}]: {_short(mine[first])} not {_short(other[first])}"
    return f"{_short(mine)} not {_short(other)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:120]}... ({len(text)} characters)"
