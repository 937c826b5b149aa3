"""`onnx:FILE`: any picture model in an ONNX file, run as the other networks are, without its library and without torch.

A store records the file's name and sha256 and how pictures are prepared for it. What is made of the file is kept in
the cache: from then on the store needs neither the file nor its description.
"""

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from indexes.devices import choose_device
from vecstore.embedders.embedder import EmbedderOptions, EmbedderSpec
from vecstore.embedders.network import ONNX, Network, NetworkEmbedder, described_key, exported_path
from vecstore.embedders.onnx_description import Description, description_path, read_description
from vecstore.embedders.preprocessing import Preprocessing
from vecstore.embedders.runtimes import resolve
from vecstore.errors import BadInput, VecstoreError, WeightsUnavailable
from vecstore.storage.durable_files import replacing_in_cache

log = logging.getLogger(__name__)

VERSION = 1
# Nobody has measured what bf16 changes for a model of the user's own.
NEIGHBOURS_STAY = False


def open_onnx(name: str, options: EmbedderOptions) -> "OnnxEmbedder":
    return OnnxEmbedder(name, options)


def file_of(part: str) -> tuple[str, Path]:
    """Return the name that a store records of `onnx:FILE`, and the file. The name is the file's, without its folder."""
    path = Path(part.removeprefix(ONNX)).expanduser()
    return ONNX + re.sub(r"[^\w.-]", "_", path.name), Path(os.path.abspath(path))


class OnnxEmbedder(NetworkEmbedder):
    """A model of the user's own."""

    def __init__(self, name: str, options: EmbedderOptions) -> None:
        """Resolve the model: the file asked for, or what is kept of the one that a store has recorded."""
        file = options.files.get(name) or options.weights
        if options.device.startswith("cuda"):
            log.warning("%s runs on the CPU: ONNX models are not run on GPUs here", name)
        if file is not None:
            sha256, words, facts = _of_file(name, file)
        else:
            sha256, words, facts = _recorded(name, options)
        self.preprocessing = Preprocessing.from_dict(facts["preprocessing"])
        precision = resolve(options.recorded.get(name), options.precision, choose_device("cpu"), NEIGHBOURS_STAY)
        network = _FromFile(
            described_key(name, VERSION, words),
            sha256,
            lambda to: _write(name, sha256, file, to),
            precision,
            self.preprocessing.size,
        )
        spec = EmbedderSpec(name, VERSION, sha256, facts["dim"], words, precision=precision)
        super().__init__(network, spec, max(self.preprocessing.scaled))

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        return self.preprocessing.pixels(image)


class _FromFile(Network):
    """A network that is made of an ONNX file, not of torch's. write: to this path."""

    def __init__(
        self, key: str, sha256: str, write: Callable[[Path], None], precision: str, shape: tuple[int, int]
    ) -> None:
        super().__init__(key, sha256, lambda: None, "cpu", precision, shape=shape)
        self._write = write

    def export(self) -> None:
        self._write(self.exported)


def _of_file(name: str, file: Path) -> tuple[str, str, dict[str, Any]]:
    """Return the file's sha256, its preprocessing in words, and what is kept of it; make its network if need be."""
    if not file.is_file():
        raise BadInput(f"no model file at {file}")
    from vecstore.embedders import onnx_graph

    description = read_description(description_path(file))
    model = onnx_graph.read_model(file, description)
    sha256, words = _sha256(file), model.in_words
    facts = {"name": name, "dim": model.dim, "preprocessing": model.preprocessing.to_dict()}
    exported = exported_path(described_key(name, VERSION, words), sha256)
    if not exported.exists() or _kept(exported) != facts:
        if description == Description():
            log.info("%s is not there, so pictures are prepared so: %s", description_path(file), words)
        onnx_graph.write_network(model, exported)
        _keep(exported, facts)
    return sha256, words, facts


def _recorded(name: str, options: EmbedderOptions) -> tuple[str, str, dict[str, Any]]:
    sha256, words = options.expected.get(name), options.described.get(name, "")
    if sha256 is None:
        raise BadInput(f"no model file at {name.removeprefix(ONNX)}")
    facts = _kept(exported_path(described_key(name, VERSION, words), sha256))
    if facts is None:
        raise _wanted(name, sha256)
    return sha256, words, facts


def _wanted(name: str, sha256: str) -> WeightsUnavailable:
    return WeightsUnavailable(
        f"the model {name} (sha256 {sha256[:12]}...) is not in the cache; give its file again with --weights FILE"
    )


def _write(name: str, sha256: str, file: Path | None, to: Path) -> None:
    """Make a network again that was there when the embedder was opened."""
    from vecstore.embedders import onnx_graph

    if file is None:
        raise _wanted(name, sha256)
    onnx_graph.write_network(onnx_graph.read_model(file, read_description(description_path(file))), to)


def _sha256(file: Path) -> str:
    """Return the sha256 of a model: of its file, and behind it of those that it keeps weights in."""
    import onnx

    try:
        with open(file, "rb") as opened:
            digest = hashlib.file_digest(opened, "sha256")
        outside = {
            entry.value
            for tensor in onnx.load(str(file), load_external_data=False).graph.initializer
            for entry in tensor.external_data
            if entry.key == "location"
        }
        for location in sorted(outside):
            with open(file.parent / location, "rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    except OSError as error:
        raise BadInput(f"{error.filename or file} cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def _facts_path(exported: Path) -> Path:
    return exported.with_suffix(".facts.json")


def _keep(exported: Path, facts: dict[str, Any]) -> None:
    try:
        with replacing_in_cache(_facts_path(exported)) as file:
            file.write(json.dumps(facts).encode())
    except OSError as error:
        raise VecstoreError(f"{_facts_path(exported)} cannot be written: {error.strerror}") from error


def _kept(exported: Path) -> dict[str, Any] | None:
    """Return what is kept of a model; None where it is not whole."""
    if not exported.exists():
        return None
    try:
        facts = json.loads(_facts_path(exported).read_bytes())
        preprocessing = Preprocessing.from_dict(facts["preprocessing"]).to_dict()
        return {"name": str(facts["name"]), "dim": int(facts["dim"]), "preprocessing": preprocessing}
    except (OSError, ValueError, TypeError, KeyError):
        return None
