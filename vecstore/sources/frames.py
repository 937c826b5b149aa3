"""Which frame of an animation, or page of a file, stands for it: the first that shows anything."""

import contextlib
from collections.abc import Callable

from PIL import Image, ImageFile

# How many frames are looked at, and how many pixels they may have in all: they are decoded for it.
MAX_FRAMES = 32
MAX_PIXELS = 100_000_000
# A frame is blank if no band differs by more than this over all of it, as a picture encoded with loss may.
BLANK_LEVELS = 8

# Of other formats that hold several pictures, the others are previews, layers or sizes of the first.
FORMATS = frozenset(("GIF", "PNG", "WEBP", "AVIF", "HEIF", "TIFF"))


def first_not_blank(
    image: ImageFile.ImageFile, show: Callable[[], Image.Image], fits: Callable[[], bool]
) -> Image.Image:
    """Return the first frame that is not of one colour, as shown; the very first if none of those looked at is.

    image: at its first frame. show: returns the present frame as RGB pixels. fits: says whether there is memory
    enough for the present frame, which in a TIFF may be larger than the first.
    """
    first = show()
    if image.format not in FORMATS or not is_blank(first):
        return first
    started, n_pixels = image.tell(), image.width * image.height
    # Behind the last frame is EOFError; a later one that is damaged does not cost the first.
    with contextlib.suppress(Exception):
        for number in range(MAX_FRAMES):
            if number == started:
                continue
            image.seek(number)
            n_pixels += image.width * image.height
            if n_pixels > MAX_PIXELS:
                break
            if fits() and not is_blank(shown := show()):
                return shown
    return first


def is_blank(image: Image.Image) -> bool:
    """Say whether an RGB picture is of one colour."""
    return all(high - low <= BLANK_LEVELS for low, high in _extrema(image))


def _extrema(image: Image.Image) -> tuple[tuple[int, int], ...]:
    found: tuple[tuple[int, int], ...] = image.getextrema()  # type: ignore[assignment]
    return found


def may_follow(image: ImageFile.ImageFile) -> bool:
    """Say whether another frame may be asked for, so that the present one must not be changed in place."""
    return image.format in FORMATS and bool(getattr(image, "is_animated", False))
