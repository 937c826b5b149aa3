"""Pictures of results: the contact sheet."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from vecstore import archives, images

CELL_WIDTH, CELL_HEIGHT = 168, 126
GAP, CAPTION = 12, 22
INK, PALE, PAPER = (34, 34, 34), (110, 110, 110), (255, 255, 255)


@dataclass(frozen=True)
class SheetRow:
    """A heading, and the pictures under it with their captions, left to right."""

    heading: str
    cells: Sequence[tuple[Path, str]]


def contact_sheet(rows: Sequence[SheetRow]) -> Image.Image:
    """Return the rows' pictures as one picture. A file that cannot be read is left as an empty frame."""
    columns = max((len(row.cells) for row in rows), default=1)
    row_height = CAPTION + CELL_HEIGHT + CAPTION + GAP
    size = (GAP + columns * (CELL_WIDTH + GAP), GAP + len(rows) * row_height)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    heading_font, caption_font = ImageFont.load_default(15), ImageFont.load_default(13)
    for number, row in enumerate(rows):
        top = GAP + number * row_height
        draw.text((GAP, top), row.heading, fill=INK, font=heading_font)
        for column, (path, caption) in enumerate(row.cells):
            left = GAP + column * (CELL_WIDTH + GAP)
            _draw_cell(sheet, draw, path, left, top + CAPTION)
            draw.text((left, top + CAPTION + CELL_HEIGHT + 3), caption, fill=PALE, font=caption_font)
    return sheet


def _draw_cell(sheet: Image.Image, draw: ImageDraw.ImageDraw, path: Path, left: int, top: int) -> None:
    try:
        picture = images.decode(archives.read_path(bytes(path)).data, at_least=(CELL_WIDTH, CELL_HEIGHT))
    except (images.Unreadable, FileNotFoundError):
        draw.rectangle((left, top, left + CELL_WIDTH - 1, top + CELL_HEIGHT - 1), outline=PALE)
        return
    picture.thumbnail((CELL_WIDTH, CELL_HEIGHT))
    sheet.paste(picture, (left + (CELL_WIDTH - picture.width) // 2, top + (CELL_HEIGHT - picture.height) // 2))
