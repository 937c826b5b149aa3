"""A canvas of pixels, on light paper."""

from PIL import Image, ImageDraw

from vecstore.views.canvas import Mark, Picture, Rectangle, Shape, Text
from vecstore.views.lettering import font, printable
from vecstore.views.palette import CIRCLE_RADIUS, LIGHT, POLYGONS

PILLOW_ANCHOR = {"start": "ls", "middle": "ms", "end": "rs"}


class Pixels:
    """`image` is what was drawn."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width, height), LIGHT["paper"])
        self._pen = ImageDraw.Draw(self.image)
        self._marks: dict[tuple[float, str, str], Image.Image] = {}

    def draw(self, shape: Shape) -> None:
        match shape:
            case Rectangle():
                self._draw_rectangle(shape)
            case Mark():
                self._draw_mark(shape)
            case Picture():
                self.image.paste(shape.image, (round(shape.left), round(shape.top)))
            case Text():
                self._draw_text(shape)

    def _draw_rectangle(self, shape: Rectangle) -> None:
        corners = (shape.left, shape.top, shape.left + shape.width - 1, shape.top + shape.height - 1)
        fill, stroke = (_colour(role) if role else None for role in (shape.fill, shape.stroke))
        self._pen.rounded_rectangle(corners, shape.radius, fill, stroke, round(shape.thick))

    def _draw_mark(self, shape: Mark) -> None:
        key = (shape.radius, shape.colour, shape.shape)
        if key not in self._marks:
            self._marks[key] = _mark(shape.radius, _colour(shape.colour), shape.shape)
        mark = self._marks[key]
        self.image.paste(mark, (round(shape.x - mark.width / 2), round(shape.y - mark.height / 2)), mask=mark)

    def _draw_text(self, shape: Text) -> None:
        place, anchor = (shape.x, shape.y), PILLOW_ANCHOR[shape.anchor]
        self._pen.text(place, printable(shape.text), _colour(shape.colour), font(shape.size, shape.bold), anchor=anchor)


def _colour(role: str) -> str:
    return LIGHT.get(role, role)


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
            draw.polygon([(middle + x * reach, middle + y * reach) for x, y in POLYGONS[shape]], fill)
    return large.resize((side, side), Image.Resampling.BOX)
