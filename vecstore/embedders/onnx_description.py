"""What a picture model's ONNX file does not say of its input: read from `MODEL.toml` beside `MODEL.onnx`.

Every key may be left out. What the file says itself (size, layout) need not be there, and must agree where it is.
"""

import difflib
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from vecstore.embedders.preprocessing import MODES, RESAMPLING
from vecstore.errors import BadInput

# Of values from 0 to 1, as nearly every picture model was trained.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CHANNELS, LAYOUTS, POOLS = ("RGB", "BGR"), ("NCHW", "NHWC"), ("mean", "first")


@dataclass(frozen=True)
class Description:
    """How a model wants its pictures, and which of its outputs is the vector.

    size: (height, width) of its input; scaled: what the picture is scaled to before its middle is cut out; None: as the
    file says, and as `size`. mode, interpolation, fill: as in `Preprocessing`. divide, mean, std: a channel's value is
    (pixel / divide - mean) / std. input, output: their names, None where there is one alone. pool: of an output that is
    a vector for each place, their "mean" or the "first".
    """

    size: tuple[int, int] | None = None
    scaled: tuple[int, int] | None = None
    mode: str = "shortest"
    interpolation: str = "bicubic"
    fill: tuple[int, ...] = (0, 0, 0)
    divide: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    channels: str = "RGB"
    layout: str | None = None
    input: str | None = None
    output: str | None = None
    pool: str | None = None


def description_path(model: Path) -> Path:
    return model.with_suffix(".toml")


def read_description(path: Path) -> Description:
    """Return what a description says; an empty one where there is no file.

    Raises BadInput for a file that cannot be read, an unknown key, or a value that cannot be.
    """
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Description()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        raise BadInput(f"{path} cannot be read as TOML: {reason}; mend it, or take it away") from error
    known = [field.name for field in fields(Description)]
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"is {near[0]} meant?" if near else f"there are {', '.join(known)}"
            raise BadInput(f"{path} has the key {key!r}, which says nothing of a model; {hint}")
    return Description(**{key: _checked(path, key, value) for key, value in values.items()})


def _checked(path: Path, key: str, value: Any) -> Any:
    wanted, convert = FORMS[key]
    try:
        return convert(value)
    except (TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"{path} has {key} = {value!r}; {wanted} is needed") from error


def _side(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 8192:
        raise ValueError
    return value


def _sides(value: Any) -> tuple[int, int]:
    height, width = value if isinstance(value, list) else (value, value)
    return _side(height), _side(width)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e6:
        raise ValueError
    return float(value)


def _numbers(value: Any) -> tuple[float, float, float]:
    red, green, blue = value
    return _number(red), _number(green), _number(blue)


def _positive(value: Any) -> float:
    if not _number(value) > 0:
        raise ValueError
    return float(value)


def _positives(value: Any) -> tuple[float, float, float]:
    red, green, blue = value
    return _positive(red), _positive(green), _positive(blue)


def _colour(value: Any) -> tuple[int, int, int]:
    red, green, blue = (int(number) for number in _numbers(value))
    if min(red, green, blue) < 0 or max(red, green, blue) > 255:
        raise ValueError
    return red, green, blue


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def _one_of(words: tuple[str, ...]) -> tuple[str, Callable[[Any], str]]:
    def convert(value: Any) -> str:
        if value not in words:
            raise ValueError
        return str(value)

    return f"one of {', '.join(words)}", convert


FORMS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "size": ("a side, or [height, width]", _sides),
    "scaled": ("a side, or [height, width]", _sides),
    "mode": _one_of(tuple(MODES)),
    "interpolation": _one_of(tuple(RESAMPLING)),
    "fill": ("[red, green, blue] from 0 to 255", _colour),
    "divide": ("a number above 0", _positive),
    "mean": ("[red, green, blue]", _numbers),
    "std": ("[red, green, blue], each above 0,", _positives),
    "channels": _one_of(CHANNELS),
    "layout": _one_of(LAYOUTS),
    "input": ("an input's name", _text),
    "output": ("an output's name", _text),
    "pool": _one_of(POOLS),
}
