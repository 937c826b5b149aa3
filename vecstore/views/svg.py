"""A canvas that is an SVG: text stays text, marks and pictures have titles. Roles are classes of a page."""

import base64
from html import escape

from vecstore.sources import decoding
from vecstore.views.canvas import Mark, Picture, Rectangle, Shape, Text
from vecstore.views.palette import CIRCLE_RADIUS, DARK, LIGHT, POLYGONS, ROLES

# Of the pictures in it, as JPEG.
QUALITY = 80


class Svg:
    """What was drawn, as an element of a page or as a file of its own."""

    def __init__(self, width: float, height: float) -> None:
        self.width = width
        self.height = height
        self._parts: list[str] = []

    def draw(self, shape: Shape) -> None:
        match shape:
            case Rectangle():
                self._parts.append(_rectangle(shape))
            case Mark():
                self._parts.append(_mark(shape))
            case Picture():
                self._parts.append(_picture(shape))
            case Text():
                self._parts.append(_line(shape))

    def element(self, label: str) -> str:
        """Return it as an element of a page, which sets the roles (`role_styles`). label: what it shows, in words."""
        size = f'viewBox="0 0 {self.width:g} {self.height:g}"'
        face = 'font-family="DejaVu Sans, Verdana, sans-serif"'
        return f'<svg {size} {face} role="img" aria-label="{_escaped(label)}">{"".join(self._parts)}</svg>'

    def document(self, label: str) -> str:
        """Return it as a file of its own, light or dark as its reader likes."""
        size = f'width="{self.width:g}" height="{self.height:g}"'
        start = f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
        ground = f"<style>{role_styles()}</style><rect {_paint('paper')} width='100%' height='100%'/>"
        head, _, body = self.element(label).partition(">")
        return f"{start}{head.removeprefix('<svg ')}>{ground}{body}\n"


def _rectangle(shape: Rectangle) -> str:
    place = f'x="{shape.left:.1f}" y="{shape.top:.1f}" width="{shape.width:.1f}" height="{shape.height:.1f}"'
    rim = f' stroke-width="{shape.thick:g}"' if shape.stroke else ""
    return f'<rect {place} rx="{shape.radius:g}" {_paint(shape.fill or "none", shape.stroke)}{rim}/>'


def _mark(shape: Mark) -> str:
    if shape.shape == "circle":
        tag = "circle"
        form = f'cx="{shape.x:.1f}" cy="{shape.y:.1f}" r="{shape.radius * CIRCLE_RADIUS:.1f}"'
    else:
        tag = "polygon"
        corners = POLYGONS[shape.shape]
        points = (f"{shape.x + dx * shape.radius:.1f},{shape.y + dy * shape.radius:.1f}" for dx, dy in corners)
        form = f'points="{" ".join(points)}"'
    end = f">{_title(shape.title)}</{tag}>" if shape.title else "/>"
    return f"<{tag} {form} {_paint(shape.colour)}{end}"


def _picture(shape: Picture) -> str:
    image = shape.image
    place = f'x="{shape.left:.1f}" y="{shape.top:.1f}" width="{image.width}" height="{image.height}"'
    return f'<image {place} href="{data_uri(decoding.encoded(image, QUALITY))}">{_title(shape.title)}</image>'


def _line(shape: Text) -> str:
    weight = ' font-weight="bold"' if shape.bold else ""
    place = f'x="{shape.x:.1f}" y="{shape.y:.1f}" font-size="{shape.size:g}" text-anchor="{shape.anchor}"'
    return f"<text {place}{weight} {_paint(shape.colour)}>{_escaped(shape.text)}</text>"


def _title(text: str) -> str:
    return f"<title>{_escaped(text)}</title>" if text else ""


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


def _escaped(text: str) -> str:
    return escape(text.encode("utf-8", "replace").decode())


def data_uri(content: bytes, kind: str = "image/jpeg") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
