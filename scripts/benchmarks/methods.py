"""`scripts/bench methods`: ways to cluster, on labelled collections and offline embedders, and how they grow."""

import statistics
import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from sklearn.metrics import adjusted_rand_score

from scripts.benchmarks.common import describe_machine
from vecstore.clustering.evaluation import compare, folder_label
from vecstore.errors import BadInput
from vecstore.results import Evaluation
from vecstore.store import Store

EMBEDDERS = ("efficientnet-lite0", "efficientnet-lite2", "efficientnet-lite0+efficientnet-lite2")
COLLECTIONS = ("catsdogs60", "flowers200", "trashnet2521")
RUNS = 10
PART_ADDED = 0.2
# What is asked for beside k, which the methods take that have one.
WAYS: dict[str, dict[str, Any]] = {
    "k-means": {},
    "k-means --whiten": {"whiten": True},
    "k-means --pca 32": {"pca": 32},
    "k-means --graph": {"graph": True},
    "agglomerative": {"method": "agglomerative"},
    "agglomerative --graph": {"method": "agglomerative", "graph": True},
    "leiden": {"method": "leiden"},
    "hdbscan": {"method": "hdbscan"},
    "meanshift": {"method": "meanshift"},
}
# Of growth alone: its levels are the labels, and four times as many clusters.
TREE = "tree"
# Their seed changes nothing but the directions that they work in.
HARDLY_RANDOM = ("agglomerative", "agglomerative --graph", "hdbscan", "meanshift")


def main(
    data: Annotated[Path, typer.Argument(help="A folder of labelled collections: a folder a label in each.")],
    collections: Annotated[
        list[str] | None, typer.Option("--collection", help="Only this one; may be repeated.")
    ] = None,
    embedders: Annotated[list[str] | None, typer.Option("--embedder", help="Only this one; may be repeated.")] = None,
    seeds: Annotated[int, typer.Option(help="How many seeds to take the median of.")] = 3,
    ways: Annotated[list[str] | None, typer.Option("--way", help="Only this one; may be repeated.")] = None,
    growth: Annotated[
        bool, typer.Option("--growth", help="Add a fifth of the images to the clusters of the others.")
    ] = False,
) -> None:
    """Print how well each way agrees with the labels, or with a fresh run after growing by a fifth."""
    describe_machine("numpy", "faiss-gpu", "scikit-learn", "igraph")
    heading = (
        "ARI with a fresh run | clusters | ids kept | noise | of it at home"
        if growth
        else "accuracy | ARI | NMI | clusters | noise"
    )
    print(f"| pictures | embedder | | {heading} |\n|---|---|---|---|---|---|---|---|")
    for name in collections or COLLECTIONS:
        for embedder in embedders or EMBEDDERS:
            if growth:
                _print_growth(data / name, embedder, seeds, ways or [*WAYS, TREE])
            else:
                _print_rows(data / name, embedder, seeds, ways or [*WAYS])


def _print_rows(pictures: Path, embedder: str, seeds: int, ways: list[str]) -> None:
    k = _labels_of(pictures)
    with (
        tempfile.TemporaryDirectory() as scratch,
        Store.open(Path(scratch) / "store", embedder=embedder, create=True) as store,
    ):
        store.add(pictures)
        for way in ways:
            found, noise = [], []
            for seed in range(1 if way in HARDLY_RANDOM else seeds):
                if not _cluster(store, way, k, seed):
                    break
                found.append(store.evaluate())
                noise.append(_noise(store))
            _print_found(f"{pictures.name}, k={k}", embedder, way, found, noise)
        if "k-means" in ways:
            fitted = _by_sklearn(store, Path(scratch) / "store" / "vectors.f16", k, seeds)
            _print_found(f"{pictures.name}, k={k}", embedder, f"scikit-learn, {RUNS} runs", fitted, [0])


def _by_sklearn(store: Store, vectors: Path, k: int, seeds: int) -> list[Evaluation]:
    from sklearn.cluster import KMeans

    rows = np.fromfile(vectors, "<f2").reshape(-1, store.info().dim).astype(np.float32)
    images = list(store.session.catalog.paths.all())
    labels = {row: folder_label(path) for row, path in images}
    fitted = [KMeans(k, n_init=RUNS, random_state=seed).fit(rows).labels_.tolist() for seed in range(seeds)]
    return [compare(images, labels, dict(enumerate(found)), None, 10) for found in fitted]


def _print_found(pictures: str, embedder: str, way: str, found: list[Evaluation], noise: list[int]) -> None:
    if not found:
        print(f"| {pictures} | {embedder} | {way} | no cluster | | | | |", flush=True)
        return
    accuracy, ari, nmi = (statistics.median(getattr(one, name) for one in found) for name in ("accuracy", "ari", "nmi"))
    least, k = min(one.accuracy for one in found), statistics.median(one.k for one in found)
    n_noise = statistics.median(noise)
    figures = f"{accuracy:.3f} (least {least:.3f}) | {ari:.3f} | {nmi:.3f} | {k - (n_noise > 0):g} | {n_noise:g}"
    print(f"| {pictures} | {embedder} | {way} | {figures} |", flush=True)


def _print_growth(pictures: Path, embedder: str, seeds: int, ways: list[str]) -> None:
    """Cluster four fifths of the images, drawn at random, add the others, and cluster all of them afresh."""
    k = _labels_of(pictures)
    files = sorted(path for path in pictures.rglob("*") if path.is_file())
    with tempfile.TemporaryDirectory() as scratch:
        for way in ways:
            agreed, kept, sizes, at_home = [], [], [], []
            for seed in range(seeds):
                later = np.random.default_rng(seed).random(len(files)) < PART_ADDED
                folder = Path(scratch) / f"{seed}"
                with Store.open(folder, embedder=embedder, create=True) as store:
                    if not (folder / "catalog.sqlite").exists() or not store.info().images:
                        store.add(*(path for path, is_later in zip(files, later, strict=True) if not is_later))
                    else:  # the way before has added all
                        store.remove(*(path for path, is_later in zip(files, later, strict=True) if is_later))
                    if not _cluster(store, way, k, seed):
                        break
                    store.add(*(path for path, is_later in zip(files, later, strict=True) if is_later))
                    grown, noise_before = _clusters_of(store), _noise_rows(store)
                    if not _cluster(store, way, k, seed):
                        break
                    fresh = _clusters_of(store)
                    rows = sorted(grown.keys() & fresh.keys())
                    agreed.append(adjusted_rand_score([grown[row] for row in rows], [fresh[row] for row in rows]))
                    run = store.clusterings()[-1]
                    kept.append((run.kept, run.k))
                    sizes.append(len(noise_before))
                    at_home.append(len(noise_before - _noise_rows(store)))
            if not agreed:
                print(f"| {pictures.name} | {embedder} | {way} | no cluster | | | | |", flush=True)
                continue
            ids = f"{statistics.median(of for _, of in kept):g} | {statistics.median(one for one, _ in kept):g}"
            noise = f"{statistics.median(sizes):g} | {statistics.median(at_home):g}"
            print(
                f"| {pictures.name} | {embedder} | {way} | {statistics.median(agreed):.3f} | {ids} | {noise} |",
                flush=True,
            )


def _cluster(store: Store, way: str, k: int, seed: int) -> bool:
    """Cluster, and say whether there were clusters to be found."""
    asked = {"tree": (k, 4 * k)} if way == TREE else WAYS[way]
    takes_k = way != TREE and asked.get("method", "kmeans") in ("kmeans", "agglomerative")
    try:
        store.cluster(k if takes_k else None, seed=seed, **asked)
    except BadInput as error:
        if "finds no cluster" not in str(error):
            raise
        return False
    return True


def _labels_of(pictures: Path) -> int:
    return sum(folder.is_dir() for folder in pictures.iterdir())


def _clusters_of(store: Store) -> dict[int, int]:
    return {member.id: one.cluster for one in store.clusters() for member in store.members(one.cluster)}


def _noise_rows(store: Store) -> set[int]:
    return {member.id for one in store.clusters() if one.noise for member in store.members(one.cluster)}


def _noise(store: Store) -> int:
    return len(_noise_rows(store))
