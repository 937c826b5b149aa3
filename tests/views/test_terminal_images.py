"""Pictures inside terminals: what is sent is what the protocols ask for."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vecstore.errors import BadInput
from vecstore.views.terminal_images import CHUNK, MOST_WIDTH, escapes


@pytest.fixture
def png(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 80, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_kitty_gets_the_picture_in_chunks(png: Path) -> None:
    sent = escapes(png, "kitty", {})
    chunks = re.findall(rb"\x1b_G([^;]*);([^\x1b]*)\x1b\\", sent)
    assert [control for control, _ in chunks] == [b"a=T,f=100,m=1", *[b"m=1"] * (len(chunks) - 2), b"m=0"]
    assert max(len(chunk) for _, chunk in chunks) == CHUNK
    with Image.open(io.BytesIO(base64.b64decode(b"".join(chunk for _, chunk in chunks)))) as shown:
        assert shown.convert("RGB").tobytes() == Image.open(png).tobytes()


def test_iterm2_gets_the_picture_and_its_size(png: Path) -> None:
    found = re.fullmatch(
        rb"\x1b\]1337;File=inline=1;size=(\d+);preserveAspectRatio=1:(.*)\a\n", escapes(png, "iterm2", {})
    )
    assert found
    assert len(base64.b64decode(found[2])) == int(found[1])


def test_sixel_draws_each_pixel_in_nearly_its_colour(png: Path) -> None:
    Image.new("RGB", (40, 13), (255, 0, 0)).save(png)
    picture = Image.open(png)
    picture.paste((0, 0, 255), (0, 6, 20, 13))
    picture.save(png)
    np.testing.assert_allclose(decoded(escapes(png, "sixel", {})), np.asarray(picture), atol=3)


def decoded(sent: bytes) -> np.ndarray:
    """What a terminal makes of sixels: four kinds of commands are used."""
    body = re.fullmatch(rb'\x1bPq"1;1;(\d+);(\d+)(.*)\x1b\\\n', sent, re.DOTALL)
    assert body
    width, height = int(body[1]), int(body[2])
    drawn = np.zeros((height + 6, width, 3), np.uint8)
    palette: dict[int, np.ndarray] = {}
    x = y = colour = 0
    for command in re.finditer(rb"#(\d+);2;(\d+);(\d+);(\d+)|#(\d+)|!(\d+)(.)|([?-~])|(\$)|(-)", body[3]):
        if command[1]:
            palette[int(command[1])] = np.array([int(command[i]) for i in (2, 3, 4)]) * 255 // 100
        elif command[5]:
            colour = int(command[5])
        elif command[9]:
            x = 0
        elif command[10]:
            x, y = 0, y + 6
        else:
            count, column = (int(command[6]), command[7]) if command[6] else (1, command[8])
            for bit in range(6):
                if (column[0] - 63) >> bit & 1:
                    drawn[y + bit, x : x + count] = palette[colour]
            x += count
    return drawn[:height]


def test_a_wide_picture_is_made_narrower(tmp_path: Path) -> None:
    Image.new("RGB", (3 * MOST_WIDTH, 30)).save(tmp_path / "a.png")
    sent = escapes(tmp_path / "a.png", "sixel", {})
    assert sent.startswith(b'\x1bPq"1;1;%d;10' % MOST_WIDTH)
    assert b"!%d~" % MOST_WIDTH in sent  # a run is a count and a character


@pytest.mark.parametrize(
    ("environment", "beginning"),
    [
        ({"TERM": "xterm-kitty"}, b"\x1b_G"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, b"\x1b]1337"),
        ({"TERM": "foot"}, b"\x1bPq"),
    ],
)
def test_the_environment_says_which_protocol(png: Path, environment: dict[str, str], beginning: bytes) -> None:
    assert escapes(png, "auto", environment).startswith(beginning)


def test_an_unknown_terminal_is_said_with_the_way_on(png: Path) -> None:
    with pytest.raises(BadInput, match=r"\(dumb\) shows pictures; if it does, say how: --inline kitty"):
        escapes(png, "auto", {"TERM": "dumb"})
    with pytest.raises(BadInput, match="no protocol .* 'ansi'"):
        escapes(png, "ansi", {})
    with pytest.raises(BadInput, match="a terminal can only show PNGs"):
        escapes(png.with_suffix(".svg"), "kitty", {})
