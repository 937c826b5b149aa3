"""Rules that choose which file of a group to keep, one after the other until one file is left, and why it was chosen.

A rule measures a file, and the files with the greatest measure stay in question. What has to be read or decoded for
that is read only where an earlier rule has left more than one. This module knows no catalog.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from vecstore.errors import BadInput
from vecstore.search.filters import path_test
from vecstore.sources import archives, decoding
from vecstore.sources.decoders import opened
from vecstore.sources.formats import is_camera_raw, is_jpeg_xl
from vecstore.sources.paths import absolute, shown

# Other names of formats, and what Pillow calls them.
SAME_FORMAT = {"jpg": "jpeg", "mpo": "jpeg", "tif": "tiff", "heic": "heif", "jp2": "jpeg2000", "dib": "bmp"}
FORMATS = (
    *(
        "png",
        "tiff",
        "jpeg",
        "webp",
        "gif",
        "bmp",
        "heif",
        "avif",
        "jpeg2000",
        "jxl",
        "psd",
        "raw",
        "ico",
        "tga",
        "ppm",
    ),
)
# Pictures of different sizes are made one before their sharpness is compared.
SHARPNESS_SIDE = 512


@dataclass(frozen=True)
class Candidate:
    """A file that could be kept. width, height: of its image in pixels. state: of the file.

    has_bars: its picture is another one of its group with bars around it.
    """

    id: int
    path: bytes
    width: int
    height: int
    state: os.stat_result
    has_bars: bool = False

    @cached_property
    def format(self) -> str:
        """Of the content, "" for what cannot be read."""
        try:
            data = archives.read_path(self.path).data
            if is_camera_raw(data):
                return "raw"
            if is_jpeg_xl(data):
                return "jxl"
            with opened(data) as image:
                name = (image.format or "").lower()
        except (OSError, decoding.Unreadable):
            return ""
        return SAME_FORMAT.get(name, name)

    @cached_property
    def sharpness(self) -> float:
        """Return the variance of the Laplacian of the grey picture, -1 for one that cannot be decoded.

        Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy (2000).
        """
        import numpy as np
        from PIL import Image

        try:
            picture = decoding.decode(archives.read_path(self.path).data, name=self.path).convert("L")
        except (OSError, decoding.Unreadable):
            return -1.0
        factor = SHARPNESS_SIDE / max(picture.size)
        size = (max(round(picture.width * factor), 3), max(round(picture.height * factor), 3))
        grey = np.asarray(picture.resize(size, Image.Resampling.BILINEAR), np.float32)
        middle = grey[1:-1, 1:-1]
        laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * middle
        return float(laplacian.var())


@dataclass(frozen=True)
class Rule:
    """measure: of a file, the greater the more worth keeping. say: what is measured, for a person."""

    name: str
    measure: Callable[[Candidate], Any]
    say: Callable[[Candidate], str]


def parse(texts: Sequence[str]) -> list[Rule]:
    """Return the rules that are written so. Raises BadInput for one that is none."""
    return [_rule(text) for text in texts]


def best(candidates: Sequence[Candidate], rules: Sequence[Rule]) -> tuple[Candidate, str]:
    """Return the file to keep, and why: what each rule that made a difference measured.

    candidates: at least one; where the rules leave several, the first of them is kept.
    """
    left, reasons = list(candidates), []
    for rule in rules:
        if len(left) == 1:
            break
        measures = [rule.measure(candidate) for candidate in left]
        most = max(measures)
        if min(measures) != most:
            left = [candidate for candidate, measure in zip(left, measures, strict=True) if measure == most]
            reasons.append(rule.say(left[0]))
    if reasons:
        return left[0], ", ".join(reasons)
    return left[0], "the only file" if len(candidates) == 1 else "no rule made a difference"


def _rule(text: str) -> Rule:
    name, colon, value = text.partition(":")
    if name in PLAIN and not colon:
        return PLAIN[name]
    if name in WITH_VALUE and value.strip():
        return WITH_VALUE[name](value)
    if name in PLAIN:
        raise BadInput(f"the rule {name!r} takes no value; leave {colon + value!r} out")
    if name in WITH_VALUE:
        raise BadInput(f"the rule {name!r} needs a value, as in {EXAMPLES[name]!r}")
    raise BadInput(
        f"{text!r} is not a rule for what to keep; there are {', '.join(PLAIN)}, {', '.join(EXAMPLES.values())}"
    )


def _format_rule(value: str) -> Rule:
    names = [SAME_FORMAT.get(name, name) for name in (part.strip().lower() for part in value.split(","))]
    unknown = [name for name in names if name not in FORMATS]
    if unknown:
        raise BadInput(f"{unknown[0]!r} is not a format that a rule knows; there are {', '.join(FORMATS)}")
    places = {name: -place for place, name in reversed([*enumerate(names)])}
    return Rule(
        "format", lambda file: places.get(file.format, -len(names)), lambda file: f"format {file.format or 'unknown'}"
    )


def _folder_rule(value: str) -> Rule:
    folders = [absolute(part).rstrip(b"/") + b"/" for part in value.split(",") if part.strip()]
    if not folders:
        raise BadInput(f"the rule 'folder:{value}' names no folder; give some, as in {EXAMPLES['folder']!r}")

    def place(file: Candidate) -> int:
        return next((n for n, folder in enumerate(folders) if file.path.startswith(folder)), len(folders))

    def say(file: Candidate) -> str:
        found = place(file)
        return f"folder {shown(folders[found].rstrip(b'/') or b'/')}" if found < len(folders) else "no such folder"

    return Rule("folder", lambda file: -place(file), say)


def _path_rule(value: str) -> Rule:
    fits = path_test(value)
    return Rule("path", lambda file: fits(file.path), lambda file: f"path {value}")


def _moment(file: Candidate) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(file.state.st_mtime))
    except (OverflowError, ValueError, OSError):
        return f"{file.state.st_mtime_ns} ns"


PLAIN = {
    rule.name: rule
    for rule in (
        # The pixels of bars are none of the picture's.
        Rule(
            "pixels",
            lambda file: 0 if file.has_bars else file.width * file.height,
            lambda file: f"pixels {file.width} x {file.height}",
        ),
        Rule("bytes", lambda file: file.state.st_size, lambda file: f"bytes {file.state.st_size:,}"),
        Rule("oldest", lambda file: -file.state.st_mtime_ns, lambda file: f"oldest, {_moment(file)}"),
        Rule("newest", lambda file: file.state.st_mtime_ns, lambda file: f"newest, {_moment(file)}"),
        Rule("not-link", lambda file: os.path.realpath(file.path) == file.path, lambda file: "not through a link"),
        Rule("sharpness", lambda file: file.sharpness, lambda file: f"sharpness {file.sharpness:.0f}"),
    )
}
WITH_VALUE: dict[str, Callable[[str], Rule]] = {"format": _format_rule, "folder": _folder_rule, "path": _path_rule}
EXAMPLES = {"format": "format:png,tiff,jpeg", "folder": "folder:/a,/b", "path": "path:*/originals/*"}
