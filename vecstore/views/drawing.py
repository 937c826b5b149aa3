"""What pictures are drawn with: colours, shapes, lettering, and one canvas in two kinds, pixels and SVG.

Colours are Okabe and Ito's, which the colour-blind tell apart; where there are more clusters than colours, shapes go on
where colours end. Ink, paper and the greys between are named by role, so that a page can be dark. Lettering is DejaVu
Sans, which comes with matplotlib. What a canvas is given as text or title is only ever text.
"""

import base64
import functools
import io
from html import escape
from pathlib import Path
from typing import Literal, Protocol

from PIL import Image, ImageDraw, ImageFont, ImageOps

from vecstore.sources import decoding

# Okabe and Ito's colours (https://jfly.uni-koeln.de/color), in an order in which neighbours differ most.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#888888")
SHAPES = ("circle", "square", "triangle", "diamond", "wedge", "cross")
# By role: on light paper, and on dark.
LIGHT = {"ink": "#1c2024", "pale": "#60686f", "line": "#d5dade", "ground": "#f3f5f6", "paper": "#ffffff"}
DARK = {"ink": "#eceff1", "pale": "#a4adb5", "line": "#3a4147", "ground": "#22272b", "paper": "#16191c"}
ROLES = tuple(LIGHT)

Anchor = Literal["start", "middle", "end"]
_PILLOW_ANCHOR = {"start": "ls", "middle": "ms", "end": "rs"}
# Shapes as polygons in a box from -1 to 1, with y downwards and about the area of the circle of radius 0.8.
_POLYGONS = {
    "square": ((-0.75, -0.75), (0.75, -0.75), (0.75, 0.75), (-0.75, 0.75)),
    "triangle": ((0, -1), (1, 0.8), (-1, 0.8)),
    "diamond": ((0, -1.05), (1.05, 0), (0, 1.05), (-1.05, 0)),
    "wedge": ((0, 1), (1, -0.8), (-1, -0.8)),
    "cross": (
        *((-0.4, -1), (0.4, -1), (0.4, -0.4), (1, -0.4), (1, 0.4), (0.4, 0.4)),
        *((0.4, 1), (-0.4, 1), (-0.4, 0.4), (-1, 0.4), (-1, -0.4), (-0.4, -0.4)),
    ),
}
CIRCLE_RADIUS = 0.85
# Of the pictures in an SVG, as JPEG.
QUALITY = 80


def style(number: int) -> tuple[str, str]:
    """Return the colour and the shape of the cluster that is this many-th in order, from 0."""
    return COLOURS[number % len(COLOURS)], SHAPES[number // len(COLOURS) % len(SHAPES)]


@functools.cache
def font(size: float, bold: bool = False) -> ImageFont.FreeTypeFont:
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def width_of(text: str, size: float, bold: bool = False) -> float:
    return font(size, bold).getlength(_letters(text))


def _letters(text: str) -> str:
    """Return text without what is no letter to anybody, on which the layout of complex scripts gives up."""
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


class Canvas(Protocol):
    """Something to draw on, in pixels from the upper left corner. Colours are `#rrggbb` or one of `ROLES`."""

    def box(
        self,
        left: float,
        top: float,
        width: float,
        height: float,
        fill: str | None = None,
        stroke: str | None = None,
        thick: float = 1,
        radius: float = 0,
    ) -> None: ...

    def mark(self, x: float, y: float, radius: float, colour: str, shape: str, title: str = "") -> None: ...

    def picture(self, left: float, top: float, picture: Image.Image, title: str = "") -> None: ...

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        colour: str = "ink",
        anchor: Anchor = "start",
        bold: bool = False,
    ) -> None:
        """Write a line of text; y is that of its baseline."""
        ...


class Pixels:
    """A canvas of pixels, on light paper. `image` is what was drawn."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width, height), LIGHT["paper"])
        self._draw = ImageDraw.Draw(self.image)
        self._marks: dict[tuple[float, str, str], Image.Image] = {}

    def box(
        self,
        left: float,
        top: float,
        width: float,
        height: float,
        fill: str | None = None,
        stroke: str | None = None,
        thick: float = 1,
        radius: float = 0,
    ) -> None:
        corners = (left, top, left + width - 1, top + height - 1)
        colours = [LIGHT.get(colour, colour) if colour else None for colour in (fill, stroke)]
        self._draw.rounded_rectangle(corners, radius, colours[0], colours[1], round(thick))

    def mark(self, x: float, y: float, radius: float, colour: str, shape: str, title: str = "") -> None:
        key = (radius, colour, shape)
        if key not in self._marks:
            self._marks[key] = _mark(radius, LIGHT.get(colour, colour), shape)
        mark = self._marks[key]
        self.image.paste(mark, (round(x - mark.width / 2), round(y - mark.height / 2)), mask=mark)

    def picture(self, left: float, top: float, picture: Image.Image, title: str = "") -> None:
        self.image.paste(picture, (round(left), round(top)))

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        colour: str = "ink",
        anchor: Anchor = "start",
        bold: bool = False,
    ) -> None:
        face = font(size, bold)
        self._draw.text((x, y), _letters(text), LIGHT.get(colour, colour), face, anchor=_PILLOW_ANCHOR[anchor])


def _mark(radius: float, colour: str, shape: str) -> Image.Image:
    """Return a mark with soft edges and a thin rim of paper, so that marks on each other stay apart."""
    fine, side = 4, 2 * int(radius * 1.3 + 2)
    large = Image.new("RGBA", (side * fine, side * fine), LIGHT["paper"] + "00")
    draw = ImageDraw.Draw(large)
    for grown, fill in ((radius + 0.7, LIGHT["paper"]), (radius, colour)):
        middle, reach = side * fine / 2, grown * fine
        if shape == "circle":
            reach *= CIRCLE_RADIUS
            draw.ellipse((middle - reach, middle - reach, middle + reach, middle + reach), fill)
        else:
            draw.polygon([(middle + x * reach, middle + y * reach) for x, y in _POLYGONS[shape]], fill)
    return large.resize((side, side), Image.Resampling.BOX)


class Svg:
    """A canvas that is an SVG: text stays text, marks and pictures have titles. Roles are classes of a page."""

    def __init__(self, width: float, height: float) -> None:
        self.width = width
        self.height = height
        self._parts: list[str] = []

    def box(
        self,
        left: float,
        top: float,
        width: float,
        height: float,
        fill: str | None = None,
        stroke: str | None = None,
        thick: float = 1,
        radius: float = 0,
    ) -> None:
        place = f'x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius:g}"'
        rim = f' stroke-width="{thick:g}"' if stroke else ""
        self._parts.append(f"<rect {place} {_paint(fill or 'none', stroke)}{rim}/>")

    def mark(self, x: float, y: float, radius: float, colour: str, shape: str, title: str = "") -> None:
        if shape == "circle":
            form = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius * CIRCLE_RADIUS:.1f}" {_paint(colour)}'
        else:
            points = " ".join(f"{x + dx * radius:.1f},{y + dy * radius:.1f}" for dx, dy in _POLYGONS[shape])
            form = f'<polygon points="{points}" {_paint(colour)}'
        self._parts.append(form + (f"><title>{_text(title)}</title></{form[1:].split()[0]}>" if title else "/>"))

    def picture(self, left: float, top: float, picture: Image.Image, title: str = "") -> None:
        place = f'x="{left:.1f}" y="{top:.1f}" width="{picture.width}" height="{picture.height}"'
        inner = f"<title>{_text(title)}</title>" if title else ""
        self._parts.append(f'<image {place} href="{data_uri(decoding.encoded(picture, QUALITY))}">{inner}</image>')

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        colour: str = "ink",
        anchor: Anchor = "start",
        bold: bool = False,
    ) -> None:
        weight = ' font-weight="bold"' if bold else ""
        place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}"'
        self._parts.append(f"<text {place}{weight} {_paint(colour)}>{_text(text)}</text>")

    def begin(self, name: str, **attributes: str) -> None:
        """Begin a group of this class; `end` ends it."""
        more = "".join(f' {key}="{_text(value)}"' for key, value in attributes.items())
        self._parts.append(f'<g class="{name}"{more}>')

    def end(self) -> None:
        self._parts.append("</g>")

    def element(self, label: str) -> str:
        """Return it as an element of a page, which sets the roles (`role_styles`). label: what it shows, in words."""
        size = f'viewBox="0 0 {self.width:g} {self.height:g}"'
        face = 'font-family="DejaVu Sans, Verdana, sans-serif"'
        return f'<svg {size} {face} role="img" aria-label="{_text(label)}">{"".join(self._parts)}</svg>'

    def document(self, label: str) -> str:
        """Return it as a file of its own, light or dark as its reader likes."""
        size = f'width="{self.width:g}" height="{self.height:g}"'
        start = f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
        ground = f"<style>{role_styles()}</style><rect {_paint('paper')} width='100%' height='100%'/>"
        head, _, body = self.element(label).partition(">")
        return f"{start}{head.removeprefix('<svg ')}>{ground}{body}\n"


def role_styles() -> str:
    """Return the style sheet of what an SVG's roles look like, light and dark."""

    def rules(roles: dict[str, str]) -> str:
        return "".join(f".{role}{{fill:{colour}}}.{role}-rim{{stroke:{colour}}}" for role, colour in roles.items())

    return f"{rules(LIGHT)}@media(prefers-color-scheme:dark){{{rules(DARK)}}}"


def _paint(fill: str, stroke: str | None = None) -> str:
    classes = [name for name, role in ((fill, fill), (f"{stroke}-rim", stroke)) if role in ROLES]
    plain = [
        f'{key}="{colour}"' for key, colour in (("fill", fill), ("stroke", stroke)) if colour not in (None, *ROLES)
    ]
    return " ".join([*([f'class="{" ".join(classes)}"'] if classes else []), *plain])


def _text(text: str) -> str:
    return escape(text.encode("utf-8", "replace").decode())


def data_uri(content: bytes, kind: str = "image/jpeg") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def fit_to_box(thumbnail: bytes, width: int, height: int) -> Image.Image:
    """Return a thumbnail scaled to fit into a box."""
    with Image.open(io.BytesIO(thumbnail), formats=["JPEG"]) as picture:
        return ImageOps.contain(picture.convert("RGB"), (width, height), Image.Resampling.LANCZOS)


def squared(thumbnail: bytes, side: int) -> Image.Image:
    """Return the middle of a thumbnail as a square."""
    with Image.open(io.BytesIO(thumbnail), formats=["JPEG"]) as picture:
        return ImageOps.fit(picture.convert("RGB"), (side, side), Image.Resampling.LANCZOS)
