"""What a picture is laid out as: shapes on a canvas, whatever the canvas makes of them.

Places are in pixels from the upper left corner. Colours are `#rrggbb` or one of `palette.ROLES`. A text or a title is
only ever text.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from PIL import Image

Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Rectangle:
    """thick: of its stroke. radius: of its corners."""

    left: float
    top: float
    width: float
    height: float
    fill: str | None = None
    stroke: str | None = None
    thick: float = 1
    radius: float = 0


@dataclass(frozen=True)
class Mark:
    """One of `palette.SHAPES` around a place. title: what it stands for, shown at the pointer where there is one."""

    x: float
    y: float
    radius: float
    colour: str
    shape: str
    title: str = ""


@dataclass(frozen=True)
class Picture:
    """An image as large as it is. title: as of a mark."""

    left: float
    top: float
    image: Image.Image
    title: str = ""


@dataclass(frozen=True)
class Text:
    """A line of text; y is that of its baseline."""

    x: float
    y: float
    text: str
    size: float
    colour: str = "ink"
    anchor: Anchor = "start"
    bold: bool = False


Shape: TypeAlias = Rectangle | Mark | Picture | Text


class Canvas(Protocol):
    """Something to draw on."""

    def draw(self, shape: Shape) -> None:
        """Draw over what was drawn before."""
        ...
