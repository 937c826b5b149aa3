"""Lets the reference read our docstrings: "name: text" in a section becomes what numpydoc calls a parameter."""

import inspect
import re
from typing import Any

import griffe

SECTION = re.compile(r"^(Parameters|Attributes|Raises)\n-+\n((?:.+\n?)*)", re.MULTILINE)
ENTRY = re.compile(r"^([*\w.]+(?:, [*\w.]+)*) ?: (.+)$", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Rewrites every docstring as it is read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_numpydoc(obj.docstring.value)


def as_numpydoc(text: str) -> str:
    r"""Return a docstring with the texts of its sections' entries below their names.

    >>> as_numpydoc("It does.\n\nParameters\n----------\nk: how many.\n    At the most.")
    'It does.\n\nParameters\n----------\nk\n    how many.\n    At the most.'
    """

    def rewritten(section: re.Match[str]) -> str:
        body = ENTRY.sub(r"\1\n    \2", section[2])
        if section[1] == "Raises":  # errors that are named without a reason stand each on a line
            body = re.sub(r"^\w+(?:, \w+)+$", lambda names: names[0].replace(", ", "\n"), body, flags=re.MULTILINE)
        return f"{section[1]}\n{'-' * len(section[1])}\n{body}"

    return SECTION.sub(rewritten, inspect.cleandoc(text))
