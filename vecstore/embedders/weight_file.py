"""Weight files: their tensors by name, read without running code from the file."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

from vecstore.errors import BadInput

# A weight file that unpacks to more than so many times its size is made to fill the memory.
MOST_UNPACKED = 10


def _require_no_bomb(path: Path) -> None:
    """Raise ValueError for a zip that unpacks to far more than it is; torch keeps tensors in one as they are."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(record.file_size for record in archive.infolist())
        if unpacked > MOST_UNPACKED * path.stat().st_size:
            raise ValueError(f"its {path.stat().st_size:,} bytes would unpack to {unpacked:,}")


def load_state(path: Path) -> dict[str, Any]:
    """Return the tensors of a weight file by name. Never runs code from the file."""
    import torch

    if not path.stat().st_size:
        raise BadInput(f"{path} is not a weight file that can be loaded safely: it is empty")
    try:
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            _require_no_bomb(path)
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # torch's own text explains how to run the file's code all the same
        raise BadInput(
            f"{path} is not a weight file that can be loaded safely: it is no pickle of tensors alone; "
            "save the network's state_dict() and nothing else"
        ) from error
    except Exception as error:  # zip, safetensors and torch each have their own ways to refuse a file
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BadInput(f"{path} is not a weight file that can be loaded safely: {reason}") from error
    if isinstance(state, dict):
        state = state.get("state_dict", state)  # as training scripts wrap it
    if not isinstance(state, dict):
        raise BadInput(f"{path} holds a {type(state).__name__}, not a state_dict")
    # "module." is what torch.nn.DataParallel puts before every name.
    return {str(name).removeprefix("module."): value for name, value in state.items() if hasattr(value, "shape")}


def fill(
    module: Any, state: dict[str, Any], path: Path, mismatch: str, this: str, library: str, head: tuple[str, ...]
) -> None:
    """Put a file's tensors into a module.

    Parameters
    ----------
    module: a torch module, whose tensors the file must have in the same shapes, with finite numbers.
    state: the tensors of the file, as `load_state` returns them.
    path, mismatch, this, library: for messages: the file, what it is if it does not fit ("no ResNet50"), what the
        module is called, and whose layout is wanted.
    head: starts of the names of tensors that the file may have beside the module's.

    Raises
    ------
    BadInput: the file is of another architecture, or has numbers that are not finite.
    """
    import torch

    wanted = module.state_dict()
    missing = [key for key in wanted if key not in state]
    if missing:
        raise BadInput(
            f"{path} is {mismatch}: {len(missing)} of its {len(wanted)} tensors are missing, such as {missing[0]}; "
            f"it must hold a state_dict in {library}'s layout"
        )
    more = [key for key in state if key not in wanted and not key.startswith(head)]
    if more:
        raise BadInput(f"{path} is {mismatch}: it has {len(more)} tensors that {this} has not, such as {more[0]}")
    for key, tensor in wanted.items():
        if state[key].shape != tensor.shape:
            found, want = tuple(state[key].shape), tuple(tensor.shape)
            raise BadInput(f"{path} is {mismatch}: its {key} has the shape {found}, not {want}")
        if not torch.isfinite(state[key]).all():
            raise BadInput(f"{path} cannot be used: its {key} holds numbers that are not finite")
    module.load_state_dict({key: state[key] for key in wanted})
