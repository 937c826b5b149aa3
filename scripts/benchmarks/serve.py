"""The server against the bare index call, and what 50 clients are answered while pictures are added.

Both run in processes of their own on this machine, over the loopback interface, as `vecstore serve` and `vecstore add`
do it. Vectors are made up (`common.resnet_like`), of a real network's size; what is added is embedded by `hsv`.
"""

import http.client
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch
from urllib.parse import urlsplit

import numpy as np
import typer

from scripts.benchmarks.common import describe_machine, make_store, resnet_like
from vecstore import Store
from vecstore.engines import index_lifecycle
from vecstore.search import query
from vecstore.sources.painted import KINDS, paint_folder
from vecstore.storage.checksums import ChecksumVerifier

K = 10


def main(
    rows: Annotated[int, typer.Option(help="Stored vectors, like ResNet50's.")] = 100_000,
    dim: Annotated[int, typer.Option()] = 2048,
    queries: Annotated[int, typer.Option(help="Of each round.")] = 400,
    clients: Annotated[int, typer.Option(help="At once, beside an add; 0: leave that part out.")] = 50,
    photos: Annotated[int, typer.Option(help="Pictures that the store of the second part begins with.")] = 1_200,
    n_rounds: Annotated[int, typer.Option("--rounds")] = 3,
) -> None:
    """Print p50, p99 and requests/s of similar by id, beside the bare index, and each step of ours; then how an add's
    clients fare."""
    describe_machine("faiss-gpu", "fastapi", "uvicorn", "httptools")
    with tempfile.TemporaryDirectory() as scratch:
        folder = make_store(Path(scratch) / "large", resnet_like(rows, dim, seed=3))
        with Store.open(folder) as store:
            made = store.index()
        print(
            f"{rows:,} x {dim}, index {made.index}, recall {made.recall:.4f}; {K} neighbours, {queries} queries a round"
        )
        _compare(folder, rows, queries, n_rounds)
        if clients:
            _while_adding(Path(scratch), photos, clients)


def _compare(folder: Path, rows: int, n_queries: int, n_rounds: int) -> None:
    ids = np.random.default_rng(5).choice(rows, n_queries, replace=False).tolist()
    with Store.open(folder) as store, _server(folder) as address:
        vectors = store.session.vectors()
        index = index_lifecycle.open_index(folder / "index.faiss", vectors)
        asked: dict[str, Callable[[int], object]] = {
            "index.search, this process": lambda row: index.search(np.asarray(vectors[row], np.float32)[None], K),
            "Store.similar, this process": lambda row: store.similar(row, k=K),
            "GET /api/images/ID/similar": _asking(address),
        }
        for ask in asked.values():  # pages of the map, and the server's threads, are there
            for row in ids:
                ask(row)
        medians: dict[str, list[float]] = {name: [] for name in asked}
        for number in range(n_rounds):
            for name, ask in asked.items():
                took = [_timed(ask, row) for row in ids]
                medians[name].append(statistics.median(took))
                p50, p99, rate = medians[name][-1], np.percentile(took, 99), 1000 * len(took) / sum(took)
                print(f"round {number + 1}  {name:28} p50 {p50:6.2f} ms  p99 {p99:6.2f} ms  {rate:6.0f} /s", flush=True)
        bare, served = medians["index.search, this process"], medians["GET /api/images/ID/similar"]
        more = [theirs - ours for ours, theirs in zip(bare, served, strict=True)]
        print(f"p50 more than the bare index: {statistics.median(more):.2f} ms ({min(more):.2f} to {max(more):.2f})")
        _print_steps(store, ids)


def _print_steps(store: Store, ids: list[int]) -> None:
    """Print what each step of `Store.similar` takes beside the index's own search, a step within another apart."""
    session = store.session
    steps: dict[str, tuple[Any, str]] = {
        "the query's row": (query, "identify_all"),
        "the mapped rows": (type(session), "vectors"),
        "the open index": (type(session.engine), "searcher"),
        "which rows may be found": (query, "allowed_in"),
        "the query's vector": (query, "_query"),
        "the rows' checksums": (ChecksumVerifier, "require"),
        "paths and clusters": (query, "neighbours"),
    }
    took: dict[str, list[float]] = {name: [] for name in steps}

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                took[name].append(1000 * (time.perf_counter() - started))

        return run

    with ExitStack() as stack:
        for name, (place, attribute) in steps.items():
            stack.enter_context(patch.object(place, attribute, timed(name, getattr(place, attribute))))
        for row in ids:
            store.similar(row, k=K)
    for name, times in took.items():
        p50, p99 = statistics.median(times), np.percentile(times, 99)
        print(f"Store.similar, {name:24} p50 {p50:6.3f} ms  p99 {p99:6.3f} ms{'  over 1 ms' if p50 > 1 else ''}")


def _timed(ask: Callable[[int], object], row: int) -> float:
    started = time.perf_counter()
    ask(row)
    return 1000 * (time.perf_counter() - started)


def _while_adding(scratch: Path, n_photos: int, n_clients: int) -> None:
    """Let clients ask while a command adds as many pictures again, and compare each answer with exact search."""
    half = n_photos // len(KINDS)
    pictures, folder = scratch / "pictures", scratch / "small"
    paint_folder(pictures, 0, half)
    _command("add", pictures, "--store", folder, "--embedder", "hsv")
    paint_folder(pictures, half, 2 * half)
    done, problems, took, lock = threading.Event(), [], [], threading.Lock()
    answers: list[tuple[int, list[tuple[int, float]]]] = []

    def ask(seed: int) -> None:
        chosen, ask_server = random.Random(seed), _asking(address)
        while not done.is_set():
            row, started = chosen.randrange(n_photos), time.perf_counter()
            try:
                hits = json.loads(ask_server(row))
                with lock:
                    took.append(1000 * (time.perf_counter() - started))
                    answers.append((row, [(hit["id"], hit["score"]) for hit in hits]))
            except Exception as error:  # every one of them counts
                problems.append(f"{type(error).__name__}: {error}")

    with _server(folder) as address:
        threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(n_clients)]
        for thread in threads:
            thread.start()
        started = time.perf_counter()
        _command("add", pictures, "--store", folder)
        seconds = time.perf_counter() - started
        done.set()
        for thread in threads:
            thread.join()
    print(f"{n_clients} clients while {n_photos} pictures were added to {n_photos}, in {seconds:.1f} s:")
    print(
        f"{len(answers)} answers, p50 {statistics.median(took):.1f} ms, p99 {np.percentile(took, 99):.1f} ms, "
        f"{len(problems)} errors, {_wrong(folder, answers)} wrong answers"
    )
    for problem in problems[:3]:
        print(f"  {problem}")


def _wrong(folder: Path, answers: list[tuple[int, list[tuple[int, float]]]]) -> int:
    """Return how many answers are not those of exact search over some number of rows that there were meanwhile.

    Rows only come: of the rows up to the last one in an answer, it has to be the nearest, and no row of before the add
    may be missing from it.
    """
    with Store.open(folder) as store:
        vectors = np.asarray(store.session.vectors(), np.float64)
    n_before = len(vectors) // 2
    wrong = 0
    for row, hits in answers:
        scores = vectors @ vectors[row]
        ids = [number for number, _ in hits]
        last = hits[-1][1]
        known = np.flatnonzero(scores[:n_before] > last + 1e-5)
        right = all(abs(scores[number] - score) < 1e-5 for number, score in hits) and ids[0] == row
        in_order = all(one >= other for (_, one), (_, other) in zip(hits[1:], hits[2:], strict=False))
        wrong += not (right and in_order and len({*ids}) == K and {*known.tolist()} <= {*ids})
    return wrong


def _asking(address: str) -> Callable[[int], bytes]:
    """Return what asks over one connection that is kept, and made anew once the server has ended an idle one."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)

    def ask(row: int) -> bytes:
        try:
            connection.request("GET", f"/api/images/{row}/similar?k={K}")
            answer = connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            connection.close()
            connection.request("GET", f"/api/images/{row}/similar?k={K}")
            answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise OSError(f"status {answer.status}: {body[:200]!r}")
        return body

    return ask


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    """Yield the address of `vecstore serve` in a process of its own."""
    arguments = ["serve", "--store", str(folder), "--port", "0", "--quiet"]
    process = subprocess.Popen([*_program(), *arguments], stdout=subprocess.PIPE, text=True, env=_environment())
    try:
        if process.stdout is None:
            raise ValueError("the process was started with a pipe")
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _command(*arguments: str | Path) -> None:
    subprocess.run(
        [*_program(), *map(str, arguments), "--quiet"], check=True, stdout=subprocess.DEVNULL, env=_environment()
    )


def _program() -> list[str]:
    return [sys.executable, "-c", "from cli.app import main; main()"]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
