"""Exact search over the mapped float16 rows, against the ways one would write it in NumPy and FAISS."""

import tempfile
from pathlib import Path
from typing import Annotated

import faiss
import numpy as np
import typer

from indexes.ann import ExactIndex
from scripts.benchmarks.common import describe_machine, print_ratios, rate_of, rounds


def main(
    rows: Annotated[int, typer.Option(help="Stored vectors.")] = 100_000,
    dim: Annotated[int, typer.Option()] = 2048,
    n_rounds: Annotated[int, typer.Option("--rounds")] = 5,
) -> None:
    """Print queries/s of exact search beside NumPy on converted rows and faiss.knn on converted rows."""
    describe_machine("numpy", "faiss-gpu")
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "vectors.f16"
        with open(path, "wb") as file:
            for _ in range(0, rows, 10_000):
                block = random.standard_normal((10_000, dim), np.float32)
                file.write((block / np.linalg.norm(block, axis=1, keepdims=True)).astype("<f2").tobytes())
        vectors = np.memmap(path, "<f2", mode="r", shape=(rows, dim))
        query = vectors[:1].astype(np.float32)
        print(f"{rows} x {dim}, one query at a time, 10 neighbours")
        contestants = {
            "ExactIndex": lambda: rate_of(1, lambda: ExactIndex(vectors).search(query, 10)),
            "NumPy, converted to float32": lambda: rate_of(1, lambda: _numpy(vectors, query[0])),
            "faiss.knn, converted to float32": lambda: rate_of(1, lambda: _faiss(vectors, query)),
        }
        print_ratios(rounds(contestants, n_rounds), "ExactIndex")


def _numpy(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    blocks = [vectors[i : i + 10_000].astype(np.float32) @ query for i in range(0, len(vectors), 10_000)]
    return np.argsort(-np.concatenate(blocks))[:10]


def _faiss(vectors: np.ndarray, query: np.ndarray) -> None:
    for i in range(0, len(vectors), 10_000):
        faiss.knn(query, vectors[i : i + 10_000].astype(np.float32), 10, metric=faiss.METRIC_INNER_PRODUCT)
