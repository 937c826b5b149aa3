"""Pictures inside a terminal, by the three protocols that terminals show images by: kitty's, iTerm2's and sixel.

https://sw.kovidgoyal.net/kitty/graphics-protocol, https://iterm2.com/documentation-images.html,
https://vt100.net/docs/vt3xx-gp/chapter14.html
"""

import base64
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vecstore.errors import BadInput

PROTOCOLS = ("kitty", "iterm2", "sixel")
# Pictures are wider than most terminals, in pixels.
MOST_WIDTH = 1_200
CHUNK = 4_096  # of base64, as kitty wants it
COLOURS = 255
GAP = 8  # between pictures in a row


def escapes(file: Path, protocol: str, environment: Mapping[str, str] = os.environ) -> bytes:
    """Return what, written to a terminal, shows a PNG in it. Takes and raises what `require_terminal` does."""
    draw = DRAWN_BY[require_terminal(file, protocol, environment)]
    with Image.open(file, formats=["PNG"]) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((MOST_WIDTH, 100 * MOST_WIDTH), Image.Resampling.LANCZOS)
    return draw(picture)


def thumbnail_escapes(thumbnails: Sequence[bytes], protocol: str, environment: Mapping[str, str] = os.environ) -> bytes:
    """Return what shows thumbnails side by side, in one row. Takes and raises what `require_protocol` does."""
    draw = DRAWN_BY[require_protocol(protocol, environment)]
    pictures = []
    for thumbnail in thumbnails:
        with Image.open(io.BytesIO(thumbnail), formats=["WEBP"]) as opened:
            pictures.append(opened.convert("RGB"))
    row = Image.new("RGB", (sum(p.width for p in pictures) + GAP * len(pictures), max(p.height for p in pictures)))
    left = 0
    for picture in pictures:
        row.paste(picture, (left, 0))
        left += picture.width + GAP
    row.thumbnail((MOST_WIDTH, MOST_WIDTH), Image.Resampling.LANCZOS)
    return draw(row)


def require_terminal(file: Path, protocol: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return the protocol to show a file by; the file need not be there yet.

    protocol: one of `PROTOCOLS`, or "auto", by what the environment says of the terminal. Raises BadInput if it says
    nothing that is known, for another protocol, and for a file that will be no PNG.
    """
    protocol = require_protocol(protocol, environment)
    if file.suffix.lower() != ".png":
        raise BadInput(f"a terminal can only show PNGs, and {file} is not a PNG; name a file that ends in .png")
    return protocol


def require_protocol(protocol: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return the protocol to show pictures by; "auto" is what the environment says. Raises BadInput."""
    if protocol == "auto":
        protocol = _protocol_of(environment)
    if protocol not in PROTOCOLS:
        raise BadInput(f"no protocol for pictures in terminals is called {protocol!r}; choose {', '.join(PROTOCOLS)}")
    return protocol


def _protocol_of(environment: Mapping[str, str]) -> str:
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if "KITTY_WINDOW_ID" in environment or term in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
        return "kitty"
    if program in ("iTerm.app", "WezTerm", "vscode") or environment.get("LC_TERMINAL") == "iTerm2":
        return "iterm2"
    if "sixel" in term or term.startswith(("foot", "mlterm", "yaft")):
        return "sixel"
    raise BadInput(
        f"nothing says that this terminal ({term or 'TERM is not set'}) shows pictures; if it does, say how: "
        f"--inline {', --inline '.join(PROTOCOLS)}"
    )


def _png(picture: Image.Image) -> bytes:
    written = io.BytesIO()
    picture.save(written, "PNG")
    return written.getvalue()


def _kitty(picture: Image.Image) -> bytes:
    text = base64.b64encode(_png(picture))
    chunks = [text[start : start + CHUNK] for start in range(0, len(text), CHUNK)]
    sent = [
        b"\x1b_G%sm=%d;%s\x1b\\" % (b"" if number else b"a=T,f=100,", number < len(chunks) - 1, chunk)
        for number, chunk in enumerate(chunks)
    ]
    return b"".join(sent) + b"\n"


def _iterm2(picture: Image.Image) -> bytes:
    png = _png(picture)
    return b"\x1b]1337;File=inline=1;size=%d;preserveAspectRatio=1:%s\a\n" % (len(png), base64.b64encode(png))


def _sixel(picture: Image.Image) -> bytes:
    few = picture.quantize(COLOURS, dither=Image.Dither.FLOYDSTEINBERG)
    palette = np.array(few.getpalette() or [], np.int64).reshape(-1, 3)
    pixels = np.asarray(few)
    parts = [b'\x1bPq"1;1;%d;%d' % (few.width, few.height)]
    parts += [b"#%d;2;%d;%d;%d" % (number, *(colour * 100 // 255)) for number, colour in enumerate(palette)]
    bits = 1 << np.arange(6)
    for top in range(0, few.height, 6):
        band = pixels[top : top + 6]
        for colour in np.unique(band):
            columns = ((band == colour) * bits[: len(band), None]).sum(axis=0) + 63  # a column of six as a character
            parts.append(b"#%d%s$" % (colour, _runs(columns)))
        parts.append(b"-")
    return b"".join(parts) + b"\x1b\\\n"


def _runs(columns: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> bytes:
    """Return characters with runs of more than three as a count and one of them."""
    starts = np.flatnonzero(np.diff(columns, prepend=-1))
    lengths = np.diff(starts, append=len(columns))
    return b"".join(
        b"!%d%c" % (length, columns[start]) if length > 3 else b"%c" % columns[start] * length
        for start, length in zip(starts, lengths, strict=True)
    )


DRAWN_BY = {"kitty": _kitty, "iterm2": _iterm2, "sixel": _sixel}
