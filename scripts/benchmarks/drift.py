"""Which drift calls for a new clustering: images of kinds that are known, against those of a kind that is new."""

import statistics
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from vecstore import Store


def main(
    data: Annotated[Path, typer.Argument(help="A folder of labelled collections: a folder a label in each.")],
    collections: Annotated[
        list[str] | None, typer.Option("--collection", help="Only this one; may be repeated.")
    ] = None,
    embedder: Annotated[str, typer.Option()] = "efficientnet-lite0",
    rounds: Annotated[int, typer.Option(help="Random halves to cluster.")] = 5,
    k: Annotated[int | None, typer.Option("-k", help="Clusters.", show_default="the number of labels")] = None,
) -> None:
    """Print the drift when a fifth of the images is added that was drawn from all, and when a whole label is added."""
    for name in collections or ["flowers200", "trashnet2521"]:
        with tempfile.TemporaryDirectory() as scratch:
            with Store.open(Path(scratch) / "all", embedder=embedder, create=True) as store:
                store.add(data / name)
                dim, paths = store.info().dim, [path for _, path in store.session.catalog.paths.all()]
            vectors = np.fromfile(Path(scratch) / "all" / "vectors.f16", "<f2").reshape(-1, dim).astype(np.float32)
            labels = np.array([Path(path.decode()).parent.name for path in paths])
            n_clusters = k or len(np.unique(labels))
            random = np.random.default_rng(0)
            same = [
                _drift(Path(scratch) / f"same{n}", vectors, random.random(len(vectors)) < 0.2, n_clusters)
                for n in range(rounds)
            ]
            new = {
                label: _drift(Path(scratch) / f"new-{label}", vectors, labels == label, n_clusters - (k is None))
                for label in np.unique(labels)
            }
        print(f"{name}, {embedder}, k {n_clusters}")
        print(f"a fifth drawn from all: {min(same):.3f} to {max(same):.3f}, median {statistics.median(same):.3f}")
        print("a label that is new: " + ", ".join(f"{label} {drift:.3f}" for label, drift in new.items()), flush=True)


def _drift(folder: Path, vectors: np.ndarray, later: np.ndarray, k: int) -> float:
    """Cluster a store of the vectors that are not `later`, add those, and return the drift."""
    folder.mkdir()
    with Store.open(folder / "store", create=True) as store:
        _import(store, folder, vectors[~later], "first")
        store.cluster(k)
        _import(store, folder, vectors[later], "later")
        return store.info().drift or 0.0


def _import(store: Store, folder: Path, vectors: np.ndarray, prefix: str) -> None:
    np.save(folder / "vectors.npy", vectors)
    (folder / "paths.txt").write_text("".join(f"/made/up/{prefix}-{i}.jpg\n" for i in range(len(vectors))))
    store.import_vectors(folder / "vectors.npy", folder / "paths.txt")
