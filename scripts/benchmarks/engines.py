"""What an engine beyond one machine costs: the same vectors added and asked for, here, in milvus-lite, on a server."""

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from scripts.benchmarks.common import describe_machine, print_ratios, rate_of, resnet_like, rounds
from tests.servers import MilvusServer
from vecstore.store import Store


def main(
    rows: Annotated[int, typer.Option(help="Vectors to add.")] = 4_000,
    dim: Annotated[int, typer.Option()] = 2048,
    queries: Annotated[int, typer.Option(help="Stored images to ask for, one at a time.")] = 10,
    n_rounds: Annotated[int, typer.Option("--rounds")] = 3,
) -> None:
    """Print, for each engine, vectors imported a second, images found a second (ten neighbours), and edges' images.

    Adding has no network in it: the vectors are ready-made, so what is left is committing and telling the engine.
    """
    describe_machine("faiss-gpu", "pymilvus", "milvus-lite", "milvus")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        np.save(folder / "vectors.npy", np.concatenate(list(resnet_like(rows, dim, seed=0))))
        (folder / "paths.txt").write_text("\n".join(f"/pictures/{row}.jpg" for row in range(rows)))
        server = MilvusServer(folder / "server")
        server.start()
        try:
            _compare(folder, server.port, queries, n_rounds)
        finally:
            server.stop()


def _compare(folder: Path, port: int, queries: int, n_rounds: int) -> None:
    places = {
        "embedded": f"{folder}/NAME",
        "milvus-lite": f"milvus+lite://{folder}/NAME.db",
        "milvus 2.3.5": f"milvus://127.0.0.1:{port}/NAME?companion={folder}/NAME-server",
    }
    made: dict[str, str] = {}  # the last of each
    numbers = itertools.count()

    def adding(name: str) -> Callable[[], float]:
        def add() -> float:
            made[name] = places[name].replace("NAME", f"store{next(numbers)}")
            with Store.open(made[name], create=True) as store:
                return rate_of(
                    _n_rows(folder), lambda: store.import_vectors(folder / "vectors.npy", folder / "paths.txt")
                )

        return add

    print("\nadding: vectors a second")
    print_ratios(rounds({name: adding(name) for name in places}, n_rounds), "embedded")
    stores = {name: Store.open(place) for name, place in made.items()}
    ids = np.linspace(0, _n_rows(folder) - 1, queries).astype(int).tolist()
    expected = [stores["embedded"].similar(row) for row in ids]
    for name, store in stores.items():
        print(f"{name}: the same neighbours and scores as embedded: {[store.similar(row) for row in ids] == expected}")

    def asking(store: Store) -> Callable[[], float]:
        return lambda: rate_of(len(ids), lambda: [store.similar(row) for row in ids])

    def graph(store: Store) -> Callable[[], float]:
        edges = store.neighbours(k=10)
        return lambda: rate_of(256, lambda: [next(edges) for _ in range(2_560)])

    print("\nsimilar, one stored image at a time: images a second")
    print_ratios(rounds({name: asking(store) for name, store in stores.items()}, n_rounds), "embedded")
    print("\nsimilar --all, blocks of 64: images a second")
    print_ratios(rounds({name: graph(store) for name, store in stores.items()}, n_rounds), "embedded")
    for store in stores.values():
        store.close()


def _n_rows(folder: Path) -> int:
    return int(np.load(folder / "vectors.npy", mmap_mode="r").shape[0])
