"""Pictures painted from a seed: for the demo, the documentation and the tests, so that none needs a download.

Six kinds of scene, each with its own colours and shapes, so that a network tells them apart; no two pictures are alike.
"""

import math
from collections.abc import Callable
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT = 320, 240

Colour = tuple[int, int, int]


def paint(kind: str, seed: int) -> Image.Image:
    """Return a picture of one of `KINDS`, 320 x 240 RGB; the same kind and seed give the same pixels."""
    random = Random(f"{kind} {seed}")
    image = Image.new("RGB", (WIDTH, HEIGHT))
    KINDS[kind](image, ImageDraw.Draw(image), random)
    return image.filter(ImageFilter.GaussianBlur(0.6))


def paint_folder(folder: Path, first: int, last: int) -> int:
    """Write pictures first ... last - 1 of every kind as KIND/KIND-NN.jpg; return how many."""
    for kind in KINDS:
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for seed in range(first, last):
            paint(kind, seed).save(folder / kind / f"{kind}-{seed:02}.jpg", quality=88)
    return len(KINDS) * (last - first)


def _sunset(image: Image.Image, draw: ImageDraw.ImageDraw, random: Random) -> None:
    horizon = random.randint(120, 170)
    _gradient(draw, 0, horizon, (60, 30, random.randint(80, 130)), (255, random.randint(120, 190), 60))
    _gradient(draw, horizon, HEIGHT, (190, 90, 60), (20, 15, 50))
    x, radius = random.randint(60, WIDTH - 60), random.randint(18, 34)
    draw.ellipse((x - radius, horizon - radius, x + radius, horizon + radius), fill=(255, 236, 170))
    draw.rectangle((0, horizon, WIDTH, horizon + radius + 2), fill=(170, 80, 60))
    for _ in range(40):
        y = random.randint(horizon, HEIGHT)
        half = random.randint(4, 10 + (y - horizon) // 3)
        at = x + random.randint(-half, half)
        draw.line((at - half, y, at + half, y), fill=(255, 190, 110), width=2)
    for _ in range(random.randint(0, 3)):  # sails
        at, size = random.randint(20, WIDTH - 20), random.randint(12, 30)
        draw.polygon([(at, horizon - size), (at, horizon + 4), (at + size // 2, horizon + 4)], fill=(40, 25, 45))


def _forest(image: Image.Image, draw: ImageDraw.ImageDraw, random: Random) -> None:
    _gradient(draw, 0, HEIGHT, (200, 225, 215), (70, 110, 60))
    for row in range(4):
        green = (30 + 12 * row, random.randint(85, 110) + 8 * row, 45)
        for _ in range(9):
            x, base = random.randint(-10, WIDTH + 10), 120 + 36 * row + random.randint(-8, 8)
            tall = random.randint(50, 100)
            draw.rectangle((x - 3, base - 6, x + 3, base + 12), fill=(80, 55, 35))
            for tier in range(3):
                top, half = base - tall + tier * tall // 4, 10 + tier * 8
                draw.polygon([(x, top), (x - half, top + tall // 2), (x + half, top + tall // 2)], fill=green)


def _city(image: Image.Image, draw: ImageDraw.ImageDraw, random: Random) -> None:
    _gradient(draw, 0, HEIGHT, (8, 10, 30), (45, 35, 75))
    for _ in range(50):
        x, y = random.randint(0, WIDTH), random.randint(0, 110)
        draw.point((x, y), fill=(220, 220, 255))
    x = -5
    while x < WIDTH:
        wide, top = random.randint(26, 52), random.randint(40, 150)
        shade = random.randint(18, 42)
        draw.rectangle((x, top, x + wide, HEIGHT), fill=(shade, shade, shade + 14))
        for wx in range(x + 5, x + wide - 6, 9):
            for wy in range(top + 7, HEIGHT, 12):
                if random.random() < 0.55:
                    draw.rectangle((wx, wy, wx + 4, wy + 6), fill=(255, random.randint(190, 230), 120))
        x += wide + random.randint(0, 5)


def _mountains(image: Image.Image, draw: ImageDraw.ImageDraw, random: Random) -> None:
    _gradient(draw, 0, HEIGHT, (90, 150, random.randint(210, 240)), (225, 238, 250))
    for layer in range(3):
        base, grey = 150 + 35 * layer, 130 - 30 * layer
        for _ in range(4 - layer):
            x, tall = random.randint(0, WIDTH), random.randint(80, 140)
            half = tall * random.uniform(0.8, 1.2)
            peak = base - tall
            draw.polygon([(x, peak), (x - half, base), (x + half, base)], fill=(grey, grey + 6, grey + 20))
            cap = tall * random.uniform(0.25, 0.4)
            edge = half * cap / tall
            jagged = [(x - edge, peak + cap), (x - edge / 3, peak + cap * 0.8), (x, peak + cap * 1.1)]
            draw.polygon([(x, peak), *jagged, (x + edge, peak + cap)], fill=(250, 250, 255))
        draw.rectangle((0, base, WIDTH, HEIGHT), fill=(grey + 10, grey + 18, grey + 28))


def _flower(image: Image.Image, draw: ImageDraw.ImageDraw, random: Random) -> None:
    _gradient(draw, 0, HEIGHT, (120, 180, 80), (60, 120, 50))
    for _ in range(200):
        x, y = random.randint(0, WIDTH), random.randint(0, HEIGHT)
        draw.line((x, y, x + random.randint(-5, 5), y - random.randint(8, 22)), fill=(70, 150, 60), width=2)
    petal: Colour = random.choice([(240, 70, 110), (250, 240, 245), (240, 130, 190), (200, 60, 60)])
    for _ in range(random.randint(1, 4)):
        x, y, size = random.randint(60, WIDTH - 60), random.randint(60, HEIGHT - 50), random.randint(34, 62)
        n, turn = random.randint(6, 11), random.random()
        for i in range(n):
            angle = 2 * math.pi * (i + turn) / n
            px, py, half = x + math.cos(angle) * size * 0.6, y + math.sin(angle) * size * 0.6, size * 0.36
            draw.ellipse((px - half, py - half, px + half, py + half), fill=petal, outline=(120, 40, 60))
        core = size * 0.3
        draw.ellipse((x - core, y - core, x + core, y + core), fill=(250, 205, 60))


def _reef(image: Image.Image, draw: ImageDraw.ImageDraw, random: Random) -> None:
    _gradient(draw, 0, HEIGHT, (40, 170, 210), (5, 40, 100))
    for _ in range(30):
        x, y, r = random.randint(0, WIDTH), random.randint(0, HEIGHT), random.randint(2, 6)
        draw.ellipse((x - r, y - r, x + r, y + r), outline=(170, 225, 245))
    for _ in range(random.randint(3, 7)):
        x, y, size = random.randint(50, WIDTH - 50), random.randint(40, HEIGHT - 40), random.randint(20, 38)
        colour: Colour = random.choice([(255, 140, 30), (255, 210, 40), (240, 90, 90)])
        way = random.choice((-1, 1))
        tail = x - way * size
        fin = [(tail, y), (tail - way * size * 0.6, y - size * 0.5), (tail - way * size * 0.6, y + size * 0.5)]
        draw.polygon(fin, fill=colour)
        draw.ellipse((x - size, y - size * 0.55, x + size, y + size * 0.55), fill=colour)
        for stripe in (-0.3, 0.15):
            at = x + way * stripe * size
            draw.line((at, y - size * 0.5, at, y + size * 0.5), fill=(250, 250, 250), width=4)
        eye = x + way * size * 0.6
        draw.ellipse((eye - 4, y - 7, eye + 4, y + 1), fill="white")
        draw.ellipse((eye - 2, y - 5, eye + 2, y - 1), fill="black")


def _gradient(draw: ImageDraw.ImageDraw, top: int, bottom: int, above: Colour, below: Colour) -> None:
    for y in range(top, bottom):
        part = (y - top) / max(bottom - top - 1, 1)
        red, green, blue = (round(a + (b - a) * part) for a, b in zip(above, below, strict=True))
        draw.line((0, y, WIDTH, y), fill=(red, green, blue))


KINDS: dict[str, Callable[[Image.Image, ImageDraw.ImageDraw, Random], None]] = {
    "city": _city,
    "flower": _flower,
    "forest": _forest,
    "mountains": _mountains,
    "reef": _reef,
    "sunset": _sunset,
}
