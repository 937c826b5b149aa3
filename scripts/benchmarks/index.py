"""The index against exact search and the approximate indexes of others, on vectors like ResNet50's or on real ones."""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import faiss
import numpy as np
import typer
from numpy.typing import NDArray

from indexes import compressed
from indexes.devices import choose_device
from indexes.stamps import KINDS
from scripts.benchmarks.common import describe_machine, resnet_like
from vecstore import indexing
from vecstore.indexing import BackgroundIndexing, IndexSettings
from vecstore.store import Store
from vecstore.vectors import VectorFile, rounded

N_QUERIES, K = 200, 10
# What each of the others may turn up to come by the recall; the first that suffices is timed.
EFFORTS = (10, 20, 40, 80, 160, 320, 640, 1280, 2560)
ROWS_AT_ONCE = 10_000

Rows = NDArray[np.int64]
Search = Callable[[NDArray[np.float32]], Rows]


def main(
    rows: Annotated[int, typer.Option(help="Stored vectors, like ResNet50's.")] = 200_000,
    dim: Annotated[int, typer.Option()] = 2048,
    vectors: Annotated[Path | None, typer.Option(help="A store's vectors.f16, of --dim numbers, instead.")] = None,
    target: Annotated[float, typer.Option(help="The recall of ten neighbours to reach.")] = 0.99,
    peers: Annotated[bool, typer.Option(help="Compare with hnswlib, usearch (if installed) and FAISS's own.")] = False,
    flat: Annotated[
        bool, typer.Option(help="Compare with FAISS flat float32, which takes rows x dim x 4 bytes.")
    ] = True,
    growth: Annotated[int, typer.Option(help="Also grow an index to so many rows, 10,000 at a time.")] = 0,
    cold: Annotated[bool, typer.Option(help="Also time `vecstore similar @7`, the process included.")] = True,
    n_rounds: Annotated[int, typer.Option("--rounds")] = 3,
) -> None:
    """Print recall, bytes, memory, and the median time of single queries, all in one run, in turns."""
    describe_machine("numpy", "faiss-gpu")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        stored = _stored(folder / "vectors.f16", rows, dim) if vectors is None else _mapped(vectors, dim)
        if growth:
            _grow(folder / "grown", stored[:growth])
            return
        print(f"{len(stored)} x {dim}, {stored.nbytes / 2**20:.0f} MiB; queries: {N_QUERIES} of the vectors themselves")
        sample = np.sort(np.random.default_rng(7).choice(len(stored), min(N_QUERIES, len(stored)), replace=False))
        queries = stored[sample].astype(np.float32)
        truth = [row[row != own][:K] for row, own in zip(_exact(stored, queries), sample, strict=True)]
        contestants: dict[str, Search] = {}
        for kind in KINDS:
            contestants[f"vecstore {kind}"] = _ours(folder / f"{kind}.faiss", stored, kind, target)
        if flat or peers:
            whole = np.concatenate([stored[i : i + ROWS_AT_ONCE].astype(np.float32) for i in _starts(stored)])
            if flat:
                contestants["FAISS flat float32"] = _flat(whole)
            if peers:
                for name, build in PEERS.items():
                    found = _tuned(name, build(whole), queries, sample, truth, target)
                    if found:
                        contestants[name] = found
        _print_times(contestants, queries, sample, truth, n_rounds)
        if cold:
            _cold(folder / "store", stored)


def _print_times(
    contestants: dict[str, Search], queries: NDArray[np.float32], sample: Rows, truth: list[Rows], n_rounds: int
) -> None:
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(n_rounds):
        for name, search in contestants.items():
            asked = queries if "flat" not in name else queries[:20]
            times[name].append(statistics.median(_seconds(search, query[None]) for query in asked))
            print(f"round {number + 1}  {name:30} {times[name][-1] * 1000:9.3f} ms a query", flush=True)
    ours = next(iter(times))
    for name, search in contestants.items():
        found = np.concatenate([search(query[None]) for query in queries])
        ratios = [theirs / mine for mine, theirs in zip(times[ours], times[name], strict=True)]
        print(
            f"{name:30} recall@{K} {_recall(found, sample, truth):.4f}, {statistics.median(ratios):.2f} of the time of "
            f"{ours} ({min(ratios):.2f} to {max(ratios):.2f})"
        )


def _ours(path: Path, stored: NDArray[np.float16], kind: str, target: float) -> Search:
    with _measured(f"vecstore {kind}"):
        compressed.build(path, stored, kind, target, choose_device("cpu"))
    index = compressed.open_compressed(path, stored)
    stamp = index.stamp
    print(
        f"vecstore {kind}: {index.bytes / len(stored):.1f} bytes a vector, {stamp.lists} lists, {stamp.probes} looked "
        f"through, {stamp.candidates} candidates, recall measured at the build {stamp.recall:.4f}",
        flush=True,
    )
    return lambda queries: index.search(queries, K + 1).rows


def _flat(whole: NDArray[np.float32]) -> Search:
    index = faiss.IndexFlatIP(whole.shape[1])
    index.add(whole)
    return lambda queries: np.asarray(index.search(queries, K + 1)[1])


# The others. Each returns a search with an effort, or None if it is not installed.

Tunable = Callable[[NDArray[np.float32], int], Rows]


def _faiss_hnsw(whole: NDArray[np.float32]) -> Tunable:
    index = faiss.IndexHNSWFlat(whole.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    with _measured("FAISS HNSW32 (efConstruction 40)"):
        index.add(whole)

    def search(queries: NDArray[np.float32], effort: int) -> Rows:
        return np.asarray(index.search(queries, K + 1, params=faiss.SearchParametersHNSW(efSearch=effort))[1])

    return search


def _faiss_ivf_pq(whole: NDArray[np.float32]) -> Tunable:
    lists = compressed.number_of_lists(len(whole))
    index = faiss.index_factory(whole.shape[1], f"OPQ64_256,IVF{lists},PQ64,RFlat", faiss.METRIC_INNER_PRODUCT)
    with _measured(f"FAISS OPQ64_256,IVF{lists},PQ64,RFlat"):
        index.train(whole[:: max(len(whole) // (lists * 64), 1)])
        index.add(whole)
    index.k_factor = 10

    def search(queries: NDArray[np.float32], effort: int) -> Rows:
        faiss.extract_index_ivf(index.base_index).nprobe = max(effort // 10, 1)
        return np.asarray(index.search(queries, K + 1)[1])

    return search


def _hnswlib(whole: NDArray[np.float32]) -> Tunable | None:
    try:
        import hnswlib
    except ImportError:
        return None
    index = hnswlib.Index(space="ip", dim=whole.shape[1])
    with _measured("hnswlib (M 16, ef_construction 100)"):
        index.init_index(len(whole), M=16, ef_construction=100, random_seed=1)
        index.add_items(whole)

    def search(queries: NDArray[np.float32], effort: int) -> Rows:
        index.set_ef(max(effort, K + 1))
        return np.asarray(index.knn_query(queries, K + 1)[0], np.int64)

    return search


def _usearch(whole: NDArray[np.float32]) -> Tunable | None:
    try:
        from usearch.index import Index
    except ImportError:
        return None
    index: Any = Index(ndim=whole.shape[1], metric="ip", dtype="f16", connectivity=16, expansion_add=100)
    with _measured("usearch (f16, connectivity 16, expansion_add 100)"):
        index.add(np.arange(len(whole)), whole)

    def search(queries: NDArray[np.float32], effort: int) -> Rows:
        index.expansion_search = effort
        return np.asarray(index.search(queries, K + 1).keys, np.int64).reshape(len(queries), -1)

    return search


PEERS: dict[str, Callable[[NDArray[np.float32]], Tunable | None]] = {
    "FAISS HNSW32": _faiss_hnsw,
    "FAISS OPQ,IVF,PQ64,RFlat": _faiss_ivf_pq,
    "hnswlib": _hnswlib,
    "usearch": _usearch,
}


def _tuned(
    name: str, search: Tunable | None, queries: NDArray[np.float32], sample: Rows, truth: list[Rows], target: float
) -> Search | None:
    if search is None:
        print(f"{name} is not installed: left out")
        return None
    for effort in EFFORTS:
        reached = _recall(np.concatenate([search(query[None], effort) for query in queries]), sample, truth)
        if reached >= target:
            break
    print(f"{name}: effort {effort}, recall {reached:.4f}", flush=True)
    return lambda asked: search(asked, effort)


# Growing and cold queries


def _grow(folder: Path, stored: NDArray[np.float16]) -> None:
    """Grow a store's index as adds do, and compare its work with that of one build at the end."""
    folder.mkdir()
    path, settings, device = folder / "index.faiss", IndexSettings(), choose_device("cpu")
    file = VectorFile(folder / "vectors.f16", stored.shape[1])
    work, recalls, own = 0.0, [], 0
    random = np.random.default_rng(3)
    for start in _starts(stored):
        file.append(np.asarray(stored[start : start + ROWS_AT_ONCE]), start)
        n_rows = min(start + ROWS_AT_ONCE, len(stored))
        began = time.perf_counter()
        indexer = BackgroundIndexing(path, file, settings, device)
        indexer.committed(n_rows)
        indexer.finish()
        work += time.perf_counter() - began
        there = file.read(n_rows)
        index = indexing.open_index(path, there)
        asked = np.append(random.choice(n_rows, 10, replace=False), n_rows - 1)
        queries = there[asked].astype(np.float32)
        found, truth = index.search(queries, K).rows, _exact(there, queries)[:, :K]
        recalls.append(np.mean([len(set(f) & set(t)) / K for f, t in zip(found.tolist(), truth.tolist(), strict=True)]))
        own += bool(found[-1, 0] == n_rows - 1)
        if not n_rows % 100_000:
            print(f"{n_rows} rows: {work:.1f} s of work so far, index {index.kind}", flush=True)
    began = time.perf_counter()
    compressed.build(folder / "at-once.faiss", stored, KINDS[0], settings.target_recall, device)
    at_once = time.perf_counter() - began
    print(
        f"growing to {len(stored)}: {work:.1f} s of work, {work / at_once:.2f} of one build at the end; "
        f"recall after the steps: mean {np.mean(recalls):.4f}, least {min(recalls):.4f} of 11 queries; "
        f"{own} of {len(recalls)} newest images found themselves first"
    )


def _cold(folder: Path, stored: NDArray[np.float16]) -> None:
    """Time the command on a store of these vectors, and the same query in one process."""
    folder.mkdir()
    np.save(folder.parent / "stored.npy", stored)
    (folder.parent / "paths.txt").write_text("".join(f"/made/{i}.jpg\n" for i in range(len(stored))))
    with Store.open(folder / "s", create=True) as store:
        store.import_vectors(folder.parent / "stored.npy", folder.parent / "paths.txt")
        store.index()
        warm = [_seconds(lambda row: store.similar(row), row) for row in range(7, 107)]
    command = [sys.executable, "-c", "from cli.app import main; main()", "similar", "@7", "--store", str(folder / "s")]
    cold = [_seconds(lambda _: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), None) for _ in range(5)]
    print(
        f"vecstore similar @7, the process included: median {statistics.median(cold):.2f} s ({min(cold):.2f} to "
        f"{max(cold):.2f}); Store.similar: {statistics.median(warm) * 1000:.1f} ms, at most {max(warm) * 1000:.1f}"
    )


# What the above are made of


def _stored(path: Path, n_rows: int, dim: int) -> NDArray[np.float16]:
    with open(path, "wb") as file:
        for block in resnet_like(n_rows, dim, seed=0):
            file.write(rounded(block).tobytes())
    return _mapped(path, dim)


def _mapped(path: Path, dim: int) -> NDArray[np.float16]:
    return np.memmap(path, "<f2", mode="r").reshape(-1, dim)


def _starts(stored: NDArray[np.float16]) -> range:
    return range(0, len(stored), ROWS_AT_ONCE)


def _exact(stored: NDArray[np.float16], queries: NDArray[np.float32]) -> Rows:
    """Return each query's K + 1 nearest rows, by a product of matrices in blocks."""
    scores = np.empty((len(queries), 0), np.float32)
    rows = np.empty((len(queries), 0), np.int64)
    for start in _starts(stored):
        block = queries @ stored[start : start + ROWS_AT_ONCE].astype(np.float32).T
        scores = np.hstack([scores, block])
        rows = np.hstack([rows, np.broadcast_to(np.arange(start, start + block.shape[1]), block.shape)])
        top = np.argsort(-scores, axis=1)[:, : K + 1]
        scores, rows = np.take_along_axis(scores, top, 1), np.take_along_axis(rows, top, 1)
    return rows


def _recall(found: Rows, sample: Rows, truth: list[Rows]) -> float:
    others = [row[row != own][:K] for row, own in zip(found, sample, strict=True)]
    return float(np.mean([len(set(o.tolist()) & set(t.tolist())) / len(t) for o, t in zip(others, truth, strict=True)]))


def _seconds(work: Callable[[Any], object], argument: Any) -> float:
    started = time.perf_counter()
    work(argument)
    return time.perf_counter() - started


@contextmanager
def _measured(what: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    # The peak is of the process until now, so of the first build alone where nothing larger came before.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{what}: built in {time.perf_counter() - started:.1f} s, peak memory so far {peak} MiB", flush=True)
