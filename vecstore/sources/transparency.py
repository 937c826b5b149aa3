"""What is transparent, and the ground that it is laid on.

White, as everywhere, unless the drawing would vanish on it. This module knows no format but for what their headers say
of transparent colours.
"""

from PIL import Image, ImageChops, ImagePalette, TiffImagePlugin

# A pixel is seen if it differs from the ground by more than this in red, green or blue.
CONTRAST = 24
# How many rows are looked at together.
STRIP = 256
# A drawing is there if this part of the pixels that have any weight is seen.
SEEN_PART = 0.005

_COLOUR_MAP, _EXTRA_SAMPLES = 320, 338
# Where a PNG's header says how many bits a sample has.
_PNG_DEPTH = 24


def on_ground(image: Image.Image) -> Image.Image:
    """Return an RGBA picture laid on white; on black, if nothing of it is seen on white and more is on black."""
    on_white = _laid(image, "white")
    alpha = image.getchannel("A")
    n_drawn = sum(alpha.histogram()[CONTRAST + 1 :])
    seen_on_white = _n_seen(on_white, "white")
    if n_drawn == 0 or seen_on_white >= SEEN_PART * n_drawn:
        return on_white
    on_black = _laid(image, "black")
    return on_black if _n_seen(on_black, "black") > seen_on_white else on_white


def _laid(image: Image.Image, ground: str) -> Image.Image:
    laid = Image.new("RGB", image.size, ground)
    laid.paste(image, mask=image.getchannel("A"))
    return laid


def _n_seen(laid: Image.Image, ground: str) -> int:
    n_seen = 0
    for y in range(0, laid.height, STRIP):  # the difference of the whole would take as much memory again
        strip = laid.crop((0, y, laid.width, min(y + STRIP, laid.height)))
        difference = ImageChops.difference(strip, Image.new("RGB", strip.size, ground))
        red, green, blue = difference.split()
        n_seen += sum(ImageChops.lighter(ImageChops.lighter(red, green), blue).histogram()[CONTRAST + 1 :])
    return n_seen


def has_undeclared_band(image: Image.Image) -> bool:
    """Say whether a TIFF has a band behind its colours without saying what it is."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    return image.mode == "RGBA" and _EXTRA_SAMPLES not in image.tag_v2


def without_false_alpha(image: Image.Image) -> Image.Image:
    """Return an RGBA picture as RGB if its fourth band, of which its file says nothing, is none of transparency.

    Transparency is mostly all or nothing; what was measured, such as near infrared, is mostly in between.
    """
    if image.mode != "RGBA":
        return image
    levels = image.getchannel("A").histogram()
    return image if 2 * (levels[0] + levels[255]) >= sum(levels) else image.convert("RGB")


def correct_palette(image: Image.Image) -> None:
    """Give a TIFF whose colours are written as 0..255, not 0..65535, the colours that were meant.

    Some writers did; libtiff and the viewers that use it look whether any number is above 255, and so does this.
    """
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or image.mode not in ("P", "PA"):
        return
    colours = image.tag_v2.get(_COLOUR_MAP, ())
    if colours and max(colours) < 256:
        image.palette = ImagePalette.raw("RGB;L", bytes(colours))


def correct_transparent_colour(image: Image.Image, content: bytes) -> None:
    """Scale a PNG's transparent colour as its pixels are: to 8 bits from the depth that the header says."""
    clear = image.info.get("transparency")
    depth = content[_PNG_DEPTH] if image.format == "PNG" and len(content) > _PNG_DEPTH else 8
    if depth == 16 and isinstance(clear, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in clear)
    if depth in (2, 4) and image.mode == "L" and isinstance(clear, int):
        image.info["transparency"] = clear * 255 // (2**depth - 1)
