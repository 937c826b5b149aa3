"""What `duplicates` finds and takes: among vectors with planted near-copies, and in folders of altered pictures."""

import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from scripts.benchmarks.common import describe_machine, make_store, peak_memory, resnet_like
from vecstore import Store
from vecstore.defaults import NEAR_SCORE
from vecstore.results import Duplicate

# Rows of the tile by which the cost of comparing every pair in all dimensions is told.
TILE_ROWS = 4_096


def main(
    rows: Annotated[int, typer.Option(help="Vectors, the planted copies included.")] = 200_000,
    dim: Annotated[int, typer.Option()] = 2048,
    planted: Annotated[int, typer.Option(help="Near-copies among them.")] = 5_000,
    min_score: Annotated[float, typer.Option(help="As for `vecstore duplicates`.")] = NEAR_SCORE,
    pictures: Annotated[
        Path | None, typer.Option(help="Instead: a folder with a folder for each picture and its altered copies.")
    ] = None,
    embedder: Annotated[str, typer.Option(help="For --pictures.")] = "efficientnet-lite0",
    each: Annotated[bool, typer.Option("--each", help="With --pictures: also a line for each picture.")] = False,
    folder: Annotated[
        Path | None, typer.Option(help="Keep the vectors here, 4 KB each, and use those that are there.")
    ] = None,
) -> None:
    """Print planted copies found, other groups, seconds and peak memory; or, with --pictures, what is in groups."""
    describe_machine("numpy")
    with tempfile.TemporaryDirectory() as scratch:
        if pictures is not None:
            with Store.open(Path(scratch) / "store", embedder=embedder, create=True) as store:
                store.add(pictures)
                _print_groups(store, pictures, min_score)
                if each:
                    _print_each(store, min_score)
        else:
            _print_found((folder or Path(scratch)) / f"{rows}x{dim}-{planted}", rows, dim, planted, min_score)


def _print_found(path: Path, rows: int, dim: int, planted: int, min_score: float) -> None:
    random = np.random.default_rng(1)
    originals = np.sort(random.choice(rows - planted, planted, replace=False))
    if not path.exists():
        make_store(path, _with_copies(rows, dim, originals, random))
    vectors = np.memmap(path / "vectors.f16", "<f2", mode="r").reshape(-1, dim)
    scores = np.einsum("ij,ij->i", *(vectors[part].astype(np.float32) for part in (originals, slice(-planted, None))))
    print(f"{rows:,} x {dim}, {planted:,} near-copies with scores of {scores.min():.3f} to {scores.max():.3f}")
    with Store.open(path) as store, peak_memory() as peak:
        started = time.perf_counter()
        groups = _grouped(store.duplicates(min_score=min_score))
        seconds = time.perf_counter() - started
    group_of = {member.id: number for number, members in groups.items() for member in members}
    pairs = list(zip(originals.tolist(), range(rows - planted, rows), strict=True))
    found = [pair for pair in pairs if group_of.get(pair[0], -1) == group_of.get(pair[1], -2)]
    planted_in = {group_of[copy] for _, copy in found}
    others = [members for number, members in groups.items() if number not in planted_in]
    print(f"found {len(found):,} of {planted:,} planted ({len(found) / planted:.2%}) in {seconds:.1f} s, ", end="")
    print(f"{seconds / (rows * (rows - 1) / 2) * 1e9:.2f} ns a pair, {peak[0]:.0f} MiB at the peak")
    real = sum(min(member.score for member in members) >= min_score for members in others)
    print(f"{len(others)} groups without a planted pair, of which {real} by real scores of {min_score} or more")
    print(f"for comparison, every pair in all dimensions by blocks (from one block): {_all_dimensions(vectors):.0f} s")


def _with_copies(
    rows: int, dim: int, originals: NDArray[np.int64], random: np.random.Generator
) -> Iterator[NDArray[np.float32]]:
    """Yield resnet_like vectors, and then a copy of each original: noise of length 0.05 to 0.25 added, ReLU, unit."""
    first, copied = 0, []
    for block in resnet_like(rows - len(originals), dim, seed=0):
        copied.append(block[originals[(originals >= first) & (originals < first + len(block))] - first])
        first += len(block)
        yield block
    copies = np.concatenate(copied)
    noise = random.standard_normal(copies.shape, np.float32) / np.float32(np.sqrt(dim))
    copies = np.maximum(copies + random.uniform(0.05, 0.25, (len(copies), 1)).astype(np.float32) * noise, 0)
    yield copies / np.linalg.norm(copies, axis=1, keepdims=True)


def _all_dimensions(vectors: NDArray[np.float16]) -> float:
    """Return the seconds that one thing would take that compares all pairs, each once, by multiplying matrices."""
    tile = vectors[:TILE_ROWS].astype(np.float32)
    started = time.perf_counter()
    np.flatnonzero(tile @ tile.T >= NEAR_SCORE)
    return (time.perf_counter() - started) * (len(vectors) / len(tile)) ** 2 / 2


def _print_groups(store: Store, pictures: Path, min_score: float) -> None:
    info = store.info()
    groups = _grouped(store.duplicates(min_score=min_score)).values()
    near = sum(member.kind == "near" for members in groups for member in members)
    mixed = sum(len({Path(member.path).parent for member in members}) > 1 for members in groups)
    print(f"{pictures.name}: {info.paths} pictures, {info.images} contents, {info.embedder}")
    print(
        f"{len(groups)} groups of {sum(map(len, groups))} pictures, {near} of them altered, {mixed} of several folders"
    )


def _print_each(store: Store, min_score: float) -> None:
    """Print each picture, its score with the first of its folder, and the group it is in."""
    groups = _grouped(store.duplicates(min_score=min_score))
    group_of = {member.path: number for number, members in groups.items() for member in members}
    relations = {member.path: member.relation or "keep" for members in groups.values() for member in members}
    files = sorted(Path(os.fsdecode(path)) for _, path in store.session.catalog.paths.all())
    first_of = {file.parent: file for file in reversed(files)}
    print(
        "\n| picture | score with the first | nearest other of its folder | group | relation |\n|---|---|---|---|---|"
    )
    for file in files:
        # A hit names one path of an image, which may have several.
        scores = {path: hit.score for hit in store.similar(file, k=len(files)) for path in _paths(store, hit.id)}
        others = [score for path, score in scores.items() if path.parent == file.parent and path != file]
        nearest = f"{max(others):.3f}" if others else "-"
        name = f"{file.parent.name}/{file.name}"
        print(
            f"| {name} | {scores[first_of[file.parent]]:.3f} | {nearest} | {group_of.get(str(file), '-')} | "
            f"{relations.get(str(file), '-')} |"
        )


def _paths(store: Store, row: int) -> list[Path]:
    return [Path(os.fsdecode(path)) for path in store.session.catalog.paths.of(row)]


def _grouped(found: Iterator[Duplicate]) -> dict[int, list[Duplicate]]:
    groups = defaultdict(list)
    for member in found:
        groups[member.group].append(member)
    return groups
