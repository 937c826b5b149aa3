"""Which runtime a network runs in on a CPU: measured once for each machine and network, and kept in the cache.

Candidates are ONNX Runtime and OpenVINO in float32 and, for vectors in bf16 on a CPU that multiplies it, OpenVINO in
bf16. Every core takes pictures of its own through the whole network. A choice that cannot be read, or that was made on
another machine or by other versions, is measured again. This module knows no torch, no picture and no store.
"""

import functools
import importlib.metadata
import importlib.util
import json
import logging
import os
import platform
import queue
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from indexes.devices import Device
from vecstore.errors import BadInput

# Not under this module's name: what embedders log is told without --verbose too (cli/logs.py).
log = logging.getLogger("vecstore.runtimes")

Pixels = NDArray[np.uint8]
Features = NDArray[np.float32]
# Turns a chunk of at most CHUNK pictures into its features, on the core that it is given.
Forward = Callable[[Pixels], Features]

# Pictures that one core takes through the network at a time. OpenVINO is compiled for exactly as many, and the last
# chunk is filled up: with a fixed shape efficientnet-lite0 in bf16 made 476 pictures in a second of two cores' time,
# without one 312 to 373.
CHUNK = 4

FLOAT32, BF16 = "float32", "bf16"
PRECISIONS = ("auto", FLOAT32, BF16)
ONNX_RUNTIME, OPENVINO, OPENVINO_BF16 = "ONNX Runtime float32", "OpenVINO float32", "OpenVINO bf16"
NO_NETWORK = "no network"

# What an exported network calls its input.
PIXELS = "pixels"
# Each candidate is timed so often, in turns, over so many chunks. The least time of the processor counts, which other
# work on the machine changes least; Windows counts it in steps of 16 ms.
ROUNDS, CHUNKS = 4, 2
# Least cosine to ONNX Runtime's float32 features of random pixels with which a candidate is believed; 0.995 is usual
# for bf16 on noise, 0.9999999 for float32.
FAITHFUL = {OPENVINO: 0.99999, OPENVINO_BF16: 0.98}


def require_precision(asked: str) -> None:
    """Raise BadInput for a word that is no precision."""
    if asked not in PRECISIONS:
        raise BadInput(f"no precision is called {asked!r}; choose {', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]}")


def resolve(recorded: str | None, asked: str, device: Device, neighbours_stay: bool) -> str:
    """Return the precision of a network's vectors: what a store has recorded, else what is asked for.

    "auto" is bf16 on a CPU that multiplies it, for a network whose neighbours were measured to stay; else float32, and
    so on a GPU, where all networks run in half precision.
    Raises BadInput for a recorded one that this vecstore does not know.
    """
    if recorded is not None:
        if recorded not in (FLOAT32, BF16):
            raise BadInput(f"the store's vectors are in {recorded}, which this vecstore cannot make; use a newer one")
        return recorded
    if asked != "auto":
        return asked
    return BF16 if neighbours_stay and device.kind == "cpu" and multiplies_bf16() else FLOAT32


@dataclass(frozen=True)
class Choice:
    """What was measured. rates: pictures a second on one core, by runtime. crc32: of the compiled network's file."""

    runtime: str
    rates: dict[str, float]
    crc32: int | None = None


class Runtime:
    """A network that is ready to run. name: which runtime, and in which precision."""

    def __init__(self, name: str, forward: Forward) -> None:
        self.name = name
        self._forward = forward
        self._cores = ThreadPoolExecutor(os.cpu_count() or 1)

    def run(self, pixels: Pixels) -> Features:
        """Return (n, dim) float32 features, not normalised, of (n, height, width, 3) uint8 pixels."""
        # Each core runs pictures of its own through the whole network: dividing every layer among the cores instead
        # makes them wait for each other, and for the decoders, at every layer.
        chunks = (pixels[start : start + CHUNK] for start in range(0, len(pixels), CHUNK))
        return np.concatenate(list(self._cores.map(self._forward, chunks)))


def open_fastest(network: Path, precision: str, float32_layers: int) -> Runtime:
    """Return the exported network in the fastest runtime that this CPU has for a precision.

    float32_layers: how many of its first convolutions stay in float32 where the others are bf16. Measures for some
    seconds where no choice is on record. Raises what ONNX Runtime does for a network that it cannot read.
    """
    files = _Files(network, precision)
    choice = files.choice()
    if choice is None:
        return _measured(network, precision, float32_layers, files)
    log.info("%s runs in %s%s", network.stem, choice.runtime, _in_words(choice))
    return Runtime(choice.runtime, _opened(choice, network, float32_layers, files))


def chosen(network: Path, precision: str) -> str | None:
    """Return the name of the runtime that is on record for a network on this machine, None before its first run."""
    choice = _Files(network, precision).choice()
    return choice.runtime if choice else None


def rate(network: Path, precision: str) -> float | None:
    """Return the pictures a second of one core that were last measured on this machine, None where nothing was."""
    choice = _Files(network, precision).choice()
    found = choice.rates.get(choice.runtime) if choice else None
    return None if found is None else round(found, 1)


def keep_rate(path: Path, pictures_a_second: float) -> None:
    """Keep what was measured of an embedder without a network, under a path that no network has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _Files(path, FLOAT32).keep(Choice(NO_NETWORK, {NO_NETWORK: pictures_a_second}))


def forget(network: Path, precision: str) -> None:
    """Let the next opening of a network measure its runtimes again."""
    _Files(network, precision).forget()


def _in_words(choice: Choice) -> str:
    return f" ({', '.join(f'{name} {rate:.1f}' for name, rate in choice.rates.items())} pictures/s on one core)"


def _measured(network: Path, precision: str, float32_layers: int, files: "_Files") -> Runtime:
    """Open every candidate, keep the fastest, and put the choice on record."""
    log.info("measuring which runtime is the fastest on %s, once", cpu_name())
    forwards: dict[str, Forward] = {ONNX_RUNTIME: _onnx_runtime(network)}
    compiled = {}
    for name in _openvino_candidates(precision):
        try:
            compiled[name] = _compile(network, name, float32_layers)
            forwards[name] = _openvino(compiled[name])
        except RuntimeError as error:  # a model of the user's own may have operators that it does not know
            log.info("%s is left out: it cannot run this network (%s)", name, str(error).splitlines()[0])
    pixels = _noise(network)
    forwards = _faithful(forwards, pixels)
    rates = _rates(forwards, pixels)
    name = max(rates, key=lambda name: rates[name])
    crc32 = files.keep_compiled(compiled[name]) if name in compiled else None
    choice = Choice(name, rates, crc32)
    files.keep(choice)
    log.info("%s runs in %s%s", network.stem, name, _in_words(choice))
    return Runtime(name, forwards[name])


def _openvino_candidates(precision: str) -> list[str]:
    if not has_openvino():
        log.info("OpenVINO is not installed, so ONNX Runtime is not compared with it")
        return []
    return [OPENVINO, *([OPENVINO_BF16] if precision == BF16 and multiplies_bf16() else [])]


def _noise(network: Path) -> Pixels:
    """Return a chunk of random pictures of the size that the exported network takes."""
    height, width = open_session(network).get_inputs()[0].shape[1:3]
    return np.random.default_rng(0).integers(0, 256, (CHUNK, height, width, 3), np.uint8)


def _faithful(forwards: dict[str, Forward], pixels: Pixels) -> dict[str, Forward]:
    """Leave out the candidates whose features are not ONNX Runtime's, within what their arithmetic can explain."""
    truth = forwards[ONNX_RUNTIME](pixels)
    kept = {ONNX_RUNTIME: forwards[ONNX_RUNTIME]}
    for name, forward in forwards.items():
        found = forward(pixels)
        lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(truth, axis=1)
        cosine = float(np.min(np.sum(found * truth, axis=1) / np.where(lengths > 0, lengths, 1)))
        if cosine >= FAITHFUL.get(name, 0):
            kept[name] = forward
        else:
            log.warning("%s is left out: its features differ from ONNX Runtime's (cosine %.4f)", name, cosine)
    return kept


def _rates(forwards: dict[str, Forward], pixels: Pixels) -> dict[str, float]:
    least = dict.fromkeys(forwards, float("inf"))
    for _ in range(ROUNDS):
        for name, forward in forwards.items():
            started = time.process_time()
            for _ in range(CHUNKS):
                forward(pixels)
            least[name] = min(least[name], time.process_time() - started)
    return {name: CHUNKS * len(pixels) / max(seconds, 1e-3) for name, seconds in least.items()}


def _opened(choice: Choice, network: Path, float32_layers: int, files: "_Files") -> Forward:
    if choice.runtime == ONNX_RUNTIME:
        return _onnx_runtime(network)
    compiled = files.compiled(choice)
    if compiled is None:
        compiled = _compile(network, choice.runtime, float32_layers)
        files.keep(Choice(choice.runtime, choice.rates, files.keep_compiled(compiled)))
    return _openvino(compiled)


# ONNX Runtime


def open_session(path: Path) -> Any:
    """Return an ONNX Runtime session that keeps to the core that calls it; several may at once."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Nothing short of the end: its warnings are about details of the graph, and its errors are raised too.
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run_session(session: Any, values: NDArray[Any], name: str = PIXELS) -> Features:
    """Return an exported network's features. name: of its input."""
    return session.run(None, {name: values})[0]  # type: ignore[no-any-return]


def _onnx_runtime(network: Path) -> Forward:
    return functools.partial(run_session, open_session(network))


# OpenVINO

IN_FLOAT32 = {"name": "DisablePrecisionConversion", "version": "0", "value": "dynamic:f16,bf16"}

# `functools.cache` lets two threads make two of a thing at once; of OpenVINO's core there must be one alone.
_importing = threading.RLock()


def has_openvino() -> bool:
    return importlib.util.find_spec("openvino") is not None


@functools.cache
def _library() -> Any:
    """Return OpenVINO, imported without its converter, which is what tells Google Analytics of each import.

    https://github.com/openvinotoolkit/openvino/blob/2026.4.1/tools/ovc/openvino/tools/ovc/__init__.py
    """
    converter = "openvino.tools.ovc"
    with _importing:
        absent = sys.modules.get(converter) is None
        if absent:
            sys.modules[converter] = None  # type: ignore[assignment]  # "cannot be imported", which OpenVINO allows for
        try:
            import openvino
        finally:
            if absent:
                del sys.modules[converter]
    return openvino


def _core() -> Any:
    with _importing:
        return _only_core()


@functools.cache
def _only_core() -> Any:
    return _library().Core()


@functools.cache
def multiplies_bf16() -> bool:
    """Say whether this CPU multiplies bf16 itself."""
    return has_openvino() and "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _settings(name: str) -> dict[str, Any]:
    cores = os.cpu_count() or 1
    return {
        "INFERENCE_PRECISION_HINT": "bf16" if name == OPENVINO_BF16 else "f32",
        # A core for each picture; where they run is the system's choice, or two processes would share the same cores.
        "NUM_STREAMS": cores,
        "INFERENCE_NUM_THREADS": cores,
        "ENABLE_CPU_PINNING": False,
    }


def _compile(network: Path, name: str, float32_layers: int) -> Any:
    model = _in_chunks(_core().read_model(network))
    if name == OPENVINO_BF16 and float32_layers:
        model = _with_float32_layers(model, float32_layers)
    return _core().compile_model(model, "CPU", _settings(name))


def _with_float32_layers(model: Any, n_layers: int) -> Any:
    """Return the model with its first convolutions kept in float32 where the others are bf16.

    That is an attribute of a layer which OpenVINO's Python cannot set, but reads from a file:
    https://github.com/openvinotoolkit/openvino/blob/2026.4.1/src/common/transformations/include/transformations/rt_info
    """
    layers = [node.friendly_name for node in model.get_ordered_ops() if node.get_type_name().endswith("Convolution")]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.xml"
        _library().save_model(model, file, compress_to_fp16=False)
        tree = ElementTree.parse(file)
        for layer in tree.iter("layer"):
            if layer.get("name") in layers[:n_layers]:
                attributes = ElementTree.Element("rt_info")
                ElementTree.SubElement(attributes, "attribute", IN_FLOAT32)
                layer.insert(1, attributes)  # behind the layer's own data, where the format wants it
        tree.write(file)
        return _in_chunks(_core().read_model(file))  # reads the weights, which are behind the file, into memory


def _in_chunks(model: Any) -> Any:
    """Return the model, made to take exactly CHUNK pictures of its own size."""
    _, height, width, channels = model.input(0).get_partial_shape()
    model.reshape([CHUNK, height.get_length(), width.get_length(), channels.get_length()])
    return model


def _openvino(compiled: Any) -> Forward:
    # All requests are made here and live as long as the network: made by each thread for itself, they would be made
    # while others run, and end with their thread while the next network is compiled.
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for _ in range(os.cpu_count() or 1):
        requests.put(compiled.create_infer_request())

    def forward(pixels: Pixels) -> Features:
        missing = CHUNK - len(pixels)
        if missing:
            pixels = np.concatenate([pixels, np.zeros((missing, *pixels.shape[1:]), np.uint8)])
        request = requests.get()
        try:
            features = request.infer([np.ascontiguousarray(pixels)], share_inputs=True)[0]
            return np.array(features[: CHUNK - missing])
        finally:
            requests.put(request)

    # Before other threads do: two first calls at once wait for each other for ever (OpenVINO 2026.4, which makes its
    # table of NumPy's types at the first call, while it holds Python's lock).
    forward(np.zeros(tuple(compiled.input(0).shape), np.uint8))
    return forward


# The machine, and what is kept of it


@functools.cache
def cpu_name() -> str:
    return cpu_lines().get("model name") or platform.processor() or platform.machine()


def cpu_lines() -> dict[str, str]:
    """Return what Linux says of the first processor; nothing elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace").partition("\n\n")[0]
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


@functools.cache
def _machine() -> dict[str, Any]:
    """Return all that a choice depends on but the network."""
    versions = {name: _version(name) for name in ("onnxruntime", "openvino")}
    return {"cpu": cpu_name(), "flags": cpu_lines().get("flags", ""), "cores": os.cpu_count(), **versions}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


class _Files:
    """The choice for one network in one precision on this machine, and the network as its runtime has compiled it."""

    def __init__(self, network: Path, precision: str) -> None:
        machine = sha256(json.dumps(_machine(), sort_keys=True).encode()).hexdigest()[:8]
        self._choice = network.with_name(f"{network.stem}-{precision}-{machine}.json")
        self._compiled = self._choice.with_suffix(".openvino")

    def choice(self) -> Choice | None:
        try:
            values = json.loads(self._choice.read_bytes())
            choice = Choice(str(values["runtime"]), dict(values["rates"]), values["crc32"])
        except (OSError, ValueError, TypeError, KeyError):
            return None
        known = {ONNX_RUNTIME, NO_NETWORK, *((OPENVINO, OPENVINO_BF16) if has_openvino() else ())}
        return choice if choice.runtime in known else None

    def keep(self, choice: Choice) -> None:
        _write_whole(self._choice, json.dumps({**vars(choice), "machine": _machine()}).encode())

    def forget(self) -> None:
        self._choice.unlink(missing_ok=True)

    def keep_compiled(self, compiled: Any) -> int:
        content = compiled.export_model().getvalue()
        _write_whole(self._compiled, content)
        return zlib.crc32(content)

    def compiled(self, choice: Choice) -> Any:
        """Return the compiled network, None where its file is damaged: OpenVINO would compute on with what is there."""
        try:
            content = self._compiled.read_bytes()
        except OSError:
            return None
        if zlib.crc32(content) != choice.crc32:
            log.warning("%s is damaged; it is made again", self._compiled)
            return None
        try:
            return _core().import_model(content, "CPU", _settings(choice.runtime))
        except RuntimeError as error:  # of another build of OpenVINO that has the same version
            log.warning("%s cannot be used (%s); it is made again", self._compiled, str(error).splitlines()[0])
            return None


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file of the cache, whole or not at all; without room for it the next run does its work again."""
    try:
        with _draft(path) as draft:
            draft.write_bytes(content)
    except OSError as error:
        log.warning("%s cannot be kept: %s", path, error.strerror)


@contextmanager
def _draft(path: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".draft-") as folder:
        draft = Path(folder) / path.name
        yield draft
        with open(draft, "rb") as file:
            os.fsync(file.fileno())
        os.replace(draft, path)
