"""Pictures with something on them, made of a seed, and the ways in which people's copies of pictures are altered."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

TURN = Image.Transpose


def scene(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Return a picture of soft light with shapes of all sizes before it; another seed gives another one."""
    random = np.random.default_rng(seed)
    light = Image.fromarray(random.integers(30, 226, (4, 5, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(light)
    for _ in range(24):
        x, y = random.integers(0, size[0]), random.integers(0, size[1])
        w, h = random.integers(6, size[0] // 4, 2)
        shape = draw.ellipse if random.integers(2) else draw.rectangle
        shape((x - w // 2, y - h // 2, x + w // 2, y + h // 2), fill=tuple(random.integers(0, 256, 3).tolist()))
    return light


def cropped(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = image.size
    left, top, right, bottom = width * left, height * top, width * (1 - right), height * (1 - bottom)
    return image.crop((round(left), round(top), round(right), round(bottom)))


def with_bars(image: Image.Image, across: float, down: float, colour: str = "black") -> Image.Image:
    width, height = image.size
    canvas = Image.new("RGB", (round(width * (1 + 2 * across)), round(height * (1 + 2 * down))), colour)
    canvas.paste(image, (round(width * across), round(height * down)))
    return canvas


def as_jpeg(image: Image.Image, quality: int = 88) -> Image.Image:
    written = io.BytesIO()
    image.save(written, "JPEG", quality=quality)
    return Image.open(written).convert("RGB")


# By what they are called: what is done to a picture.
ALTERATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "mirrored": ImageOps.mirror,
    "flipped": ImageOps.flip,
    "turned 90": lambda image: image.transpose(TURN.ROTATE_270),
    "turned 180": lambda image: image.transpose(TURN.ROTATE_180),
    "turned 270": lambda image: image.transpose(TURN.ROTATE_90),
    "mirrored, turned 90": lambda image: ImageOps.mirror(image).transpose(TURN.ROTATE_270),
    "mirrored, turned 270": lambda image: ImageOps.mirror(image).transpose(TURN.ROTATE_90),
    "grey": lambda image: image.convert("L").convert("RGB"),
    "resized": lambda image: image.resize((image.width // 3, image.height // 3), Image.Resampling.LANCZOS),
    "re-encoded": lambda image: as_jpeg(image, 60),
    "cropped": lambda image: cropped(image, 0.1, 0.1, 0.1, 0.1),
    "letterboxed": lambda image: with_bars(image, 0, 0.2),
    "edited": lambda image: ImageEnhance.Brightness(image).enhance(0.6),
}
