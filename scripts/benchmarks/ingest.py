"""Ingest, end to end, against the loops that others write and against the bare network."""

import os
import subprocess
import tempfile
from collections.abc import Callable
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
    rate_of,
    rounds,
    size_of,
)
from vecstore.sources import jpeg

PEERS = Path(__file__).with_name("peers.py")
# Rates do not depend on how many photos there are, and everything but vecstore is given fewer.
LOOP_PHOTOS, PEER_PHOTOS, NETWORK_PHOTOS = 100, 200, 512


def main(
    photos: Annotated[int, typer.Option(help="How many photos.")] = 300,
    megapixels: Annotated[float | None, typer.Option(help="Of each photo, 12 for a phone's; else 500 x 375.")] = None,
    source: Annotated[Path, typer.Option(help="Pictures to make them from; painted ones without.")] = REAL_PHOTOS,
    embedder: Annotated[str, typer.Option(help="resnet50 (random weights) or efficientnet-lite0.")] = "resnet50",
    n_rounds: Annotated[int, typer.Option("--rounds")] = 3,
    precision: Annotated[str, typer.Option(help="As of `vecstore add`.")] = "auto",
    brief: Annotated[bool, typer.Option("--brief", help="Only `add` and the network, no loops of others.")] = False,
    gpu: Annotated[bool, typer.Option("--gpu", help="Run all of them on CUDA.")] = False,
    peers: Annotated[
        Path | None, typer.Option(metavar="PYTHON", help="A Python with imagededup and efficientnet_lite_pytorch.")
    ] = None,
) -> None:
    """Print images/s of `add` beside other loops, and beside the network alone on ready pixels."""
    import torch
    import torchvision

    from vecstore.embedders.runtimes import multiplies_bf16

    describe_machine("torch", "torchvision", "onnxruntime", "pillow")
    device = "cuda" if gpu else "cpu"
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        width, height = size_of(megapixels)
        made = make_photos(work / "photos", photos, source, (width, height))
        print(f"{photos} photos of {width} x {height}, {made}; {embedder} on {device}")
        weights = None
        if embedder == "resnet50":
            torch.manual_seed(0)
            weights = work / "resnet50.pth"
            torch.save(torchvision.models.resnet50().state_dict(), weights)
        contestants: dict[str, Callable[[], float]] = {
            "vecstore add": lambda: _add(work, embedder, weights, device, precision),
            "the network alone, as vecstore runs it": lambda: _network_alone(embedder, weights, device, precision),
        }
        if megapixels is not None:
            contestants["vecstore add, an eighth only at twice the side"] = lambda: _add_at_twice(
                work, embedder, weights, device, precision
            )
        if device == "cpu":
            contestants["the network alone, float32"] = lambda: _network_alone(embedder, weights, device, "float32")
            if multiplies_bf16():
                contestants["the network alone, bf16"] = lambda: _network_alone(embedder, weights, device, "bf16")
        if not brief:
            contestants["one image at a time in torch"] = lambda: _one_at_a_time(
                work / "photos", embedder, weights, device
            )
        if device == "cpu" and not brief:
            contestants["the network alone, ONNX Runtime's defaults"] = lambda: _default_session(embedder, weights)
        if peers is None:
            print("without --peers, no DataLoader and no imagededup")
        else:
            some = _first(PEER_PHOTOS, work / "photos", work / "some")
            contestants["DataLoader and torchvision"] = lambda: _peer(peers, "dataloader", some, embedder, weights)
            contestants["imagededup's CNN encoder"] = lambda: _peer(peers, "imagededup", some, embedder, weights)
        print_ratios(rounds(contestants, n_rounds), "vecstore add")


def _add(work: Path, embedder: str, weights: Path | None, device: str, precision: str) -> float:
    from vecstore import Store

    with tempfile.TemporaryDirectory(dir=work) as folder:
        options = {"embedder": embedder, "weights": weights, "device": device, "create": True, "precision": precision}
        with Store.open(Path(folder) / "store", **options) as store:
            return store.add(work / "photos").images_per_second


def _add_at_twice(work: Path, embedder: str, weights: Path | None, device: str, precision: str) -> float:
    """As it was: a JPEG at an eighth, too, only while it is twice as large as what the network takes."""
    with patch.object(jpeg, "EIGHTH", 1.0):
        return _add(work, embedder, weights, device, precision)


def _one_at_a_time(photos: Path, embedder: str, weights: Path | None, device: str) -> float:
    """The loop of many a tutorial: open, torchvision's transforms, one forward pass, next."""
    import torch
    from torchvision.models import ResNet50_Weights, resnet50

    transforms = ResNet50_Weights.IMAGENET1K_V2.transforms()
    if weights is not None:
        network = resnet50()
        network.load_state_dict(torch.load(weights, weights_only=True))
        network.fc = torch.nn.Identity()
        forward = network.eval().to(device)
    else:
        from efficientnet_lite_pytorch import EfficientNet

        forward = EfficientNet.from_name(embedder).eval().to(device).extract_features
    files = sorted(photos.iterdir())[:LOOP_PHOTOS]

    def loop() -> None:
        with torch.inference_mode():
            for file in files:
                pixels = transforms(Image.open(file).convert("RGB"))[None].to(device)
                forward(pixels).flatten().cpu().numpy()

    return rate_of(len(files), loop)


def _first(n: int, photos: Path, folder: Path) -> Path:
    """Return `folder`, with links to the first n photos in it."""
    folder.mkdir()
    for photo in sorted(photos.iterdir())[:n]:
        os.link(photo, folder / photo.name)
    return folder


def _peer(python: Path, peer: str, photos: Path, embedder: str, weights: Path | None) -> float:
    command = [python, PEERS, peer, photos, embedder, *([weights] if weights else [])]
    return float(subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])


def _network_alone(embedder: str, weights: Path | None, device: str, precision: str) -> float:
    from vecstore.embedders.embedder import EmbedderOptions
    from vecstore.embedders.registry import open_embedder
    from vecstore.embedders.runtimes import chosen

    opened: Any = open_embedder(embedder, EmbedderOptions(weights=weights, device=device, precision=precision))
    pixels = list(_pixels())
    opened.embed(pixels[: opened.batch_size])  # loads the network
    if device == "cpu":
        print(f"         in {chosen(opened.network.exported, opened.spec.precision)}")
    return rate_of(len(pixels), lambda: opened.embed(pixels))


def _default_session(embedder: str, weights: Path | None) -> float:
    """The same network as most people run it: every layer divided among the cores, whose threads spin while they wait.

    In batches of 8, which it is fastest with.
    """
    import onnxruntime

    from vecstore.embedders.embedder import EmbedderOptions
    from vecstore.embedders.registry import open_embedder

    opened: Any = open_embedder(embedder, EmbedderOptions(weights=weights, device="cpu"))
    opened.load()
    session = onnxruntime.InferenceSession(str(opened.network.exported), providers=["CPUExecutionProvider"])
    pixels = _pixels()
    session.run(None, {"pixels": pixels[:8]})
    starts = range(0, len(pixels), 8)
    return rate_of(len(pixels), lambda: [session.run(None, {"pixels": pixels[i : i + 8]}) for i in starts])


def _pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (NETWORK_PHOTOS, 224, 224, 3), np.uint8)
