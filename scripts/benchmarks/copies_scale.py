"""How long comparing takes among many: random hashes, and stores of made-up vectors and hashes. No picture is read."""

import tempfile
import time
from pathlib import Path

import numpy as np

from scripts.benchmarks.common import make_store, peak_memory, resnet_like
from vecstore import Store
from vecstore.likeness.perceptual_hash import HASHED, N_FRAMES, SEEN, SIDE
from vecstore.search.copies import LEAST_SCORE, Collection, candidates

ADDED, PUT_AT_ONCE = 1_000, 10_000


def print_rows(rows: int, dim: int) -> None:
    """Print what finding candidates takes after 1,000 images came to so many, and where none was compared before.

    Each candidate takes a look at two pictures besides, which are not there; photos in a store have far fewer of them
    by their vectors than these, of which fifty are of one scene.
    """
    print(f"{rows:,} x {dim} made-up vectors and {N_FRAMES} hashes each, and {ADDED:,} that are added to them")
    with tempfile.TemporaryDirectory() as scratch:
        path = make_store(Path(scratch) / "store", resnet_like(rows + ADDED, dim, seed=0))
        with Store.open(path) as store:
            _put_hashes(store, rows + ADDED)
        for what, first in (("the added ones alone are new", rows), ("all are new", 0)):
            with Store.open(path) as store, peak_memory() as peak:
                clock, cpu = time.perf_counter(), time.process_time()
                collection = Collection(store.session)
                new = collection.rows[first:]
                pairs = candidates(collection, new, collection, collection.rows, LEAST_SCORE)
                clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
            by_hash = sum(not anywhere for _, anywhere in pairs)
            print(
                f"{what}: {clock:.1f} s, {cpu:.1f} s of CPU, {peak[0]:.0f} MiB at the peak; candidates: {by_hash:,} by "
                f"hash, {len(pairs) - by_hash:,} by vector",
                flush=True,
            )


def _put_hashes(store: Store, rows: int) -> None:
    random, catalog = np.random.default_rng(0), store.session.catalog
    with store.session.writing(), catalog.writing():
        for first in range(0, rows, PUT_AT_ONCE):
            block = range(first, min(first + PUT_AT_ONCE, rows))
            drawn = random.integers(0, 256, (len(block), N_FRAMES * SIDE), np.uint8)
            flag = bytes([SEEN | HASHED])
            catalog.picture_hashes.put((row, flag + hashes.tobytes()) for row, hashes in zip(block, drawn, strict=True))


def print_hashes(n: int) -> None:
    import faiss

    from indexes.close_hashes import HashTable

    random = np.random.default_rng(0)
    hashes = random.integers(0, 2**64, n, np.uint64)
    queries = hashes[: min(n, 1 << 16)]
    started = time.perf_counter()
    table = HashTable(hashes)
    print(f"table of {n:,} hashes in {time.perf_counter() - started:.1f} s")
    started = time.perf_counter()
    found = sum(len(one) for one, _, _ in table.near(queries, 8))
    print(f"{(time.perf_counter() - started) / len(queries) * 1e3:.3f} ms a query, {found:,} found")
    flat = faiss.IndexBinaryFlat(64)
    flat.add(hashes.view(np.uint8).reshape(-1, 8))
    several = faiss.IndexBinaryMultiHash(64, 4, 16)
    several.nflip = 1
    several.add(hashes.view(np.uint8).reshape(-1, 8))
    for name, index in (("IndexBinaryFlat", flat), ("IndexBinaryMultiHash(4 x 16 bits, 1 flip)", several)):
        started = time.perf_counter()
        index.range_search(queries[:2_000].view(np.uint8).reshape(-1, 8), 9)
        print(f"{name}: {(time.perf_counter() - started) / 2_000 * 1e3:.3f} ms a query")
