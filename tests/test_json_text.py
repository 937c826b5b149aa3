"""JSON text: what every program can read, whatever a number came to."""

import json
import math
from dataclasses import dataclass

import pytest

from vecstore.json_text import to_json


@dataclass(frozen=True)
class Result:
    score: float


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_null_wherever_it_stands(number: float) -> None:
    text = to_json({"a": [number, 1.5], "b": (Result(number),), "c": {"d": number}}, default=vars)
    assert json.loads(text, parse_constant=pytest.fail) == {"a": [None, 1.5], "b": [{"score": None}], "c": {"d": None}}


def test_what_is_finite_is_written_as_it_is() -> None:
    value = {"path": "a\udc80.png", "n": 2**70, "x": 0.1, "none": None, "yes": True}
    assert to_json(value) == json.dumps(value)
