"""JPEG decoders side by side, to what efficientnet-lite0 takes: decoded and scaled, on one thread."""

import io
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image

from scripts.benchmarks.common import REAL_PHOTOS, describe_machine, make_photos, print_ratios, rate_of, rounds
from vecstore.embedders.registry import open_embedder
from vecstore.sources import decoding


def main(
    photos: Annotated[int, typer.Option(help="How many photos of 500 x 375.")] = 200,
    n_rounds: Annotated[int, typer.Option("--rounds")] = 5,
) -> None:
    """Print pictures/s of vecstore's decoding beside Pillow's own open, torchvision.io, and simplejpeg if installed."""
    describe_machine("pillow", "torchvision")
    prepare = open_embedder("efficientnet-lite0").prepare
    with tempfile.TemporaryDirectory() as scratch:
        make_photos(Path(scratch) / "photos", photos, REAL_PHOTOS)
        contents = [path.read_bytes() for path in sorted((Path(scratch) / "photos").iterdir())]
    decoders: dict[str, Callable[[bytes], Any]] = {
        "vecstore": lambda content: decoding.decode(content, at_least=(256, 256)),
        "Pillow, Image.open": lambda content: Image.open(io.BytesIO(content)).convert("RGB"),
        "torchvision.io": _torchvision,
    }
    if find_spec("simplejpeg"):
        decoders["simplejpeg"] = _simplejpeg
    for what, step in (("decoding alone", lambda image: image), ("decoding and preparing", prepare)):
        print(what)
        contestants = {name: _rate(decode, step, contents) for name, decode in decoders.items()}
        print_ratios(rounds(contestants, n_rounds), "vecstore")


def _rate(decode: Callable[[bytes], Any], step: Callable[[Any], object], contents: list[bytes]) -> Callable[[], float]:
    return lambda: rate_of(len(contents), lambda: [step(decode(content)) for content in contents])


def _torchvision(content: bytes) -> Image.Image:
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    pixels = decode_jpeg(torch.frombuffer(bytearray(content), dtype=torch.uint8), ImageReadMode.RGB)
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())


def _simplejpeg(content: bytes) -> Image.Image:
    import simplejpeg

    return Image.fromarray(np.asarray(simplejpeg.decode_jpeg(content, "RGB")))
