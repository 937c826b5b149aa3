"""Whether adding stays as fast as the store grows, and what a second look at unchanged files costs.

The network is a stub, so that what is measured is everything else: scanning, reading, hashing, decoding, rounding,
and both files of the store. The pictures are of 8 x 8 pixels and all different, 1,000 to a folder.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from scripts.benchmarks.common import LATENT_DIM, describe_machine, peak_memory
from vecstore import Store
from vecstore.embedders import registry
from vecstore.embedders.embedder import EmbedderOptions, EmbedderSpec

FOLDER_FILES = 1_000
SIDE = 8
N_SCENES = 4_000


def main(
    files: Annotated[int, typer.Option(help="Pictures in the end, in thousands.")] = 200_000,
    step: Annotated[int, typer.Option(help="Pictures of one add, in thousands.")] = 10_000,
    folder: Annotated[Path | None, typer.Option(help="Where to work, with 10 KB a picture to spare.")] = None,
) -> None:
    """Print seconds and files/s of each step, the last against the first, peak memory, and one look at them all."""
    describe_machine("numpy", "pillow")
    registry.BUILT_IN["stub"] = f"{__name__}:open_stub"
    if files % FOLDER_FILES or step % FOLDER_FILES or not 0 < step <= files:
        raise typer.BadParameter(f"--files and --step are multiples of {FOLDER_FILES:,}, the first not the smaller")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        pictures = Path(scratch) / "pictures"
        with Store.open(Path(scratch) / "store", embedder="stub", create=True) as store:
            with peak_memory() as peak:
                _print_growth([_timed_add(store, pictures, first, step) for first in range(0, files - step + 1, step)])
            print(f"peak memory {peak[0]:.0f} MiB, mapped files apart")
            _print_second_look(store, pictures)
            sizes = {file.name: file.stat().st_size for file in sorted((Path(scratch) / "store").iterdir())}
        print("on disk: " + ", ".join(f"{name} {size / 2**20:.1f} MiB" for name, size in sizes.items() if size))


def _timed_add(store: Store, pictures: Path, first: int, step: int) -> float:
    """Make the next `step` pictures and add their folders; return the seconds of the add alone."""
    folders = [
        _make_folder(pictures / f"{start // FOLDER_FILES:05}", start)
        for start in range(first, first + step, FOLDER_FILES)
    ]
    os.sync()  # the pictures' own way to the disk is not to be waited for in the add's
    started = time.perf_counter()
    report = store.add(*folders)
    seconds = time.perf_counter() - started
    if report.embedded != step:
        raise RuntimeError(f"{report.embedded} of {step} new pictures were embedded")
    print(f"{first + step:>9,} images {seconds:7.2f} s {step / seconds:8.0f} files/s", flush=True)
    return seconds


def _print_growth(seconds: list[float]) -> None:
    ends = min(3, len(seconds))
    of_three = statistics.median(seconds[-ends:]) / statistics.median(seconds[:ends])
    print(f"last step / first step: {seconds[-1] / seconds[0]:.3f}; medians of three: {of_three:.3f}")


def _print_second_look(store: Store, pictures: Path) -> None:
    """Add everything again, and count the files that are opened meanwhile, by whomever."""
    opened = 0
    below = os.fsencode(pictures) + b"/"

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal opened
        if event == "open" and isinstance(arguments[0], str | bytes):
            opened += os.fsencode(arguments[0]).startswith(below)

    sys.addaudithook(count)
    started = time.perf_counter()
    report = store.add(pictures)
    seconds = time.perf_counter() - started
    print(f"once more, unchanged: {report.known:,} files in {seconds:.2f} s, of which {opened} were opened")


def _make_folder(folder: Path, first: int) -> Path:
    """Write pictures number `first` and on: PPM, random pixels that begin with the number, so that no two are equal."""
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(first).bytes(FOLDER_FILES * SIDE * SIDE * 3)
    header = b"P6 %d %d 255\n" % (SIDE, SIDE)
    for i in range(FOLDER_FILES):
        noise = pixels[i * SIDE * SIDE * 3 : (i + 1) * SIDE * SIDE * 3]
        (folder / f"{first + i:07}.ppm").write_bytes(header + (first + i).to_bytes(8, "big") + noise[8:])
    return folder


class StubEmbedder:
    """A vector drawn from the pixels, like ResNet50's (`resnet_like`), at next to no cost."""

    spec = EmbedderSpec("stub", version=2, weights_sha256=None, dim=2048, preprocessing="the pixels as a seed")
    batch_size = 64
    input_size = (SIDE, SIDE)

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self.scenes = random.standard_normal((N_SCENES, LATENT_DIM), np.float32)
        self.spread_out = random.standard_normal((LATENT_DIM, self.spec.dim), np.float32) / np.sqrt(LATENT_DIM)

    def load(self) -> None:
        pass

    def prepare(self, image: Image.Image) -> int:
        return int.from_bytes(image.tobytes()[:8], "big")

    def embed(self, prepared: Sequence[int]) -> NDArray[np.float32]:
        drawn = [np.random.Generator(np.random.SFC64(seed)) for seed in prepared]
        own = np.stack([random.standard_normal(LATENT_DIM, np.float32) for random in drawn])
        noise = np.stack([random.standard_normal(self.spec.dim, np.float32) for random in drawn])
        latent = self.scenes[np.array(prepared) % N_SCENES] + 0.45 * own
        vectors = np.maximum(latent @ self.spread_out + 0.15 * noise - 0.3, 0, dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def open_stub(options: EmbedderOptions) -> StubEmbedder:
    return StubEmbedder()
