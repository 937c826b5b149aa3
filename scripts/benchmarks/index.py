"""The index against exact search and the approximate indexes of others, on vectors like ResNet50's or on real ones."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import faiss
import numpy as np
import typer
from numpy.typing import NDArray

from indexes import compressed
from indexes.ann import ExactIndex
from indexes.devices import choose_device
from indexes.index_metadata import KINDS
from indexes.rows import as_float32
from scripts.benchmarks.common import describe_machine, in_a_process_of_its_own, make_store, resnet_like
from vecstore.engines import index_lifecycle
from vecstore.engines.index_lifecycle import BackgroundIndexing, IndexSettings
from vecstore.storage.durable_files import replacing
from vecstore.storage.vector_file import VectorFile, quantize_unit_rows
from vecstore.store import Store

# Of fewer queries the least effort that reaches the target is often a lucky one: by 200 `PCAR256,IVF,PQ64,RFlat` seemed
# to need 8 lists, by 1,000 it needs 16.
N_QUERIES, K = 1_000, 10
SLOW = "FAISS flat float32"  # asked fewer queries
SLOW_QUERIES = 20
COLD_RUNS, WARM_QUERIES = 7, 200
ROWS_AT_ONCE = 10_000
# In each step of growing, so many of the rows that are there are asked for, and the newest.
GROWTH_QUERIES = 300

Rows = NDArray[np.int64]
Float16 = NDArray[np.float16]
Float32 = NDArray[np.float32]
Search = Callable[[Float32], Rows]


class Part(StrEnum):
    large = "large"
    peers = "peers"
    growth = "growth"


def main(
    parts: Annotated[list[Part] | None, typer.Option("--part", help="Only this; may be repeated.")] = None,
    rows: Annotated[int, typer.Option(help="Vectors of the large store.")] = 1_000_000,
    peer_rows: Annotated[int, typer.Option(help="Vectors to compare with the indexes of others on.")] = 200_000,
    growth_rows: Annotated[int, typer.Option(help="Vectors to grow to, 10,000 at a time.")] = 500_000,
    dim: Annotated[int, typer.Option()] = 2048,
    vectors: Annotated[
        Path | None, typer.Option(help="Compare with others on a store's vectors.f16, of --dim numbers, instead.")
    ] = None,
    target: Annotated[float, typer.Option(help="The recall of ten neighbours that all have to reach.")] = 0.99,
    n_rounds: Annotated[int, typer.Option("--rounds")] = 3,
    folder: Annotated[
        Path | None, typer.Option(help="Keep all that is made here, and use what is there: building takes longest.")
    ] = None,
) -> None:
    """Print recall, bytes, memory and the median time of single queries, side by side.

    large: a store of --rows, FAISS flat float32 on the same vectors (4 bytes a number in memory), and the command.
    peers: hnswlib, usearch (if they are installed), FAISS HNSW and IVF-PQ. growth: the work of growing by small steps.
    """
    describe_machine("numpy", "faiss-gpu")
    with ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place.mkdir(parents=True, exist_ok=True)
        if vectors is not None:
            _compare(
                place / "real", VectorFile(vectors, dim).read(vectors.stat().st_size // (2 * dim)), target, n_rounds
            )
            return
        for part in parts or Part:
            print(f"\n{part}")
            if part == Part.large:
                _large(place / f"{rows}x{dim}", rows, dim, n_rounds)
            elif part == Part.peers:
                _compare(
                    place / f"{peer_rows}x{dim}", _made(place / f"{peer_rows}x{dim}", peer_rows, dim), target, n_rounds
                )
            else:
                _grow(stack, _made(place / f"{growth_rows}x{dim}", growth_rows, dim))


# A large store


def _large(folder: Path, rows: int, dim: int, n_rounds: int) -> None:
    if not folder.exists():
        make_store(folder, resnet_like(rows, dim, seed=0))
    seconds, peak = in_a_process_of_its_own(_index_store, folder)
    stored = VectorFile(folder / "vectors.f16", dim).read(rows)
    index = compressed.open_compressed(folder / "index.faiss", stored)
    print(f"vecstore: built in {seconds:.0f} s, {peak:.0f} MiB at the peak, files read by map included")
    _describe(f"vecstore {index.kind}", index)
    asked = _Asked.of(stored)
    contestants: dict[str, Search] = {
        "vecstore": lambda queries: index.search(queries, K + 1).rows,
        SLOW: _flat(stored),
    }
    _print_times(contestants, asked, n_rounds)
    del contestants  # the float32 rows, so that the command finds the memory that it would
    with Store.open(folder) as store:
        warm = [_seconds(lambda row: store.similar(row), int(row)) for row in asked.rows[:WARM_QUERIES]]
    command = [sys.executable, "-c", "from cli.app import main; main()", "similar", "@7", "--store", str(folder)]
    run = partial(subprocess.run, check=True, stdout=subprocess.DEVNULL)
    cold = [_seconds(run, command) for _ in range(COLD_RUNS)]
    print(
        f"vecstore similar @7, the process included: median {statistics.median(cold):.2f} s ({min(cold):.2f} to "
        f"{max(cold):.2f}); Store.similar: median {statistics.median(warm) * 1000:.1f} ms, at most "
        f"{max(warm) * 1000:.1f}"
    )


def _index_store(folder: Path) -> None:
    with Store.open(folder, device="cpu") as store:
        store.index(rebuild=True)


def _flat(stored: Float16) -> Search:
    """Return FAISS's flat search of the rows in float32, a part of them for each thread: it divides no single query."""
    threads = faiss.omp_get_max_threads()
    index = faiss.IndexShards(stored.shape[1], True, True)
    parts = [faiss.IndexFlatIP(stored.shape[1]) for _ in range(threads)]
    for part, rows in zip(parts, np.array_split(np.arange(len(stored)), threads), strict=True):
        for first in range(0, len(rows), ROWS_AT_ONCE):
            part.add(as_float32(stored, rows[first : first + ROWS_AT_ONCE]))
        index.add_shard(part)
    index.referenced_objects = parts
    return lambda queries: np.asarray(index.search(queries, K + 1)[1])


# The indexes of others


@dataclass(frozen=True)
class Peer:
    """build, save and load give and take what `search` searches; its effort is what is turned up to find more."""

    build: Callable[[Float32], Any]
    save: Callable[[Any, str], object]
    load: Callable[[str, int], Any]
    search: Callable[[Any, Float32, int], Rows]
    efforts: tuple[int, ...] = (10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640, 896, 1280, 1792, 2560)


def _peers() -> dict[str, Peer]:
    """Return the installed ones, built with their defaults except where stated."""
    found = {"FAISS HNSW32": _faiss_hnsw(), "FAISS PCAR256,IVF,PQ64,RFlat": _faiss_ivf_pq()}
    for name, make in {"hnswlib (M 16, ef_construction 200)": _hnswlib, "usearch (f16)": _usearch}.items():
        try:
            found[name] = make()
        except ImportError:
            print(f"{name} is not installed: left out")
    return found


def _faiss_hnsw() -> Peer:
    def build(whole: Float32) -> Any:
        index = faiss.IndexHNSWFlat(whole.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
        index.add(whole)
        return index

    def search(index: Any, queries: Float32, effort: int) -> Rows:
        return np.asarray(index.search(queries, K + 1, params=faiss.SearchParametersHNSW(efSearch=effort))[1])

    return Peer(build, faiss.write_index, lambda path, _: faiss.read_index(path), search)


def _faiss_ivf_pq() -> Peer:
    def build(whole: Float32) -> Any:
        lists = compressed.number_of_lists(len(whole))
        index = faiss.index_factory(whole.shape[1], f"PCAR256,IVF{lists},PQ64,RFlat", faiss.METRIC_INNER_PRODUCT)
        index.train(whole[:: max(len(whole) // (lists * compressed.ROWS_A_LIST_TO_TRAIN), 1)])
        index.add(whole)
        return index

    def search(index: Any, queries: Float32, effort: int) -> Rows:
        inner = faiss.SearchParametersIVF(nprobe=effort)
        outer = faiss.SearchParametersPreTransform(index_params=inner)
        refined = faiss.IndexRefineSearchParameters(k_factor=10, base_index_params=outer)
        return np.asarray(index.search(queries, K + 1, params=refined)[1])

    efforts = (1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 128, 256)
    return Peer(build, faiss.write_index, lambda path, _: faiss.read_index(path), search, efforts)


def _hnswlib() -> Peer:
    import hnswlib

    def build(whole: Float32) -> Any:
        index = hnswlib.Index(space="ip", dim=whole.shape[1])
        index.init_index(len(whole), M=16, ef_construction=200, random_seed=1)
        index.add_items(whole)
        return index

    def load(path: str, dim: int) -> Any:
        index = hnswlib.Index(space="ip", dim=dim)
        index.load_index(path)
        return index

    def search(index: Any, queries: Float32, effort: int) -> Rows:
        index.set_ef(max(effort, K + 1))
        return np.asarray(index.knn_query(queries, K + 1, num_threads=1)[0], np.int64)

    return Peer(build, lambda index, path: index.save_index(path), load, search)


def _usearch() -> Peer:
    from usearch.index import Index

    def build(whole: Float32) -> Any:
        index = Index(ndim=whole.shape[1], metric="ip", dtype="f16")
        index.add(np.arange(len(whole)), whole)
        return index

    def search(index: Any, queries: Float32, effort: int) -> Rows:
        index.expansion_search = effort
        return np.asarray(index.search(queries, K + 1, threads=1).keys, np.int64).reshape(len(queries), -1)

    return Peer(build, lambda index, path: index.save(path), lambda path, _: Index.restore(path), search)


def _compare(folder: Path, stored: Float16, target: float, n_rounds: int) -> None:
    folder.mkdir(exist_ok=True)
    print(f"{len(stored)} x {stored.shape[1]}; queries: {N_QUERIES} of the vectors themselves")
    asked = _Asked.of(stored)
    contestants: dict[str, Search] = {}
    for kind in KINDS:
        path = folder / f"{kind}.faiss"
        began = time.perf_counter()
        with replacing(path, "w+b") as file:
            compressed.build(file, stored, kind, target, choose_device("cpu"))
        print(f"vecstore {kind}: built in {time.perf_counter() - began:.0f} s")
        index = compressed.open_compressed(path, stored)
        _describe(f"vecstore {kind}", index)
        contestants[f"vecstore {kind}"] = lambda queries, index=index: index.search(queries, K + 1).rows
    exact = ExactIndex(stored)
    contestants["vecstore exact"] = lambda queries: exact.search(queries, K + 1).rows
    for name, peer in _peers().items():
        index = _built(folder / f"{name}.peer", name, peer, stored)
        effort, reached = _effort(partial(peer.search, index), peer.efforts, asked, target)
        bytes_a_vector = (folder / f"{name}.peer").stat().st_size / len(stored)
        missed = "" if reached >= target else f": it does not reach {target}"
        print(f"{name}: {bytes_a_vector:.0f} bytes a vector, effort {effort}, recall {reached:.4f}{missed}", flush=True)
        contestants[name] = partial(_searched, peer, index, effort)
    contestants[SLOW] = _flat(stored)
    _print_times(contestants, asked, n_rounds)


def _built(path: Path, name: str, peer: Peer, stored: Float16) -> Any:
    if not path.exists():
        whole = as_float32(stored, np.arange(len(stored)))
        began = time.perf_counter()
        peer.save(peer.build(whole), str(path))
        print(f"{name}: built in {time.perf_counter() - began:.0f} s")
    return peer.load(str(path), stored.shape[1])


def _searched(peer: Peer, index: Any, effort: int, queries: Float32) -> Rows:
    return peer.search(index, queries, effort)


def _effort(
    search: Callable[[Float32, int], Rows], efforts: tuple[int, ...], asked: "_Asked", target: float
) -> tuple[int, float]:
    """Return the least effort that reaches the target, else the greatest, and what it reaches."""
    for effort in efforts:
        reached = asked.recall(partial(search, effort=effort))
        if reached >= target:
            break
    return effort, reached


# Growing


def _grow(stack: ExitStack, stored: Float16) -> None:
    """Grow a store's index as adds do, and compare its work with that of one build at the end."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    path, settings, device = folder / "index.faiss", IndexSettings(), choose_device("cpu")
    file = VectorFile(folder / "vectors.f16", stored.shape[1])
    work, recalls, own = 0.0, [], 0
    random = np.random.default_rng(3)
    for start in range(0, len(stored), ROWS_AT_ONCE):
        file.append(np.asarray(stored[start : start + ROWS_AT_ONCE]), start)
        n_rows = min(start + ROWS_AT_ONCE, len(stored))
        began = time.perf_counter()
        indexer = BackgroundIndexing(path, file, settings, device, partial(np.ones, n_rows, np.bool_))
        indexer.committed(n_rows)
        indexer.finish()
        work += time.perf_counter() - began
        there = file.read(n_rows)
        index = index_lifecycle.open_index(path, there)
        sample = np.append(np.sort(random.choice(n_rows - 1, GROWTH_QUERIES, replace=False)), n_rows - 1)
        asked = _Asked.of(there, sample)
        recalls.append(asked.recall(lambda queries, index=index: index.search(queries, K + 1).rows))
        own += bool(index.search(asked.queries[-1:], 1).rows[0, 0] == n_rows - 1)
        if not n_rows % 50_000:
            print(f"{n_rows} rows: {work:.1f} s of work so far, {index.kind}, recall {recalls[-1]:.4f}", flush=True)
    began = time.perf_counter()
    with replacing(folder / "at-once.faiss", "w+b") as whole:
        compressed.build(whole, stored, KINDS[0], settings.target_recall, device)
    at_once = time.perf_counter() - began
    print(
        f"growing to {len(stored)}: {work:.1f} s of work, {work / at_once:.2f} of one build at the end; recall after "
        f"each of {len(recalls)} steps, of {GROWTH_QUERIES + 1} queries: least {min(recalls):.4f} "
        f"(at {ROWS_AT_ONCE * (1 + int(np.argmin(recalls)))} rows), mean {np.mean(recalls):.4f}; "
        f"{own} of {len(recalls)} newest images found themselves first"
    )


# What the above are made of


@dataclass(frozen=True)
class _Asked:
    """Stored rows to ask for. truth: for each, its K nearest others."""

    rows: Rows
    queries: Float32
    truth: list[set[int]]

    @classmethod
    def of(cls, stored: Float16, rows: Rows | None = None) -> "_Asked":
        if rows is None:
            n = min(N_QUERIES, len(stored))
            rows = np.sort(np.random.default_rng(7).choice(len(stored), n, replace=False))
        queries = as_float32(stored, rows)
        return cls(rows, queries, _others(_exact(stored, queries), rows))

    def recall(self, search: Search) -> float:
        """Return the part of the true neighbours that a search finds, one query at a time."""
        found = _others(np.concatenate([search(query[None]) for query in self.queries]), self.rows)
        return float(np.mean([len(f & t) / len(t) for f, t in zip(found, self.truth, strict=True)]))


def _others(found: Rows, own: Rows) -> list[set[int]]:
    return [set(row[row != itself][:K].tolist()) for row, itself in zip(found, own, strict=True)]


def _exact(stored: Float16, queries: Float32) -> Rows:
    """Return each query's K + 1 nearest rows, by a product of matrices in blocks."""
    scores = np.empty((len(queries), 0), np.float32)
    rows = np.empty((len(queries), 0), np.int64)
    for start in range(0, len(stored), ROWS_AT_ONCE):
        block = np.arange(start, min(start + ROWS_AT_ONCE, len(stored)))
        scores = np.hstack([scores, queries @ as_float32(stored, block).T])
        rows = np.hstack([rows, np.broadcast_to(block, (len(queries), len(block)))])
        top = np.argsort(-scores, axis=1)[:, : K + 1]
        scores, rows = np.take_along_axis(scores, top, 1), np.take_along_axis(rows, top, 1)
    return rows


def _print_times(contestants: dict[str, Search], asked: _Asked, n_rounds: int) -> None:
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(n_rounds):
        for name, search in contestants.items():
            queries = asked.queries[: SLOW_QUERIES if name == SLOW else N_QUERIES]
            times[name].append(statistics.median(_seconds(search, query[None]) for query in queries))
            print(f"round {number + 1}  {name:40} {times[name][-1] * 1000:9.3f} ms a query", flush=True)
    ours = next(iter(times))
    for name, search in contestants.items():
        ratios = [theirs / mine for mine, theirs in zip(times[ours], times[name], strict=True)]
        recall = "" if name == SLOW else f"recall@{K} {asked.recall(search):.4f}, "
        print(
            f"{name:40} {recall}{statistics.median(ratios):.2f} of the time of {ours} ({min(ratios):.2f} to "
            f"{max(ratios):.2f})"
        )


def _describe(name: str, index: compressed.CompressedIndex) -> None:
    header = index.header
    print(
        f"{name}: {index.bytes / header.rows:.1f} bytes a vector, {header.lists} lists, {header.probes} looked "
        f"through, {header.candidates} candidates, recall measured at the build {header.recall:.4f}",
        flush=True,
    )


def _made(folder: Path, rows: int, dim: int) -> Float16:
    folder.mkdir(exist_ok=True)
    file = VectorFile(folder / "vectors.f16", dim)
    if not file.path.exists():
        with open(file.path, "wb") as stream:
            for block in resnet_like(rows, dim, seed=0):
                stream.write(quantize_unit_rows(block).tobytes())
    return file.read(rows)


def _seconds(work: Callable[[Any], object], argument: Any) -> float:
    started = time.perf_counter()
    work(argument)
    return time.perf_counter() - started
