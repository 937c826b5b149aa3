"""Running a network: ONNX Runtime on a CPU, torch on CUDA, one network for both.

A network is exported to ONNX once, checked against torch, and kept in the cache under the sha256 of its weights; from
then on a CPU needs neither torch nor the weight file. ONNX Runtime is faster than torch on a CPU and opens in under a
second, where importing torch and torchvision takes ten (docs/design.md has the figures and the command).
"""

import functools
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexes.devices import choose_device
from vecstore.embedders.embedder import EmbedderSpec, unit_rows
from vecstore.errors import VecstoreError
from vecstore.sources.paths import cache_dir
from vecstore.storage.durable_files import move_into_place

log = logging.getLogger(__name__)

Pixels = NDArray[np.uint8]
Features = NDArray[np.float32]

INPUT_SIDE = 224
# Pictures that one core takes through the network at a time.
CPU_CHUNK = 4
CUDA_BATCH = 128
# Largest relative difference allowed between the exported network and torch; 5e-7 is usual.
EXPORT_TOLERANCE = 1e-5


class Network:
    """A network that turns (n, 224, 224, 3) uint8 pixels into (n, dim) features.

    build: makes the torch module, in eval mode, from the weights; called only for an export or on CUDA.
    key: names network and version; with the weights' sha256 it names the exported file.
    """

    def __init__(self, key: str, weights_sha256: str, build: Callable[[], Any], device: str) -> None:
        self.build = build
        self.device = choose_device(device)
        self.exported = exported_path(key, weights_sha256)

    @property
    def batch_size(self) -> int:
        return CUDA_BATCH if self.device.kind == "cuda" else CPU_CHUNK * (os.cpu_count() or 1)

    def load(self) -> None:
        """Make the network ready to run, if it is not. May take half a minute the first time (see the module)."""
        _ = self._run

    def features(self, pixels: Pixels) -> Features:
        """Return (n, dim) float32 features, not normalised, of (n, 224, 224, 3) uint8 pixels."""
        return self._run(pixels)

    def embed(self, prepared: Sequence[Pixels]) -> Features:
        return unit_rows(self.features(np.stack(list(prepared))))

    @functools.cached_property
    def _run(self) -> Callable[[Pixels], Features]:
        return self._on_cuda() if self.device.kind == "cuda" else self._on_cpu()

    def _on_cpu(self) -> Callable[[Pixels], Features]:
        try:
            session = open_session(self.exported)
        except Exception as error:  # onnxruntime has a dozen ways to say so
            if self.exported.exists():
                log.warning("%s is damaged (%s); it is made again", self.exported, error)
            log.info("preparing the network for this machine, once (half a minute); kept in %s", self.exported.parent)
            _require_folder(self.exported.parent)
            export(self.build(), self.exported)
            session = open_session(self.exported)
        # Each core runs pictures of its own through the whole network: dividing every layer among the cores instead
        # makes them wait for each other, and for the decoders, at every layer.
        cores = ThreadPoolExecutor(os.cpu_count() or 1)

        def run(pixels: Pixels) -> Features:
            chunks = (pixels[start : start + CPU_CHUNK] for start in range(0, len(pixels), CPU_CHUNK))
            return np.concatenate(list(cores.map(functools.partial(_run_session, session), chunks)))

        return run

    def _on_cuda(self) -> Callable[[Pixels], Features]:
        import torch

        module = self.build().cuda().half().to(memory_format=torch.channels_last)

        def run(pixels: Pixels) -> Features:
            with torch.inference_mode():
                features = module(torch.from_numpy(pixels).pin_memory().cuda(non_blocking=True))
                return features.float().cpu().numpy()  # type: ignore[no-any-return]

        return run


class NetworkEmbedder:
    """What the embedders that are one network have in common; each prepares pictures in its own way.

    resized_side: of the square that pictures are scaled down to, before the middle is taken.
    """

    def __init__(self, network: Network, spec: EmbedderSpec, resized_side: int) -> None:
        self.network = network
        self.spec = spec
        self.input_size = (resized_side, resized_side)

    @property
    def batch_size(self) -> int:
        return self.network.batch_size

    def load(self) -> None:
        self.network.load()

    def embed(self, prepared: Sequence[Pixels]) -> Features:
        return self.network.embed(prepared)


def exported_path(key: str, weights_sha256: str) -> Path:
    return cache_dir() / "networks" / f"{key}-{weights_sha256}.onnx"


def is_exported(key: str, weights_sha256: str) -> bool:
    return exported_path(key, weights_sha256).exists()


def with_pixels_in(backbone: Any, mean: Sequence[float], std: Sequence[float]) -> Any:
    """Return a torch module from (n, 224, 224, 3) uint8 RGB pixels to the backbone's (n, dim) features.

    Channel c of the backbone's input is (pixel / 255 - mean[c]) / std[c]. Normalising inside the network keeps
    what is queued and copied at one byte a value.
    """
    import torch

    class Normalised(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = backbone
            self.mean = torch.nn.Buffer(torch.tensor(list(mean)).view(1, 3, 1, 1))
            self.std = torch.nn.Buffer(torch.tensor(list(std)).view(1, 3, 1, 1))

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            values = pixels.permute(0, 3, 1, 2).to(self.mean.dtype) / 255
            return self.backbone((values - self.mean) / self.std)  # type: ignore[no-any-return]

    return Normalised().eval()


def export(module: Any, path: Path) -> None:
    """Write the module as ONNX to `path`, whole or not at all, after checking it against torch on random pixels."""
    import torch

    pixels = np.random.default_rng(0).integers(0, 256, (2, INPUT_SIDE, INPUT_SIDE, 3), np.uint8)
    with torch.inference_mode():
        truth = module(torch.from_numpy(pixels)).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        draft = Path(folder) / path.name
        _export_quietly(module, torch.from_numpy(pixels), draft)
        features = _run_session(open_session(draft), pixels)
        error = float(np.abs(features - truth).max() / np.abs(truth).max())
        if not error <= EXPORT_TOLERANCE:
            raise VecstoreError(f"the exported network differs from torch by {error:.1e}; please report this")
        move_into_place(draft, path)


def _require_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise VecstoreError(
            f"networks cannot be kept in {path}: {error.strerror}; name a folder for them with $VECSTORE_CACHE"
        ) from error


def _export_quietly(module: Any, pixels: Any, path: Path) -> None:
    import warnings

    import torch

    exporter_log = logging.getLogger("torch.onnx")
    level = exporter_log.level
    exporter_log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter's own deprecated calls
            torch.onnx.export(
                module,
                (pixels,),
                str(path),
                input_names=["pixels"],
                output_names=["features"],
                dynamic_shapes=({0: torch.export.Dim("n")},),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    finally:
        exporter_log.setLevel(level)


def open_session(path: Path) -> Any:
    """Return an ONNX Runtime session that keeps to the core that calls it; several may at once."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only; its warnings are about graph details nobody can act on
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _run_session(session: Any, pixels: Pixels) -> Features:
    return session.run(None, {"pixels": pixels})[0]  # type: ignore[no-any-return]
