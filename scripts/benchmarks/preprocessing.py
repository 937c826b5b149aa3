"""Which preprocessing serves efficientnet-lite0 best: neighbours of the same label, on folders of labelled pictures."""

from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from indexes.devices import choose_device
from indexes.kmeans import KMeansOptions, assign, train
from scripts.benchmarks.common import REAL_PHOTOS
from vecstore.embedders.embedder import unit_rows
from vecstore.sources.decoding import decode, read

NORMALISATIONS = {
    "(pixel - 127) / 128": ((127 / 255,) * 3, (128 / 255,) * 3),
    "ImageNet mean and std": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
RESIZINGS = ("shorter side to 256, middle 224", "whole to 256x256, middle 224", "whole to 224x224")


def main(
    pictures: Annotated[list[Path], typer.Argument(help="Folders that hold a folder for each label.")] = [  # noqa: B006
        REAL_PHOTOS,
        REAL_PHOTOS.parent / "catsdogs60",
    ],
) -> None:
    """Print, for each way, precision@1 and @5 by label, and the accuracy of the least-objective k-means."""
    print(f"{'pictures':12} {'resizing':32} {'filter':9} {'normalisation':22} p@1   p@5   k-means accuracy")
    for folder in pictures:
        files = sorted(path for path in folder.glob("*/*") if path.is_file())
        labels = np.unique([path.parent.name for path in files], return_inverse=True)[1]
        images = [decode(read(bytes(path)).data) for path in files]
        for resizing, resample in product(RESIZINGS, (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)):
            pixels = np.stack([_resized(image, resizing, resample) for image in images])
            for name, (mean, std) in NORMALISATIONS.items():
                vectors = _embed(pixels, mean, std)
                p1, p5 = (_precision(vectors, labels, k) for k in (1, 5))
                accuracy = _accuracy(vectors, labels)
                row = f"{folder.name:12} {resizing:32} {resample.name.lower():9} {name:22}"
                print(f"{row} {p1:.3f} {p5:.3f} {accuracy:.3f}", flush=True)


def _resized(image: Image.Image, resizing: str, resample: Image.Resampling) -> NDArray[np.uint8]:
    width, height = image.size
    if resizing.startswith("shorter"):
        scale = 256 / min(width, height)
        image = image.resize((round(width * scale), round(height * scale)), resample)
    else:
        side = 256 if "256" in resizing else 224
        image = image.resize((side, side), resample)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    return np.asarray(image.crop((left, top, left + 224, top + 224)))


def _embed(pixels: NDArray[np.uint8], mean: tuple[float, ...], std: tuple[float, ...]) -> NDArray[np.float32]:
    import torch

    from vecstore.embedders import efficientnet

    efficientnet.MEAN, efficientnet.STD = mean, std
    module = efficientnet._build(efficientnet.LITE0.name, efficientnet._weights_path(efficientnet.LITE0))
    with torch.inference_mode():
        features = [module(torch.from_numpy(pixels[i : i + 20])).numpy() for i in range(0, len(pixels), 20)]
    return unit_rows(np.concatenate(features))


def _precision(vectors: NDArray[np.float32], labels: NDArray[np.intp], k: int) -> float:
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -2)
    nearest = np.argsort(-scores, axis=1)[:, :k]
    return float((labels[nearest] == labels[:, None]).mean())


def _accuracy(vectors: NDArray[np.float32], labels: NDArray[np.intp]) -> float:
    """Return the part of the pictures whose cluster is mostly of their label."""
    device = choose_device("cpu")
    k = int(labels.max()) + 1
    clusters = assign(vectors, train(vectors, k, KMeansOptions(), device).centroids, device).labels
    return sum(int(np.bincount(labels[clusters == c]).max(initial=0)) for c in range(k)) / len(labels)
