"""Running a network: torch on CUDA, on a CPU what `runtimes` has measured to be the fastest; one network for both.

A network is exported to ONNX once, checked against torch, and kept in the cache under the sha256 of its weights; from
then on a CPU needs neither torch nor the weight file. The runtimes there are faster than torch and open in under a
second, where importing torch and torchvision takes ten (docs/design.md has the figures and the command).
"""

import functools
import hashlib
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from indexes.devices import choose_device
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

    @functools.cached_property
    def _run(self) -> Callable[[Pixels], Features]:
        return self._on_cuda() if self.device.kind == "cuda" else self._on_cpu()

    def _on_cpu(self) -> Callable[[Pixels], Features]:
        try:
            return self._fastest()
        except Exception as error:  # onnxruntime has a dozen ways to say so
            if self.exported.exists():
                log.warning("%s is damaged (%s); it is made again", self.exported, error)
            log.info("preparing the network for this machine, once (half a minute); kept in %s", self.exported.parent)
            _require_folder(self.exported.parent)
            export(self.build(), self.exported, self.shape)
            return self._fastest()

    def _fastest(self) -> Callable[[Pixels], Features]:
        return runtimes.open_fastest(self.exported, self.precision, self.float32_layers).run

    def _on_cuda(self) -> Callable[[Pixels], Features]:
        import torch

        module = self.build()
        with _cuda_errors():
            module = module.cuda().half().to(memory_format=torch.channels_last)

        def run(pixels: Pixels) -> Features:
            with _cuda_errors(), torch.inference_mode():
                features = module(torch.from_numpy(pixels).pin_memory().cuda(non_blocking=True))
                return features.float().cpu().numpy()  # type: ignore[no-any-return]

        return run


@contextmanager
def _cuda_errors() -> Iterator[None]:
    """Say in one line, with the next step, what goes wrong on a GPU for want of memory or of code for it."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if "out of memory" in text:
            raise VecstoreError(
                "the GPU has no memory left for the network; end what else uses it, or choose --device cpu"
            ) from error
        if "no kernel image" in text:
            raise VecstoreError(
                "this torch has no code for this GPU; install a build that has "
                "(https://pytorch.org/get-started/locally), or choose --device cpu"
            ) from error
        raise


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
    if choose_device(device).kind == "cuda":
        return ON_CUDA
    networks = [part for _, part in spec.parts] or [spec]
    names = [
        runtimes.chosen(exported_path(network_key(part.name, part.version), part.weights_sha256), part.precision)
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
    import torch

    pixels = np.random.default_rng(0).integers(0, 256, (2, *shape, 3), np.uint8)
    with torch.inference_mode():
        truth = module(torch.from_numpy(pixels)).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        draft = Path(folder) / path.name
        _export_quietly(module, torch.from_numpy(pixels), draft)
        features = runtimes.run_session(runtimes.open_session(draft), pixels)
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
