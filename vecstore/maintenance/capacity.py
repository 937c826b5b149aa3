"""What a collection of a given size takes: bytes, memory and hours, from rates that are measured here and now.

Nothing in a plan is a guess about this machine: the embedder is run, k-means assigns, a small catalog is filled. What
it cannot measure (other machines, other engines) it derives from these, by arithmetic that `Plan` states.
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np

from indexes.devices import Device, choose_device
from indexes.index_metadata import KINDS, index_bytes
from vecstore.embedders.embedder import Embedder, EmbedderOptions, unit_rows
from vecstore.embedders.registry import DEFAULT_EMBEDDER, open_embedder
from vecstore.errors import BadInput
from vecstore.results import Plan, Rates
from vecstore.session import Session
from vecstore.sources.paths import AnyPath
from vecstore.storage.layout import CATALOG
from vecstore.storage.vector_file import ROW_DTYPE

# How long each rate is measured: enough for two digits.
SECONDS = 3.0
CATALOG_IMAGES = 20_000
PHOTO_SIZE = (500, 375)
ASSIGNED_ROWS, ASSIGNED_CENTROIDS = 8_192, 256
# The default iterations of `cluster`, and the rows that each centroid is trained on.
ITERATIONS, TRAINED_ROWS = 25, 256
# Milvus keeps float32, and HNSW's links: M = 16, two lists of 4-byte ids a row (https://github.com/nmslib/hnswlib).
MILVUS_NUMBER_BYTES, MILVUS_LINK_BYTES = 4, 2 * 16 * 4


def measure(embedder: str | None = None, weights: AnyPath | None = None, device: str = "auto") -> tuple[Rates, int]:
    """Return the rates of this machine with an embedder, and the numbers of its vectors; takes some ten seconds.

    Takes what `Store.open` does, and raises what opening the embedder does.
    """
    options = EmbedderOptions(
        Path(os.fsdecode(weights)) if weights is not None else None, device=device, precision="auto"
    )
    opened = open_embedder(embedder or DEFAULT_EMBEDDER, options)
    dim = opened.spec.dim
    return Rates(_embedding_rate(opened), _comparison_rate(dim, choose_device(device)), _catalog_bytes()), dim


def plan(images: int, dim: int, rates: Rates, machines: int = 1, k: int | None = None) -> Plan:
    """Return what `images` of them take with vectors of `dim` numbers, on so many machines like the measured one.

    k: clusters; None: the square root of the images' number, at the most 10,000. Raises BadInput for numbers that
    cannot be.
    """
    k = min(max(round(images**0.5), 1), 10_000) if k is None else k
    if images < 1 or machines < 1 or not 1 <= k <= images:
        raise BadInput(
            f"{images} images on {machines} machines in {k} clusters is not possible; give at least 1 of each, and "
            "no more clusters than images"
        )
    comparisons = images * k + min(images, TRAINED_ROWS * k) * k * ITERATIONS
    return Plan(
        images=images,
        dim=dim,
        machines=machines,
        k=k,
        vector_bytes=images * dim * ROW_DTYPE.itemsize,
        catalog_bytes=round(images * rates.catalog_bytes_per_image),
        index_bytes=index_bytes(KINDS[0], images, dim),
        milvus_memory_bytes=images * (dim * MILVUS_NUMBER_BYTES + MILVUS_LINK_BYTES),
        embed_hours=images / rates.images_per_second / machines / 3600,
        cluster_hours=comparisons / rates.comparisons_per_second / machines / 3600,
        **vars(rates),
    )


def _embedding_rate(embedder: Embedder) -> float:
    """Return pictures a second, decoding included, of the pictures that the demo paints, at the size of a photo."""
    from vecstore.sources import decoding, painted

    embedder.load()
    encoded = [_jpeg(kind, seed) for seed in range(4) for kind in painted.KINDS]
    done, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < SECONDS or not done:
        batch = [encoded[(done + i) % len(encoded)] for i in range(embedder.batch_size)]
        embedder.embed([embedder.prepare(decoding.decode(data, at_least=embedder.input_size)) for data in batch])
        done += len(batch)
    return done / elapsed


def _jpeg(kind: str, seed: int) -> bytes:
    from vecstore.sources import decoding, painted

    return decoding.encoded(painted.paint(kind, seed).resize(PHOTO_SIZE), 90)


def _comparison_rate(dim: int, device: Device) -> float:
    """Return the comparisons of a vector with a centroid a second, by k-means."""
    from indexes import kmeans

    numbers = np.random.default_rng(0)
    rows = unit_rows(numbers.standard_normal((ASSIGNED_ROWS, dim)).astype(np.float32))
    centroids = unit_rows(numbers.standard_normal((ASSIGNED_CENTROIDS, dim)).astype(np.float32))
    done, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < SECONDS or not done:
        kmeans.assign(rows, centroids, device)
        done += len(rows) * len(centroids)
    return done / elapsed


def _catalog_bytes() -> float:
    """Return the bytes that an image takes in the catalog, with a path of 60 bytes and its place in a clustering."""
    from indexes.kmeans import KMeansOptions
    from vecstore.clustering.clusters import ClusterOrder, cluster
    from vecstore.ingest.bulk_import import import_vectors

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        angles = np.linspace(0, 1, CATALOG_IMAGES, dtype=np.float32)
        np.save(folder / "vectors.npy", np.stack([np.cos(angles), np.sin(angles)], axis=1))
        paths = (
            f"/photos/{number // 1000:06}/".ljust(48, "_") + f"{number:08}.jpg" for number in range(CATALOG_IMAGES)
        )
        (folder / "paths.txt").write_text("\n".join(paths))
        options = EmbedderOptions(None, {}, "cpu", True)
        with Session.open(folder / "store", None, options, create=True, wait=None) as session:
            import_vectors(session, folder / "vectors.npy", folder / "paths.txt", None)
            cluster(session, ClusterOrder(2, KMeansOptions(0, 1, 1, False, "random")), None)
        return (folder / "store" / CATALOG).stat().st_size / CATALOG_IMAGES
