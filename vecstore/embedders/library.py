"""What embedders of a model library (timm, torchvision, open_clip) share: weights, names, the exported network.

Weights are named by a sha256 over the network's tensors, so the same weights have the same name from a hub, a .pth or
a .safetensors file. What the library says of a model is kept beside its exported network: from then on neither the
library nor torch is imported to embed pictures.
"""

import difflib
import hashlib
import importlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from indexes.devices import choose_device
from vecstore.embedders.embedder import EmbedderOptions, EmbedderSpec
from vecstore.embedders.network import Network, NetworkEmbedder, exported_path, network_key, with_pixels_in
from vecstore.embedders.preprocessing import Preprocessing
from vecstore.embedders.runtimes import resolve
from vecstore.embedders.weight_file import fill, load_state
from vecstore.errors import BadInput, WeightsUnavailable
from vecstore.storage.durable_files import replacing_in_cache

log = logging.getLogger(__name__)

VERSION = 1
# Of most models nobody has measured what bf16 changes.
NEIGHBOURS_STAY = False


@dataclass(frozen=True)
class Model:
    """A model that a library has made.

    backbone: a torch module from normalised (n, 3, height, width) to (n, dim). more: what else is kept of it.
    """

    backbone: Any
    preprocessing: Preprocessing
    more: dict[str, Any] = field(default_factory=dict)


class LibraryEmbedder(NetworkEmbedder):
    """A network whose model, weights and preprocessing come from a library."""

    def __init__(self, name: str, options: EmbedderOptions, make: Callable[[Path | None], Model]) -> None:
        """Resolve the weights; make: the model, of a weight file or the library's own weights."""
        if options.weights is not None and not options.weights.is_file():
            raise BadInput(f"no weight file at {options.weights}")
        self._name = name
        self._make = make
        self._weights = options.weights
        self._model: Model | None = None
        self.key = network_key(name, VERSION)
        kept = None if options.weights else self._kept(options.expected.get(name))
        self.sha256, self.facts = kept or self._describe()
        self.preprocessing = Preprocessing.from_dict(self.facts["preprocessing"])
        precision = resolve(
            options.recorded.get(name), options.precision, choose_device(options.device), NEIGHBOURS_STAY
        )
        network = Network(self.key, self.sha256, self._build, options.device, precision, shape=self.preprocessing.size)
        spec = EmbedderSpec(
            name, VERSION, self.sha256, self.facts["dim"], self.preprocessing.in_words, precision=precision
        )
        super().__init__(network, spec, max(self.preprocessing.scaled))

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        return self.preprocessing.pixels(image)

    def load(self) -> None:
        super().load()
        if self._model is not None:
            self._keep()

    def model(self) -> Model:
        """Return the library's model, made anew where only its exported network was needed so far."""
        if self._model is None:
            model = self._make(self._weights)
            if state_sha256(model.backbone) != self.sha256:
                raise WeightsUnavailable(
                    f"the weights of {self.key} (sha256 {self.sha256[:12]}...) are not the library's own; "
                    "give the file again with --weights FILE"
                )
            self._model = model
        return self._model

    def _build(self) -> Any:
        model = self.model()
        return with_pixels_in(model.backbone, model.preprocessing.mean, model.preprocessing.std)

    def _describe(self) -> tuple[str, dict[str, Any]]:
        self._model = model = self._make(self._weights)
        facts = {
            "name": self._name,
            "dim": pooled_dim(self.key, model),
            "preprocessing": model.preprocessing.to_dict(),
            **model.more,
        }
        return state_sha256(model.backbone), facts

    def _facts_path(self, sha256: str) -> Path:
        return exported_path(self.key, sha256).with_suffix(".facts.json")

    def _keep(self) -> None:
        try:
            with replacing_in_cache(self._facts_path(self.sha256)) as file:
                file.write(json.dumps(self.facts).encode())
        except OSError as error:
            log.warning("what is known of %s cannot be kept: %s", self.key, error.strerror)

    def _kept(self, expected: str | None) -> tuple[str, dict[str, Any]] | None:
        """Return what is kept of the recorded weights' network, None where it must be asked of the library."""
        if expected is None or not exported_path(self.key, expected).exists():
            return None
        try:
            facts = json.loads(self._facts_path(expected).read_bytes())
            Preprocessing.from_dict(facts["preprocessing"])
            return expected, {"dim": int(facts["dim"]), **facts}
        except (OSError, ValueError, TypeError, KeyError):
            return None


def facts_of_kept() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield each network in the cache that was made of a library's model or of a file, with what is known of it."""
    for path in sorted(exported_path("", "").parent.glob("*.facts.json")):
        network = path.with_name(f"{path.name.removesuffix('.facts.json')}.onnx")
        try:
            facts = json.loads(path.read_bytes())
            if isinstance(facts["name"], str) and isinstance(facts["dim"], int) and network.exists():
                yield network, facts
        except (OSError, ValueError, TypeError, KeyError):
            continue


def hub_has(repository: str, *files: str) -> bool:
    """Say whether one of these files of a repository is in the model hub's cache here."""
    from huggingface_hub import try_to_load_from_cache

    return any(isinstance(try_to_load_from_cache(repository, file), str) for file in files)


def dim_without_weights(name: str, make: Callable[[], Model]) -> int | None:
    """Return the length of a model's vectors, None where it cannot be known without its weights."""
    import torch

    try:
        with torch.device("meta"):  # shapes alone, no numbers
            return pooled_dim(name, make())
    except Exception as error:  # not every operator can do that
        log.debug("the length of %s's vectors is not known without weights: %s", name, error)
        return None


def require_library(module: str, extra: str, name: str) -> Any:
    """Return an imported library. Raises BadInput where the extra that brings it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise BadInput(
            f"the embedder {name} needs {module}, which cannot be imported ({error}); "
            f"install it with `pip install 'vecstore[{extra}]'`"
        ) from error


def unknown_model(library: str, model: str, known: Iterable[str]) -> BadInput:
    """Return the error that a library has no such model, with the nearest names that it has."""
    near = difflib.get_close_matches(model, list(known), 3, 0.5)
    hint = f"; near names: {', '.join(near)}" if near else ""
    return BadInput(f"{library} has no model {model!r}{hint}")


@contextmanager
def downloading(what: str, advice: str = "") -> Iterator[None]:
    """Say in one line that what a library fetches can be neither found nor fetched.

    what: such as "the weights of timm:resnet18 are". advice: the next step, where it is not to give weights.
    """
    hub = logging.getLogger("huggingface_hub")  # it reports each of its tries, by a handler of its own and by ours
    before = hub.level
    hub.setLevel(logging.ERROR)
    root = logging.getLogger()  # open_clip has no logger of its own, and reports there what it raises then
    root.addFilter(_is_no_error)
    try:
        yield
    except BadInput:
        raise
    except Exception as error:  # each hub's client has its own errors
        advice = advice or "give a weight file with --weights FILE, or choose --embedder efficientnet-lite2"
        raise WeightsUnavailable(
            f"{what} not in the library's cache and could not be downloaded ({first_line(error)}); {advice}"
        ) from error
    finally:
        root.removeFilter(_is_no_error)
        hub.setLevel(before)


def _is_no_error(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or its kind."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def load_weights(module: Any, path: Path, name: str, head: tuple[str, ...] = (), convert: Any = None) -> None:
    """Load a weight file into a module, all of it and nothing else.

    head: starts of the names of tensors that the file may have beside the module's. convert: the library's own function
    from a file's layout to the module's, used where the names are others. Raises BadInput for another architecture.
    """
    wanted, state = module.state_dict(), load_state(path)
    if convert is not None and any(key not in state for key in wanted):
        try:
            state = convert(state, module)
        except Exception as error:  # it expects the layouts that it knows, and has its own ways to fail
            log.debug("the library cannot convert %s: %s", path, error)
    fill(module, state, path, f"not of {name}", "this", "the library", head)


def state_sha256(module: Any) -> str:
    """Return the sha256 over a module's tensors, with their names, types and shapes."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def pooled_dim(name: str, model: Model) -> int:
    """Return the length of a model's vectors. Raises BadInput for a model that makes no vector of a picture."""
    import torch

    with torch.inference_mode():
        found = model.backbone(torch.zeros(1, 3, *model.preprocessing.size))
    shape = tuple(found.shape) if hasattr(found, "shape") else type(found).__name__
    if not hasattr(found, "shape") or len(found.shape) != 2:
        raise BadInput(f"{name} has no pooled feature: it makes {shape} of a picture, not one vector; choose another")
    return int(found.shape[1])
