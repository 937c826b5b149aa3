"""What runs on CUDA agrees with the CPU, within a stated tolerance. Skipped where there is no GPU."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from indexes import kmeans
from indexes.ann import ExactIndex
from indexes.devices import Device, count_gpus
from indexes.gpu import CagraIndex, GpuIndex, has_cuvs
from indexes.index_metadata import KINDS
from indexes.kmeans import KMeansOptions
from tests.indexes import index_files
from tests.weights import open_loaded
from vecstore.embedders.embedder import Embedder, EmbedderOptions, unit_rows
from vecstore.embedders.registry import open_embedder
from vecstore.store import Store

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(count_gpus() == 0, reason="there is no CUDA device")]

CPU, CUDA = Device("cpu"), Device("cuda", count_gpus())
HALF_PRECISION = 1e-2


def noisy(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
    return Image.fromarray(pixels).resize((320, 240), Image.Resampling.BICUBIC)


def planted(n: int, dim: int, k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return n unit vectors in k tight clusters, and which cluster each is in."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, k, n)
    centres = unit_rows(rng.standard_normal((k, dim)).astype(np.float32))
    noise = rng.standard_normal((n, dim)).astype(np.float32) * np.float32(0.2 / np.sqrt(dim))
    return unit_rows(centres[labels] + noise), labels


@pytest.mark.parametrize("name", ["resnet50", "efficientnet-lite0"])
def test_vectors_on_cuda_agree_with_the_cpu_s(name: str, request: pytest.FixtureRequest) -> None:
    cpu: Embedder = request.getfixturevalue(name.removesuffix("-lite0"))
    weights: Path | None = request.getfixturevalue("resnet50_weights") if name == "resnet50" else None
    cuda = open_loaded(name, weights, device="cuda")
    prepared = [cpu.prepare(noisy(seed)) for seed in range(5)]
    expected, found = cpu.embed(prepared), cuda.embed(prepared)
    assert (found.shape, found.dtype) == (expected.shape, np.float32)
    error = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert error.max() <= HALF_PRECISION


def test_both_devices_record_the_same_spec() -> None:
    on = {
        device: open_embedder("efficientnet-lite0", EmbedderOptions(device=device)).spec for device in ("cpu", "cuda")
    }
    assert on["cpu"] == on["cuda"]


def test_k_means_on_gpus_is_as_good_as_on_the_cpu() -> None:
    rows, _ = planted(20_000, 256, k=20)
    options = KMeansOptions(seed=0, restarts=10)
    cpu = kmeans.train(rows, 20, options, CPU)
    cuda = kmeans.train(rows, 20, options, CUDA)
    assert cuda.objective == pytest.approx(cpu.objective, rel=0.01)


def test_assigning_on_gpus_gives_the_cpu_s_labels() -> None:
    rows, labels = planted(20_000, 256, k=20)
    centroids = np.stack([rows[labels == label].mean(axis=0) for label in range(20)])
    cpu, cuda = kmeans.assign(rows, centroids, CPU), kmeans.assign(rows, centroids, CUDA)
    np.testing.assert_array_equal(cuda.labels, cpu.labels)
    np.testing.assert_allclose(cuda.distances, cpu.distances, atol=1e-3)


def test_store_clusters_on_the_gpu_and_says_so(tmp_path: Path, pictures: Path) -> None:
    with Store.open(tmp_path / "store", embedder="tiny", device="cuda", create=True) as store:
        store.add(pictures)
        assert store.cluster(3, restarts=3).device == f"cuda x{count_gpus()}"


def test_search_on_gpus_agrees_with_the_cpu_s() -> None:
    rows, _ = planted(20_000, 256, k=20)
    vectors, allowed = rows.astype(np.float16), np.arange(20_000) % 50 != 0
    cpu, gpu = ExactIndex(vectors), GpuIndex(vectors, CUDA)
    for mask in (None, allowed):
        expected, found = cpu.search(rows[:500], 10, mask), gpu.search(rows[:500], 10, mask)
        np.testing.assert_array_equal(found.rows, expected.rows)
        np.testing.assert_array_equal(found.scores, expected.scores)


@pytest.mark.skipif(not has_cuvs(), reason="this FAISS is built without cuVS")
def test_a_graph_on_a_gpu_reaches_its_recall() -> None:
    rows, _ = planted(50_000, 256, k=500)
    vectors = rows.astype(np.float16)
    index = CagraIndex(vectors, 0.99)
    found, expected = index.search(rows[:500], 10), ExactIndex(vectors).search(rows[:500], 10)
    assert index.recall >= 0.99
    assert np.mean([len(np.intersect1d(f, e)) for f, e in zip(found.rows, expected.rows, strict=True)]) >= 9.8


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_made_on_gpus_reaches_its_recall(kind: str, tmp_path: Path) -> None:
    rows, _ = planted(50_000, 256, k=500)
    header = index_files.build(tmp_path / "index.faiss", rows.astype(np.float16), kind, 0.99, CUDA)
    assert header.recall >= 0.99
