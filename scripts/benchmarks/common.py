"""What the benchmarks share: photos, rounds, and how results are printed."""

import multiprocessing
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vecstore.embedders.embedder import EmbedderSpec
from vecstore.embedders.runtimes import cpu_name
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.painted import KINDS, paint
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.catalog.images import NewImage
from vecstore.storage.vector_file import checksum, quantize_unit_rows

REAL_PHOTOS = Path(__file__).parents[3] / "shared" / "data" / "flowers200"
PHOTO_SIZE = (500, 375)
# Standard deviation of the noise of a sensor, in levels of 256.
GRAIN = 3
# Of `resnet_like`: images of one scene, numbers that a scene is drawn from, rows drawn at a time.
SCENE_IMAGES, LATENT_DIM, DRAWN_ROWS = 50, 100, 10_000


def make_photos(
    folder: Path, n: int, source: Path, size: tuple[int, int] = PHOTO_SIZE, progressive: bool = False
) -> str:
    """Write n different JPEGs of one size, 500 x 375 unless told, into `folder`; return what they were made from.

    The pictures under `source` are used in turn, each time cut a little differently and encoded again; without such a
    folder, painted pictures with noise over them, which takes a decoder about as long as a photo does. Larger ones get
    a sensor's grain: one of 12 megapixels then has 1.7 MB, where an enlarged picture has less and is decoded sooner.
    """
    folder.mkdir(parents=True)
    originals = sorted(source.rglob("*.jpg")) if source.is_dir() else []
    random = np.random.default_rng(0)
    grain = np.rint(random.normal(0, GRAIN, (size[1], size[0], 1))).astype(np.int16) if size > PHOTO_SIZE else None
    for i in range(n):
        image = Image.open(originals[i % len(originals)]) if originals else _noisy(i, random)
        cut = random.uniform(0, 0.1, 4) * np.array([*image.size, *image.size])
        box = (cut[0], cut[1], image.width - cut[2], image.height - cut[3])
        photo = image.convert("RGB").resize(size, Image.Resampling.LANCZOS, box=box)
        if grain is not None:
            levels = np.asarray(photo) + np.roll(grain, i * 997, axis=(0, 1))
            photo = Image.fromarray(levels.clip(0, 255).astype(np.uint8))
        photo.save(folder / f"{i:05}.jpg", quality=90 if grain is None else 88, progressive=progressive)
    return f"made from {len(originals)} photos in {source.name}" if originals else "painted, with noise"


def size_of(megapixels: float | None) -> tuple[int, int]:
    """Return the width and height of a photo of 4 to 3 with about so many megapixels; 500 x 375 if None."""
    if megapixels is None:
        return PHOTO_SIZE
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    return height * 4 // 3, height


def resnet_like(n: int, dim: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """Yield n vectors like ResNet50's in blocks: (at most 10,000, dim) float32, never negative, of length 1.

    Each image is of one of n / 50 scenes, drawn evenly. A scene is a point z of 100 normal numbers with a spread s from
    0.2 to 0.7; an image of it is relu(A (z + s e) + 0.15 f - 0.3) with normal e (100 numbers) and f (dim numbers), and
    a normal (dim, 100) matrix A with rows of length about 1. So the nearest neighbours are of the same scene, with a
    cosine of 0.72 to 0.95 (98 of 100 images), images of two scenes have one of 0.25 or so, and three of five numbers
    are 0. A block depends on its number, n, dim and seed alone.
    """
    random = np.random.default_rng(seed)
    n_scenes = max(n // SCENE_IMAGES, 1)
    spread_out = random.standard_normal((LATENT_DIM, dim), np.float32) / np.float32(np.sqrt(LATENT_DIM))
    scenes = random.standard_normal((n_scenes, LATENT_DIM), np.float32)
    spreads = random.uniform(0.2, 0.7, (n_scenes, 1)).astype(np.float32)
    for start in range(0, n, DRAWN_ROWS):
        random = np.random.default_rng([seed, start])
        rows = min(DRAWN_ROWS, n - start)
        scene = random.integers(n_scenes, size=rows)
        latent = scenes[scene] + spreads[scene] * random.standard_normal((rows, LATENT_DIM), np.float32)
        block = random.standard_normal((rows, dim), np.float32)
        block *= np.float32(0.15)
        block += latent @ spread_out
        block -= np.float32(0.3)
        np.maximum(block, 0, out=block)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        yield block


def make_store(
    folder: Path, blocks: Iterable[NDArray[np.float32] | NDArray[np.float16]], spec: EmbedderSpec | None = None
) -> Path:
    """Make a store of vectors that nothing embedded, at pictures that are not there; return its folder.

    blocks: (n, dim) float32, unit length; float16 is of stored rows, and stays as it is. Row i is at
    /pictures/<i // 1000>/<i>.jpg. spec: the embedder that they are said to be of.
    """
    folder.mkdir(parents=True)
    catalog, first = None, 0
    with open(folder / "vectors.f16", "wb") as file:
        for block in blocks:
            stored = quantize_unit_rows(block)
            file.write(stored.tobytes())
            if catalog is None:
                spec = spec or EmbedderSpec("imported", 1, None, block.shape[1], "made for a benchmark")
                catalog = Catalog.create(folder / "catalog.sqlite", spec.to_json())
            with catalog.writing():
                for row in range(first, first + len(block)):
                    sha256 = row.to_bytes(32, "big")
                    catalog.images.insert(row, NewImage(sha256, 0, 0, checksum(stored[row - first], sha256)))
                    catalog.paths.upsert(FileStamp(b"/pictures/%04d/%08d.jpg" % (row // 1000, row), 0, 0), row)
            first += len(block)
    if catalog is not None:
        catalog.close()
    return folder


@contextmanager
def peak_memory() -> Iterator[list[float]]:
    """Measure the most memory that this process has of its own, mapped files apart; yield a list that gets the MiB."""
    done, peak, found = threading.Event(), 0, []

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            status = Path("/proc/self/status").read_text()
            peak = max(peak, int(status.partition("RssAnon:")[2].split()[0]))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        done.set()
        watcher.join()
        found.append(peak / 1024)


def in_a_process_of_its_own(work: Callable[[Path], object], argument: Path) -> tuple[float, float]:
    """Return the seconds that it takes and the most memory that the process has, in MiB, mapped files included."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_timed, (work, argument))


def _timed(work: Callable[[Path], object], argument: Path) -> tuple[float, float]:
    started = time.perf_counter()
    work(argument)
    seconds = time.perf_counter() - started
    # Not ru_maxrss, which begins with what the process that started this one has.
    status = Path("/proc/self/status").read_text()
    return seconds, int(status.partition("VmHWM:")[2].split()[0]) / 1024


def rounds(contestants: dict[str, Callable[[], float]], n_rounds: int) -> dict[str, list[float]]:
    """Run every contestant once a round, in turns; return each one's rates by round."""
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(n_rounds):
        for name, run in contestants.items():
            rates[name].append(run())
            print(f"round {number + 1}  {name:45} {rates[name][-1]:10.1f} /s", flush=True)
    return rates


def print_ratios(rates: dict[str, list[float]], ours: str) -> None:
    """Print, for everything but `ours`, the median over the rounds of ours / theirs."""
    for name in rates:
        ratios = [mine / theirs for mine, theirs in zip(rates[ours], rates[name], strict=True)]
        if name != ours:
            spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
            print(f"{ours} / {name}: {statistics.median(ratios):.2f} ({spread})")


def rate_of(n: int, work: Callable[[], object]) -> float:
    """Return n / the seconds that the work takes."""
    started = time.perf_counter()
    work()
    return n / (time.perf_counter() - started)


def describe_machine(*packages: str) -> None:
    """Print what every figure and ratio is of: the processor, what else it does, and the versions of the packages."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    print(f"{os.cpu_count()} CPUs ({cpu_name()}), {platform.machine()}, load {os.getloadavg()[0]:.1f}")
    print(f"Python {platform.python_version()}, {versions}", flush=True)


def painted(seed: int) -> Image.Image:
    """Return a painted picture with noise over it, of `PHOTO_SIZE`; another seed gives another one."""
    return _noisy(seed, np.random.default_rng(seed))


def _noisy(seed: int, random: np.random.Generator) -> Image.Image:
    image = paint(list(KINDS)[seed % len(KINDS)], seed).resize(PHOTO_SIZE)
    noise = random.normal(0, 12, (PHOTO_SIZE[1], PHOTO_SIZE[0], 3))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))
