"""Lettering: DejaVu Sans, which comes with matplotlib, and how wide a text is in it."""

import functools
from pathlib import Path

from PIL import ImageFont


@functools.cache
def font(size: float, bold: bool = False) -> ImageFont.FreeTypeFont:
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def width_of(text: str, size: float, bold: bool = False) -> float:
    return font(size, bold).getlength(printable(text))


def printable(text: str) -> str:
    """Return the text without what is not a letter to anybody, on which the layout of complex scripts gives up."""
    return "".join(c if c.isprintable() else " " for c in text)


def elided(text: str, width: float, size: float, bold: bool = False) -> str:
    """Return the text, without a part of its middle if it is wider than `width`: names often differ in their ends."""
    if width_of(text, size, bold) <= width:
        return text
    low, high = 0, len(text) - 1  # characters to keep
    while low < high:
        middle = (low + high + 1) // 2
        if width_of(_shortened(text, middle), size, bold) <= width:
            low = middle
        else:
            high = middle - 1
    return _shortened(text, low)


def _shortened(text: str, kept: int) -> str:
    end = kept // 2
    return text[: kept - end] + "…" + (text[-end:] if end else "")
