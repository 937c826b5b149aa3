"""Ingest, end to end, against the loop everybody writes first and against the bare network."""

import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from scripts.benchmarks.common import REAL_PHOTOS, describe_machine, make_photos, print_ratios, rate_of, rounds


def main(
    photos: Annotated[int, typer.Option(help="How many photos of 500 x 375.")] = 300,
    source: Annotated[Path, typer.Option(help="Pictures to make them from; painted ones without.")] = REAL_PHOTOS,
    embedder: Annotated[str, typer.Option(help="resnet50 (random weights) or efficientnet-lite0.")] = "resnet50",
    n_rounds: Annotated[int, typer.Option("--rounds")] = 3,
    gpu: Annotated[bool, typer.Option("--gpu", help="Run all of them on CUDA.")] = False,
) -> None:
    """Print images/s of `add` beside (a) one image at a time in torch and (b) the network alone on ready pixels."""
    import torch
    import torchvision

    describe_machine("torch", "torchvision", "onnxruntime", "pillow")
    device = "cuda" if gpu else "cpu"
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        made = make_photos(work / "photos", photos, source)
        print(f"{photos} photos of 500 x 375, {made}; {embedder} on {device}")
        weights = None
        if embedder == "resnet50":
            torch.manual_seed(0)
            weights = work / "resnet50.pth"
            torch.save(torchvision.models.resnet50().state_dict(), weights)
        contestants = {
            "vecstore add": lambda: _add(work, embedder, weights, device),
            "(a) one image at a time in torch": lambda: _one_at_a_time(work / "photos", embedder, weights, device),
            "(b) the network alone": lambda: _network_alone(photos, embedder, weights, device),
        }
        print_ratios(rounds(contestants, n_rounds), "vecstore add")


def _add(work: Path, embedder: str, weights: Path | None, device: str) -> float:
    from vecstore import Store

    with tempfile.TemporaryDirectory(dir=work) as folder:
        options = {"embedder": embedder, "weights": weights, "device": device, "create": True}
        with Store.open(Path(folder) / "store", **options) as store:
            return store.add(work / "photos").images_per_second


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
    files = sorted(photos.iterdir())[:100]

    def loop() -> None:
        with torch.inference_mode():
            for file in files:
                pixels = transforms(Image.open(file).convert("RGB"))[None].to(device)
                forward(pixels).flatten().cpu().numpy()

    return rate_of(len(files), loop)


def _network_alone(n: int, embedder: str, weights: Path | None, device: str) -> float:
    from vecstore.embedders import EmbedderOptions, open_embedder

    opened = open_embedder(embedder, EmbedderOptions(weights=weights, device=device))
    batch = list(np.random.default_rng(0).integers(0, 256, (opened.batch_size, 224, 224, 3), np.uint8))
    opened.embed(batch)  # loads the network
    n_batches = max(n // len(batch), 1)
    return rate_of(n_batches * len(batch), lambda: [opened.embed(batch) for _ in range(n_batches)])
