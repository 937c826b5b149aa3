"""Arithmetic on the CPU: bf16, and int8, beside float32: speed, neighbours, labels, clusters, near duplicates."""

import functools
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from scripts.benchmarks.common import REAL_PHOTOS, describe_machine, print_ratios, rounds
from vecstore.embedders import runtimes
from vecstore.embedders.embedder import EmbedderOptions, unit_rows
from vecstore.embedders.registry import open_embedder
from vecstore.embedders.runtimes import CHUNK, FLOAT32, ONNX_RUNTIME, OPENVINO, OPENVINO_BF16
from vecstore.sources import decoding

TIMED, CALIBRATED_ON = 64, 96
NEAR_DUPLICATES = 0.95
Features = NDArray[np.float32]


@dataclass(frozen=True)
class Pictures:
    name: str
    pixels: NDArray[np.uint8]
    labels: NDArray[np.str_]


def main(
    data: Annotated[Path, typer.Option(help="A folder of labelled collections.", exists=True)] = REAL_PHOTOS.parent,
    collections: Annotated[list[str] | None, typer.Option("--collection", help="Only this one; repeatable.")] = None,
    embedder: Annotated[str, typer.Option(help="efficientnet-lite0 or -lite2, or resnet50 with random weights.")] = (
        "efficientnet-lite0"
    ),
    step: Annotated[int, typer.Option(help="Take every so-manieth picture.")] = 1,
    layers: Annotated[
        list[int] | None, typer.Option(help="Also with so many first convolutions in float32; repeatable.")
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Also quantised by NNCF, which is installed apart.")] = False,
    calibrated: Annotated[
        bool, typer.Option("--calibrated", help="Give random weights' batch-norms the photos' own statistics.")
    ] = False,
    n_rounds: Annotated[int, typer.Option("--rounds")] = 3,
) -> None:
    """Print speed on one core, and what the vectors are worth beside float32's; mixed: half of the pictures in each."""
    describe_machine("onnxruntime", "openvino")
    with tempfile.TemporaryDirectory() as scratch:
        opened = _open(embedder, Path(scratch), data / (collections or ["flowers200"])[0], calibrated)
        network, own = opened.network.exported, opened.network.float32_layers
        forwards: dict[str, Callable[..., Features]] = {
            ONNX_RUNTIME: runtimes._onnx_runtime(network),
            OPENVINO: runtimes._openvino(runtimes._compile(network, OPENVINO, 0)),
        }
        for n_layers in {own: None, **dict.fromkeys(layers or [])}:
            compiled = runtimes._compile(network, OPENVINO_BF16, n_layers)
            forwards[f"bf16, {n_layers} layers float32"] = runtimes._openvino(compiled)
        sets = [_pictures(opened, data / name, step) for name in collections or ["flowers200", "trashnet2521"]]
        if int8:
            forwards["int8"] = runtimes._openvino(_quantized(network, sets[0].pixels))
        pixels = sets[0].pixels[:TIMED]
        runs = {name: functools.partial(_rate, forward, pixels) for name, forward in forwards.items()}
        print_ratios(rounds(runs, n_rounds), f"bf16, {own} layers float32")
        for pictures in sets:
            _print_table(pictures, forwards)


def _open(name: str, scratch: Path, photos: Path, calibrated: bool) -> Any:
    weights = None
    if name == "resnet50":
        weights = scratch / "resnet50.pth"
        _save_random(weights, _pictures(open_embedder("hsv"), photos, 4, side=224).pixels if calibrated else None)
    opened: Any = open_embedder(name, EmbedderOptions(weights=weights, device="cpu", precision=FLOAT32))
    opened.load()
    return opened


def _save_random(path: Path, photos: NDArray[np.uint8] | None) -> None:
    """Write a ResNet50 with random weights; with photos, its batch-norms have the statistics that these make."""
    import torch
    import torchvision

    from vecstore.embedders.resnet50 import MEAN, STD

    torch.manual_seed(0)
    network = torchvision.models.resnet50()
    if photos is not None:
        network.train()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None  # the mean over all batches
        with torch.no_grad():
            for start in range(0, len(photos) - 7, 8):
                values = torch.from_numpy(photos[start : start + 8]).permute(0, 3, 1, 2).float() / 255
                network((values - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1))
    torch.save(network.state_dict(), path)


def _pictures(embedder: Any, folder: Path, step: int, side: int | None = None) -> Pictures:
    files = sorted(folder.rglob("*.jpg"))[::step]
    images = [decoding.decode(file.read_bytes(), at_least=(256, 256)) for file in files]
    pixels = [np.asarray(image.resize((side, side))) if side else embedder.prepare(image) for image in images]
    return Pictures(folder.name, np.stack(pixels), np.array([file.parent.name for file in files]))


def _features(forward: Callable[..., Features], pixels: NDArray[np.uint8]) -> Features:
    return np.concatenate([forward(pixels[start : start + CHUNK]) for start in range(0, len(pixels), CHUNK)])


def _rate(forward: Callable[..., Features], pixels: NDArray[np.uint8]) -> float:
    """Return pictures in a second of a core's own time, which other work on the machine changes little."""
    started = time.process_time()
    _features(forward, pixels)
    return len(pixels) / (time.process_time() - started)


def _print_table(pictures: Pictures, forwards: dict[str, Callable[..., Features]]) -> None:
    print(f"\n{len(pictures.pixels)} pictures of {pictures.name}")
    print("| | least cosine | recall@10 | p@1 | p@5 | p@10 | k-means accuracy | pairs from 0.95 on, other |")
    print("|---|---|---|---|---|---|---|---|")
    truth = unit_rows(_features(forwards[ONNX_RUNTIME], pictures.pixels))
    _print_row(ONNX_RUNTIME, pictures, truth, truth)
    for name, forward in forwards.items():
        if name == ONNX_RUNTIME:
            continue
        vectors = unit_rows(_features(forward, pictures.pixels))
        _print_row(name, pictures, vectors, truth)
        if name != OPENVINO:
            mixed = np.where(np.arange(len(vectors))[:, None] % 2, vectors, truth)
            _print_row(f"{name}, mixed with float32", pictures, mixed, truth)


def _print_row(name: str, pictures: Pictures, vectors: Features, truth: Features) -> None:
    found, right = _neighbours(vectors), _neighbours(truth)
    recall = np.mean([len(np.intersect1d(one, other)) / 10 for one, other in zip(found, right, strict=True)])
    same = pictures.labels[found] == pictures.labels[:, None]
    precisions = [float(same[:, :k].mean()) for k in (1, 5, 10)]
    cosines = np.sum(vectors * truth, axis=1)
    pairs, others = _near(vectors), _near(truth)
    figures = [f"{cosines.min():.4f}", f"{recall:.3f}", *(f"{precision:.3f}" for precision in precisions)]
    figures += [f"{_accuracy(vectors, pictures.labels):.3f}", f"{others.sum()}, {(pairs != others).sum()}"]
    print(f"| {name} | {' | '.join(figures)} |", flush=True)


def _neighbours(vectors: Features) -> NDArray[np.int64]:
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1)[:, :10]


def _near(vectors: Features) -> NDArray[np.bool_]:
    return np.triu(vectors @ vectors.T >= NEAR_DUPLICATES, k=1)


def _accuracy(vectors: Features, labels: NDArray[np.str_]) -> float:
    """Return the median part of the pictures whose cluster is matched to their label, over five seeds."""
    from scipy.optimize import linear_sum_assignment
    from sklearn.cluster import KMeans

    names, numbers = np.unique(labels, return_inverse=True)
    found = []
    for seed in range(5):
        clusters = KMeans(len(names), n_init=10, random_state=seed).fit(vectors).labels_
        table = np.zeros((len(names), len(names)), np.int64)
        np.add.at(table, (clusters, numbers), 1)
        found.append(table[linear_sum_assignment(-table)].sum() / len(labels))
    return float(np.median(found))


def _quantized(network: Path, pixels: NDArray[np.uint8]) -> Any:
    """Return the network quantised after training by NNCF, ranges from some of the pixels, compiled."""
    sys.modules["openvino.tools.ovc"] = None  # type: ignore[assignment]  # NNCF would import it, and so its telemetry
    import nncf

    core = runtimes._core()
    model = core.read_model(network)
    model.reshape([CHUNK, *pixels.shape[1:]])
    some = pixels[:: max(len(pixels) // CALIBRATED_ON, 1)]
    chunks = [some[start : start + CHUNK] for start in range(0, len(some) - CHUNK + 1, CHUNK)]
    return core.compile_model(nncf.quantize(model, nncf.Dataset(chunks)), "CPU", runtimes._settings(OPENVINO_BF16))
