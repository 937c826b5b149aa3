"""JPEG decoders side by side, to what efficientnet-lite0 takes: decoded and scaled, on one thread."""

import io
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from scripts.benchmarks.common import (
    REAL_PHOTOS,
    describe_machine,
    make_photos,
    print_ratios,
    rounds,
    size_of,
)
from vecstore.embedders.embedder import Embedder
from vecstore.embedders.registry import open_embedder
from vecstore.sources import decoding, jpeg

NEIGHBOURS = 10


def main(
    photos: Annotated[int, typer.Option(help="How many photos.")] = 200,
    source: Annotated[Path, typer.Option(help="Pictures to make them from.")] = REAL_PHOTOS,
    megapixels: Annotated[float | None, typer.Option(help="Of each photo, 12 for a phone's; else 500 x 375.")] = None,
    progressive: Annotated[bool, typer.Option("--progressive", help="Encode them progressively.")] = False,
    n_rounds: Annotated[int, typer.Option("--rounds")] = 5,
    agreement: Annotated[bool, typer.Option("--agreement", help="Compare the vectors too.")] = False,
) -> None:
    """Print how many pictures a second of processor time vecstore decodes, and others: Pillow, torchvision, simplejpeg.

    simplejpeg takes part if it is installed.
    """
    describe_machine("pillow", "torchvision")
    embedder = open_embedder("efficientnet-lite0")
    with tempfile.TemporaryDirectory() as scratch:
        make_photos(Path(scratch) / "photos", photos, source, size_of(megapixels), progressive)
        contents = [path.read_bytes() for path in sorted((Path(scratch) / "photos").iterdir())]
    decoders: dict[str, Callable[[bytes], Any]] = {
        "vecstore": _vecstore,
        "vecstore, an eighth only at twice the side": _at_twice,
        "Pillow, Image.open": _pillow,
        "torchvision.io": _torchvision,
    }
    if progressive:
        decoders["vecstore, all scans"] = _all_scans
    if find_spec("simplejpeg"):
        decoders["simplejpeg"] = _simplejpeg
    if agreement:
        for name in ("hsv", "efficientnet-lite0"):
            _print_agreement(open_embedder(name), contents)
    for what, step in (("decoding alone", lambda image: image), ("decoding and preparing", embedder.prepare)):
        print(what)
        contestants = {name: _rate(decode, step, contents) for name, decode in decoders.items()}
        print_ratios(rounds(contestants, n_rounds), "vecstore")


def _print_agreement(embedder: Embedder, contents: list[bytes]) -> None:
    """Print how near the vectors are to those of pictures at full size and at twice the side that the network takes."""
    side = embedder.input_size
    ways: dict[str, Callable[[bytes], Image.Image]] = {
        "as it is": lambda content: decoding.decode(content, at_least=side),
        "an eighth only at twice the side": lambda content: _at_twice(content, side),
        "full size": decoding.decode,
    }
    vectors = {
        name: embedder.embed([embedder.prepare(decode(content)) for content in contents])
        for name, decode in ways.items()
    }
    for one, other in (("as it is", "an eighth only at twice the side"), *((n, "full size") for n in list(ways)[:2])):
        cosines = (vectors[one] * vectors[other]).sum(1)
        near, nearest = _nearest(vectors[one]), _nearest(vectors[other])
        recall = np.mean([len(set(a) & set(b)) for a, b in zip(near, nearest, strict=True)]) / near.shape[1]
        print(
            f"{embedder.spec.name}: {one} / {other}: cosine {np.median(cosines):.4f} (least {cosines.min():.4f}), "
            f"recall@{NEIGHBOURS} {recall:.3f}"
        )


def _nearest(vectors: NDArray[np.float32]) -> NDArray[np.intp]:
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -2)
    return np.argsort(-scores, axis=1)[:, :NEIGHBOURS]


def _rate(decode: Callable[[bytes], Any], step: Callable[[Any], object], contents: list[bytes]) -> Callable[[], float]:
    def rate() -> float:
        started = time.thread_time()  # other work on the machine changes it least
        for content in contents:
            step(decode(content))
        return len(contents) / (time.thread_time() - started)

    return rate


def _vecstore(content: bytes) -> Image.Image:
    return decoding.decode(content, at_least=(256, 256))


def _at_twice(content: bytes, side: tuple[int, int] = (256, 256)) -> Image.Image:
    """As it was: at an eighth, too, only while the picture is twice as large as what the network takes."""
    with patch.object(jpeg, "EIGHTH", 1.0):
        return decoding.decode(content, at_least=side)


def _all_scans(content: bytes) -> Image.Image:
    with patch.object(jpeg, "for_eighth", lambda content, _: content):
        return _vecstore(content)


def _pillow(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


def _torchvision(content: bytes) -> Image.Image:
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    pixels = decode_jpeg(torch.frombuffer(bytearray(content), dtype=torch.uint8), ImageReadMode.RGB)
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())


def _simplejpeg(content: bytes) -> Image.Image:
    import simplejpeg

    return Image.fromarray(np.asarray(simplejpeg.decode_jpeg(content, "RGB")))
