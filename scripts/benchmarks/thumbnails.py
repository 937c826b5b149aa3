"""What thumbnails take: CPU milliseconds to read, decode, encode and keep them, as `vecstore thumbnails` does."""

import hashlib
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

from scripts.benchmarks.common import describe_machine
from vecstore.sources.decoding import Unreadable
from vecstore.views.thumbnails import SIZES, Thumbnails


def main(
    pictures: Annotated[Path, typer.Argument(help="A folder of pictures.")],
    most: Annotated[int, typer.Option(help="How many of them.")] = 200,
    enlarge: Annotated[int, typer.Option(help="Enlarge them to so many pixels on the longer side first; 0: not.")] = 0,
) -> None:
    """Print the CPU milliseconds of a picture's thumbnails in one size and in both, and how large they are."""
    describe_machine("pillow")
    with tempfile.TemporaryDirectory() as scratch:
        files = sorted(file for file in pictures.rglob("*") if file.is_file())[:most]
        if enlarge:
            files = [_enlarged(file, enlarge, Path(scratch) / f"{n}.jpg") for n, file in enumerate(files)]
        known = [(bytes(file), hashlib.sha256(file.read_bytes()).digest()) for file in files]
        for names in (["small"], ["large"], ["small", "large"]):
            thumbnails = Thumbnails(Path(scratch) / "-".join(names))
            started, made, n_bytes = time.process_time(), 0, 0
            for path, sha256 in known:
                try:
                    found = thumbnails.make(path, sha256, [SIZES[name] for name in names])
                except Unreadable:
                    continue
                made, n_bytes = made + len(found), n_bytes + sum(found.values())
            took_ms = 1000 * (time.process_time() - started)
            each = f"{took_ms / made:.1f} ms and {n_bytes / made / 1000:.1f} kB each"
            rate = f"{2000 * made / took_ms:.0f}/s on two cores"
            print(f"{' and '.join(names)}: {made:,} thumbnails of {len(known):,} pictures, {each}, {rate}")


def _enlarged(file: Path, side: int, to: Path) -> Path:
    with Image.open(file) as picture:
        scale = side / max(picture.size)
        size = (round(picture.width * scale), round(picture.height * scale))
        picture.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(to, quality=90)
    return to
