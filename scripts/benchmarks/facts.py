"""What facts take: of an ingest, in the catalog, and of a query with conditions; and where ordinary pictures lie."""

import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image, ImageFilter

from vecstore.likeness.perceptual_hash import hash_record
from vecstore.results import Facts
from vecstore.search.conditions import parse
from vecstore.search.oddities import BOUNDS
from vecstore.sources import decoding, metadata, pixel_measures
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.pixel_measures import measure
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.catalog.images import NewImage

SIDE = 224
CONDITIONS = (
    "rating >= 4",
    'camera = "X-T5" and taken >= 2024-05',
    "keywords contains birch or caption contains river",
    "near(48.14, 11.58, 50)",
)


def main(
    pictures: Annotated[Path | None, typer.Argument(help="A folder of pictures to read.")] = None,
    images: Annotated[int, typer.Option(help="Of the catalog that is asked; 0 for none.")] = 1_000_000,
    blurred: Annotated[float, typer.Option(help="Blur by so many of 256 pixels, to see what that measures.")] = 2.5,
) -> None:
    """Print CPU milliseconds a picture, quantiles of the measures, bytes an image, and milliseconds a condition."""
    if pictures is not None:
        _of_pictures(sorted(file for file in pictures.rglob("*") if file.is_file()), blurred)
    if images:
        with tempfile.TemporaryDirectory() as scratch:
            _of_catalog(Path(scratch) / "catalog.sqlite", images)


def _of_pictures(files: list[Path], radius: float) -> None:
    decoded: list[tuple[bytes, bytes, Image.Image]] = []
    for file in files:
        content = file.read_bytes()
        try:
            decoded.append((content, bytes(file), decoding.decode(content, (SIDE, SIDE))))
        except decoding.Unreadable:
            continue
    print(f"{len(decoded)} pictures, ms of CPU time each")
    print(f"  decode {_ms(lambda: [decoding.decode(content, (SIDE, SIDE)) for content, _, _ in decoded], decoded):.2f}")
    print(f"  read what the file says {_ms(lambda: [metadata.read(*some[:2]) for some in decoded], decoded):.2f}")
    print(f"  make it grey {_ms(lambda: [image.convert('L') for _, _, image in decoded], decoded):.2f}")
    greys = [image.convert("L") for _, _, image in decoded]
    print(f"  measure the pixels {_ms(lambda: [measure(grey) for grey in greys], decoded):.2f}")
    print(f"  hash {_ms(lambda: [hash_record(grey) for grey in greys], decoded):.2f}")
    found = [metadata.facts_of(content, image, name) for content, name, image in decoded]
    for name in ("highlights", "shadows", "sharpness", "entropy", "contrast", "brightness"):
        values = [getattr(facts, name) for facts in found]
        print(f"  {name}: least {min(values):.3f}, median {np.median(values):.3f}, greatest {max(values):.3f}")
    for kind, bound in BOUNDS.items():
        if hasattr(found[0], bound.measure):
            values = [getattr(facts, bound.measure) for facts in found]
            n_odd = sum(value < bound.value if bound.operator == "<" else value > bound.value for value in values)
            print(f"  {kind}: {n_odd} with {bound.measure} {bound.operator} {bound.value:g}")
    blurs = []
    for _, _, image in decoded:
        soft = image.filter(ImageFilter.GaussianBlur(max(image.size) / pixel_measures.SIDE * radius))
        blurs.append(measure(soft).sharpness)
    n_found = sum(value < BOUNDS["blurred"].value for value in blurs)
    print(f"  blurred by {radius:g} of 256 pixels: sharpness median {np.median(blurs):.1f}, {n_found} called blurred")


def _ms(work: Callable[[], object], of: list[tuple[bytes, bytes, Image.Image]]) -> float:
    """Return the least CPU time of three rounds, in milliseconds a picture."""
    rounds = []
    for _ in range(3):
        started = time.thread_time()
        work()
        rounds.append(time.thread_time() - started)
    return min(rounds) * 1_000 / len(of)


def _of_catalog(path: Path, n_images: int) -> None:
    random = np.random.default_rng(0)
    catalog = Catalog.create(path, "{}")
    rows = range(n_images)
    with catalog.writing():
        catalog.images.insert(0, *(NewImage(hashlib.sha256(b"%d" % row).digest(), 4000, 3000, 0) for row in rows))
        catalog.paths.upsert_all([(FileStamp(b"/photos/2024/%07d.jpg" % row, 1, 1), row) for row in rows])
    catalog.vacuum()
    before = path.stat().st_size
    cameras = ("X-T5", "NIKON D90", "Canon EOS 5D Mark III", "iPhone 8 Plus")
    with catalog.writing():
        catalog.facts.put((row, _facts(random, cameras)) for row in rows)
    catalog.checkpoint_wal()
    catalog.vacuum()
    catalog.checkpoint_wal()
    print(f"{n_images:,} images: {(path.stat().st_size - before) / n_images:.0f} bytes of facts an image")
    for text in CONDITIONS:
        times = []
        for _ in range(5):
            started = time.thread_time()
            found = catalog.facts.fitting(parse(text))
            times.append(time.thread_time() - started)
        print(f"  {text}: {len(found):,} images in {min(times) * 1_000:.0f} ms of CPU time", flush=True)
    catalog.close()


def _facts(random: np.random.Generator, cameras: tuple[str, ...]) -> Facts:
    number = int(random.integers(1 << 30))
    return Facts(
        taken=f"20{number % 25:02}-{number % 12 + 1:02}-{number % 28 + 1:02}T12:34:56+02:00",
        maker="FUJIFILM",
        camera=cameras[number % 4],
        lens="XF35mmF1.4 R",
        orientation=1,
        latitude=number / (1 << 30) * 180 - 90,
        longitude=number % 1_000 / 1_000 * 360 - 180,
        bytes=number,
        format="JPEG",
        rating=number % 6 or None,
        keywords=("birch", "river") if number % 10 == 0 else (),
        brightness=0.1234,
        contrast=0.1234,
        shadows=0.1234,
        highlights=0.1234,
        sharpness=0.1234,
        entropy=0.1234,
    )
