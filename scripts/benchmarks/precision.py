"""Cheaper arithmetic on the CPU: efficientnet-lite0 in int8 beside float32, its speed and its neighbours."""

import functools
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from scripts.benchmarks.common import REAL_PHOTOS, describe_machine, print_ratios, rate_of, rounds
from vecstore.embedders.embedder import unit_rows
from vecstore.embedders.network import CPU_CHUNK, open_session
from vecstore.embedders.registry import open_embedder
from vecstore.sources import decoding

TIMED = 200


def main(
    source: Annotated[Path, typer.Option(help="A folder of JPEGs.", exists=True)] = REAL_PHOTOS.parent / "trashnet2521",
    calibrate_on: Annotated[int, typer.Option(help="Pictures that the ranges of int8 are taken from.")] = 96,
    n_rounds: Annotated[int, typer.Option("--rounds")] = 3,
) -> None:
    """Print pictures/s of one core, the network alone and from the file on, and recall@10 against float32."""
    describe_machine("onnxruntime")
    embedder: Any = open_embedder("efficientnet-lite0")
    embedder.load()
    files = sorted(source.rglob("*.jpg"))
    pixels = np.stack([_prepared(embedder, file) for file in files])
    with tempfile.TemporaryDirectory() as scratch:
        quantized = Path(scratch) / "int8.onnx"
        _quantize(embedder.network.exported, pixels[:: len(pixels) // calibrate_on], quantized)
        sessions = {"float32": open_session(embedder.network.exported), "int8": open_session(quantized)}
    vectors = {name: unit_rows(_features(session, pixels)) for name, session in sessions.items()}
    cosines = np.sum(vectors["int8"] * vectors["float32"], axis=1)
    agreement = _recall(vectors["int8"], vectors["float32"], k=10)
    print(
        f"{len(files)} pictures of {source.name}: recall@10 {agreement:.3f}, cosine with float32 {cosines.mean():.3f}"
    )
    for what, from_file in (("the network alone", False), ("from the file on", True)):
        print(what)
        runs = {
            name: functools.partial(_rate, embedder, session, files[:TIMED] if from_file else pixels[:TIMED])
            for name, session in sessions.items()
        }
        print_ratios(rounds(runs, n_rounds), "int8")


def _prepared(embedder: Any, file: Path) -> NDArray[np.uint8]:
    return embedder.prepare(decoding.decode(file.read_bytes(), at_least=embedder.input_size))  # type: ignore[no-any-return]


def _quantize(network: Path, pixels: NDArray[np.uint8], quantized: Path) -> None:
    """Write the network with its convolutions in int8: a scale for each channel, ranges as the pixels have them."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.chunks: Iterator[dict[str, Any]] = ({"pixels": chunk} for chunk in _chunks(pixels))

        def get_next(self) -> dict[str, Any] | None:
            return next(self.chunks, None)

    logging.getLogger().setLevel(logging.ERROR)  # onnxruntime's advice goes to the root logger
    prepared = quantized.with_name("prepared.onnx")
    quant_pre_process(str(network), str(prepared), skip_symbolic_shape=True)
    quantization.quantize_static(
        str(prepared),
        str(quantized),
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        per_channel=True,
        op_types_to_quantize=["Conv", "Add", "Clip"],
    )


def _chunks(pixels: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    return (pixels[start : start + CPU_CHUNK] for start in range(0, len(pixels), CPU_CHUNK))


def _features(session: Any, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.concatenate([session.run(None, {"pixels": chunk})[0] for chunk in _chunks(pixels)])


def _rate(embedder: Any, session: Any, pictures: list[Path] | NDArray[np.uint8]) -> float:
    def work() -> None:
        pixels = np.stack([_prepared(embedder, p) for p in pictures]) if isinstance(pictures, list) else pictures
        _features(session, pixels)

    return rate_of(len(pictures), work)


def _recall(found: NDArray[np.float32], truth: NDArray[np.float32], k: int) -> float:
    """Return the mean part of each row's k nearest others among `truth` that are so among `found` too."""
    nearest = []
    for rows in (found, truth):
        scores = rows @ rows.T
        np.fill_diagonal(scores, -np.inf)
        nearest.append(np.argpartition(-scores, k, axis=1)[:, :k])
    return float(np.mean([len(np.intersect1d(one, other)) / k for one, other in zip(*nearest, strict=True)]))
