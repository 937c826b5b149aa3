"""What the benchmarks share: photos, rounds, and how results are printed."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

from vecstore.painting import KINDS, paint

REAL_PHOTOS = Path(__file__).parents[3] / "shared" / "data" / "flowers200"
PHOTO_SIZE = (500, 375)


def make_photos(folder: Path, n: int, source: Path) -> str:
    """Write n different JPEGs of 500 x 375 into `folder`; return what they were made from.

    The pictures under `source` are used in turn, each time cut a little differently and encoded again; without such a
    folder, painted pictures with noise over them, which takes a decoder about as long as a photo does.
    """
    folder.mkdir(parents=True)
    originals = sorted(source.rglob("*.jpg")) if source.is_dir() else []
    random = np.random.default_rng(0)
    for i in range(n):
        image = Image.open(originals[i % len(originals)]) if originals else _noisy(i, random)
        cut = random.uniform(0, 0.1, 4) * np.array([*image.size, *image.size])
        box = (cut[0], cut[1], image.width - cut[2], image.height - cut[3])
        image.convert("RGB").resize(PHOTO_SIZE, Image.Resampling.LANCZOS, box=box).save(
            folder / f"{i:05}.jpg", quality=90
        )
    return f"made from {len(originals)} photos in {source.name}" if originals else "painted, with noise"


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
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    print(f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}, {versions}")


def _noisy(seed: int, random: np.random.Generator) -> Image.Image:
    image = paint(list(KINDS)[seed % len(KINDS)], seed).resize(PHOTO_SIZE)
    noise = random.normal(0, 12, (PHOTO_SIZE[1], PHOTO_SIZE[0], 3))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))
