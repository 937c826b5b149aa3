"""JSON as every program can read it: JSON has no NaN and no infinity, which Python would write all the same."""

import json
import math
from collections.abc import Mapping
from typing import Any


def to_json(value: Any, **options: Any) -> str:
    """Return a value as JSON text, null in the place of every number that is not finite.

    options: of `json.dumps`.
    """
    try:
        return json.dumps(value, allow_nan=False, **options)
    except ValueError:  # there is such a number, or the value contains itself; to look for it takes longer
        default = options.pop("default", None)
        return json.dumps(_finite(value, default), allow_nan=False, default=default, **options)


def _finite(value: Any, default: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item, default) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item, default) for item in value]
    if value is None or isinstance(value, str | int) or default is None:
        return value
    return _finite(default(value), default)
