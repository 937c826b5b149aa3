"""`find` in a large store of ready-made vectors: its time with the words recorded, and its recall without."""

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from scripts.benchmarks.common import DRAWN_ROWS, describe_machine, make_store, peak_memory
from vecstore import Store
from vecstore.storage.layout import HEAD

WORDS = ["daisy", "cat", "dog", "bird", "vehicle", "animal", "artifact", "cat dog"]
RECALL_AT = (10, 100)
# Scores nearer than this are the same; so many images are looked through for the score of one.
SAME_SCORE, MOST = 1e-3, 20_000


def main(
    like: Annotated[
        Path, typer.Argument(help="A store whose embedder knows words; the vectors are mixed from its own.")
    ],
    vectors: Annotated[int, typer.Option(help="How many vectors.")] = 1_000_000,
    words: Annotated[list[str] | None, typer.Option("--word", help="A word to find; may be repeated.")] = None,
    repeats: Annotated[int, typer.Option("--rounds", help="How often each word is asked for, in turns.")] = 11,
    made: Annotated[
        Path | None, typer.Option("--store", help="Make the store here, or use the one that is here.")
    ] = None,
    untagged: Annotated[bool, typer.Option(help="Also ask before the words are recorded, by the index.")] = True,
) -> None:
    """Print the median time of `find` for ten images, its memory, and the recall of `find` without recorded words."""
    describe_machine("numpy", "faiss-gpu")
    asked = words or WORDS
    with tempfile.TemporaryDirectory() as scratch:
        folder = made or Path(scratch) / "store"
        with Store.open(like) as model:
            spec = model.session.spec
            with model.session.catalog.reading():
                own = np.asarray(model.session.vectors(), np.float32)
            model.find("dog")  # makes the head
        if not folder.exists():
            make_store(folder, mixed(own, vectors), spec)
            shutil.copy(like / HEAD, folder / HEAD)
        print(f"{vectors} x {spec.dim}, mixed from {len(own)} vectors of {spec.name}")
        unrecorded = _without_tags(folder, asked) if untagged else {}
        with Store.open(folder) as store:
            started = time.perf_counter()
            store.tag_all()
            print(f"recording the words: {time.perf_counter() - started:.0f} s")
        with Store.open(folder) as store, peak_memory() as peak:
            _warm(store, asked, repeats)
            for word in asked:
                _compare(store, word, unrecorded.get(word))
        print(f"peak memory, mapped files apart: {peak[0]:.0f} MiB")


def mixed(own: NDArray[np.float32], n: int) -> Iterator[NDArray[np.float32]]:
    """Yield n vectors in blocks: of two of these, chosen at random, a share from 0.5 to 1 and the rest, with noise.

    The noise is a fifth as long as the vector; numbers below 0 become 0, as a network's features are never negative.
    """
    for start in range(0, n, DRAWN_ROWS):
        random = np.random.default_rng([0, start])
        rows = min(DRAWN_ROWS, n - start)
        share = random.uniform(0.5, 1, (rows, 1)).astype(np.float32)
        block = share * own[random.integers(len(own), size=rows)]
        block += (1 - share) * own[random.integers(len(own), size=rows)]
        block += random.standard_normal(block.shape, np.float32) * np.float32(0.2 / own.shape[1] ** 0.5)
        np.maximum(block, 0, out=block)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        yield block


def _without_tags(folder: Path, asked: list[str]) -> dict[str, list[int]]:
    with Store.open(folder) as store:
        made = store.index()
        print(f"index {made.index}, recall@10 {made.recall:.3f}, made in {made.seconds:.0f} s", flush=True)
        found = {}
        for word in asked:
            store.find(word, k=max(RECALL_AT))
            started = time.perf_counter()
            found[word] = [hit.id for hit in store.find(word, k=max(RECALL_AT))]
            print(f"find {word!r} without recorded words: {1000 * (time.perf_counter() - started):.0f} ms", flush=True)
    return found


def _warm(store: Store, asked: list[str], repeats: int) -> None:
    started = time.perf_counter()
    store.find(asked[0])
    print(f"the first find of all: {1000 * (time.perf_counter() - started):.0f} ms")
    times: dict[str, list[tuple[float, float]]] = {word: [] for word in asked}
    for _ in range(repeats):
        for word in asked:
            started, worked = time.perf_counter(), time.process_time()
            store.find(word)
            times[word].append((1000 * (time.perf_counter() - started), 1000 * (time.process_time() - worked)))
    for word, own in times.items():
        passed, used = zip(*own, strict=True)
        print(
            f"find {word!r}: {statistics.median(passed):.1f} ms ({min(passed):.1f} to {max(passed):.1f}), "
            f"{statistics.median(used):.1f} ms of a core's time"
        )


def _compare(store: Store, word: str, unrecorded: list[int] | None) -> None:
    if unrecorded is None:
        return
    truth = store.find(word, k=max(RECALL_AT))
    score_of = {hit.id: hit.score for hit in store.find(word, k=MOST)}
    parts = []
    for n in RECALL_AT:
        # Of a wide word many images are as sure as can be, and which of them come first says nothing.
        bound = truth[min(n, len(truth)) - 1].score - SAME_SCORE if truth else 0.0
        right = sum(score_of.get(row, -1.0) >= bound for row in unrecorded[:n])
        parts.append(f"{right / max(min(n, len(truth)), 1):.3f} of the best {n}")
    print(f"find {word!r} without recorded words: as good as {' and '.join(parts)}")
