"""Running a network: torch on CUDA, on a CPU what `runtimes` has measured to be the fastest; one network for both.

A network is exported to ONNX once, checked against torch, and kept in the cache under the sha256 of its weights; from
then on a CPU needs neither torch nor the weight file. The runtimes there are faster than torch and open in under a
second, where importing torch and torchvision takes ten (docs/design.md has the figures and the command).
"""

import hashlib
import logging
import os
import re
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexes.devices import choose_device, gpu_errors
from vecstore.embedders import runtimes
from vecstore.embedders.embedder import EmbedderSpec, unit_rows
from vecstore.embedders.runtimes import Features, Pixels
from vecstore.errors import VecstoreError
from vecstore.sources.paths import cache_dir
from vecstore.storage.durable_files import move_into_place

log = logging.getLogger(__name__)

CUDA_BATCH = 128
# (height, width) of the pictures that most networks take.
SHAPE = (224, 224)
# What stands before the file in the name of a model that is one: these run on the CPU, whatever the device.
ONNX = "onnx:"
ON_CUDA = "torch, half precision"
# Largest relative difference allowed between the exported network and torch; 5e-7 is usual.
EXPORT_TOLERANCE = 1e-5


class Network:
    """A network that turns (n, height, width, 3) uint8 pixels into (n, dim) features.

    build: makes the torch module, in eval mode, from the weights; called only for an export or on CUDA.
    key: names network and version; with the weights' sha256 it names the exported file.
    precision: on a CPU, "float32" or "bf16". float32_layers: first convolutions that stay in float32 beside bf16.
    shape: (height, width) of the pictures that it takes; an exported network says it itself.
    """

    def __init__(
        self,
        key: str,
        weights_sha256: str,
        build: Callable[[], Any],
        device: str,
        precision: str = runtimes.FLOAT32,
        float32_layers: int = 0,
        shape: tuple[int, int] = SHAPE,
    ) -> None:
        self.build = build
        self.device = choose_device(device)
        self.exported = exported_path(key, weights_sha256)
        self.precision = precision
        self.float32_layers = float32_layers
        self.shape = shape
        self._opening = threading.Lock()
        self._opened: Callable[[Pixels], Features] | None = None

    @property
    def batch_size(self) -> int:
        return CUDA_BATCH if self.device.kind == "cuda" else runtimes.CHUNK * (os.cpu_count() or 1)

    def load(self) -> None:
        """Make the network ready to run, if it is not. May take half a minute the first time (see the module)."""
        _ = self._run

    def features(self, pixels: Pixels) -> Features:
        """Return (n, dim) float32 features, not normalised, of (n, height, width, 3) uint8 pixels."""
        return self._run(pixels)

    def embed(self, prepared: Sequence[Pixels]) -> Features:
        return unit_rows(self.features(np.stack(list(prepared))))

    @property
    def _run(self) -> Callable[[Pixels], Features]:
        with (
            self._opening
        ):  # two batches are embedded at once; a cached_property would be made twice from Python 3.12 on
            if self._opened is None:
                self._opened = self._on_cuda() if self.device.kind == "cuda" else self._on_cpu()
            return self._opened

    def _on_cpu(self) -> Callable[[Pixels], Features]:
        try:
            return self._fastest()
        except Exception as error:  # onnxruntime has a dozen ways to say so
            if self.exported.exists():
                log.warning("%s is damaged (%s); it is made again", self.exported, error)
            log.info("preparing the network for this machine, once (half a minute); kept in %s", self.exported.parent)
            require_folder(self.exported.parent)
            self.export()
            return self._fastest()

    def export(self) -> None:
        """Write the network to `exported`, checked."""
        export(self.build(), self.exported, self.shape)

    def _fastest(self) -> Callable[[Pixels], Features]:
        return runtimes.open_fastest(self.exported, self.precision, self.float32_layers).run

    def _on_cuda(self) -> Callable[[Pixels], Features]:
        import torch

        module = self.build()
        where = f"cuda:{self.device.gpus[0]}"
        with _cuda_errors():
            module = module.to(where).half().to(memory_format=torch.channels_last)

        def run(pixels: Pixels) -> Features:
            with _cuda_errors(), torch.inference_mode():
                features = module(torch.from_numpy(pixels).pin_memory().to(where, non_blocking=True))
                return features.float().cpu().numpy()  # type: ignore[no-any-return]

        return run


def _cuda_errors() -> AbstractContextManager[None]:
    return gpu_errors("torch", "https://pytorch.org/get-started/locally")


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

    def feature_lengths(self, prepared: Sequence[Pixels]) -> Features:
        """Return the lengths of the features before `embed` makes them 1, (n,) float32."""
        return np.asarray(np.linalg.norm(self.network.features(np.stack(list(prepared))), axis=1), np.float32)


def exported_path(key: str, weights_sha256: str) -> Path:
    return cache_dir() / "networks" / f"{key}-{weights_sha256}.onnx"


def runtime_of(spec: EmbedderSpec, device: str) -> str | None:
    """Return what runs the networks of a spec on this machine; None where nothing does, or has not yet been chosen."""
    if not spec.weights:
        return None
    on_cuda = choose_device(device).kind == "cuda"
    networks = [part for _, part in spec.parts] or [spec]
    names = [
        ON_CUDA
        if on_cuda and not part.name.startswith(ONNX)
        else runtimes.chosen(exported_path(_recorded_key(part), part.weights_sha256), part.precision)
        for part in networks
        if part.weights_sha256
    ]
    return ", ".join(sorted({name for name in names if name})) or None


def network_key(name: str, version: int) -> str:
    """Return the start of the exported file's name; of a name that no file can have, with a hash of it."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    if plain != name:
        plain = f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return f"{plain}-v{version}"


def described_key(name: str, version: int, preprocessing: str) -> str:
    """Return the start of the exported file's name where the user says how its pictures are prepared."""
    return f"{network_key(name, version)}-{hashlib.sha256(preprocessing.encode()).hexdigest()[:8]}"


def _recorded_key(spec: EmbedderSpec) -> str:
    if spec.name.startswith(ONNX):
        return described_key(spec.name, spec.version, spec.preprocessing)
    return network_key(spec.name, spec.version)


def is_exported(key: str, weights_sha256: str) -> bool:
    return exported_path(key, weights_sha256).exists()


def with_pixels_in(backbone: Any, mean: Sequence[float], std: Sequence[float]) -> Any:
    """Return a torch module from (n, height, width, 3) uint8 RGB pixels to the backbone's (n, dim) features.

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


def export(module: Any, path: Path, shape: tuple[int, int] = SHAPE) -> None:
    """Write the module as ONNX to `path`, whole or not at all, after checking it against torch on random pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, *shape, 3), np.uint8)
    export_checked(module, path, runtimes.PIXELS, pixels)


def export_checked(module: Any, path: Path, name: str, values: NDArray[Any]) -> None:
    """Write the module as ONNX to `path`, whole or not at all, after checking it against torch on these values.

    name: of the input, in the ONNX file. values: (2, ...); the exported network takes any number of rows.
    """
    import torch

    with torch.inference_mode():
        truth = module(torch.from_numpy(values)).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        draft = Path(folder) / path.name
        _export_quietly(module, torch.from_numpy(values), draft, name)
        features = runtimes.run_session(runtimes.open_session(draft), values, name)
        error = float(np.abs(features - truth).max() / np.abs(truth).max())
        if not error <= EXPORT_TOLERANCE:
            raise VecstoreError(f"the exported network differs from torch by {error:.1e}; please report this")
        move_into_place(draft, path)


def require_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise VecstoreError(
            f"networks cannot be kept in {path}: {error.strerror}; name a folder for them with $VECSTORE_CACHE"
        ) from error


def _export_quietly(module: Any, values: Any, path: Path, name: str) -> None:
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
                (values,),
                str(path),
                input_names=[name],
                output_names=["features"],
                dynamic_shapes=({0: torch.export.Dim("n")},),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    finally:
        exporter_log.setLevel(level)
