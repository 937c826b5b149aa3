"""A JPEG's markers, read as libjpeg reads them: how much a decoder keeps, where the picture ends, what can be mended.

A file may hold more than its picture (a video behind it, more pictures): all that counts is before its own end. This
module decodes nothing.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from PIL import ImageFile

from vecstore.sources.unreadable import Unreadable

# Each scan of a progressive JPEG goes over the whole picture, and takes a few bytes of file. Real ones have about ten.
MAX_SCANS = 100
# How far below the size that a decoder may stop at, twice what a network takes, an eighth may come. Each of its pixels
# is the mean of 64, and of a picture of 12 megapixels it takes a quarter less time than a fourth (docs/quality.md).
EIGHTH = 0.7

_SOI, _EOI, _SOS, _DRI, _COM, _DHT, _DQT = 0xD8, 0xD9, 0xDA, 0xDD, 0xFE, 0xC4, 0xDB
# No restarts from here on, and a table (the first for AC) with one code: of one bit, for a run of 16,384 blocks or more
# without a coefficient.
_OF_EMPTY_SCANS = b"\xff\xdd\0\x04\0\0" + b"\xff\xc4\0\x14\x10\x01" + bytes(15) + b"\xe0"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = (0xC2, 0xCA)
_MOST_LOW = 13
# What else than APP0 to APP15 may be in a progressive JPEG.
_IN_ORDER = frozenset((_PROGRESSIVE[0], _EOI, _SOS, _DRI, _COM, _DHT, _DQT))
_APP0, _APP1, _APP2, _APP14, _APP15 = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF
# Within the data of a scan, 0 behind an ff stands for the ff, and d0 to d7 restart the decoder.
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_END = b"\xff\xd9"
# Behind the data of a whole picture, anything is passed over; behind that of one whose last pixels are missing, it is
# taken for them. The first bits differ, and so will those pixels.
_FILLERS = (b"", bytes(64), b"\xaa" * 64, b"\xfe" * 64)


class Marker(NamedTuple):
    """at: where its ff is. end: behind its parameters; of a scan, behind its data."""

    code: int
    at: int
    end: int


def markers(jpeg: bytes) -> Iterator[Marker]:
    """Yield the markers of the first picture in a file, its end included; what is between them is passed over."""
    at = 2
    while (marker := _marker_from(jpeg, at)) is not None:
        if marker.code == _SOS:
            found = _MARKER_IN_SCAN.search(jpeg, marker.end)
            marker = marker._replace(end=found.start() if found else len(jpeg))
        yield marker
        if marker.code == _EOI:
            return
        at = marker.end


def _marker_from(jpeg: bytes, at: int) -> Marker | None:
    """Return the first marker from `at` on, the data of a scan left out; None if there is none."""
    while at + 1 < len(jpeg):
        code = jpeg[at + 1]
        if jpeg[at] != 0xFF or code in (0, 0xFF):  # filling, or junk that is skipped
            following = jpeg.find(b"\xff", at + 1)
            at = len(jpeg) if following < 0 else following
            continue
        has_length = code != 1 and not 0xD0 <= code <= 0xD9
        return Marker(code, at, at + 2 + (int.from_bytes(jpeg[at + 2 : at + 4]) if has_length else 0))
    return None


def scale_down(image: ImageFile.ImageFile, side: int) -> None:
    """Have a picture decoded at 1/2, 1/4 or 1/8, as long as both sides have at least `side`; at 1/8 `EIGHTH` of it."""
    eighth = (image.width // 8, image.height // 8)
    image.draft("RGB", eighth if min(eighth) >= EIGHTH * side else (side, side))


def for_eighth(jpeg: bytes, side: int) -> bytes:
    """Return what a decoder needs of a whole progressive JPEG that `scale_down` takes at an eighth, else the file.

    Of a layer in full resolution, each pixel is then a mean, which is in scans of its own: the pixels are the same
    without its other scans, which take most of the time. An empty scan in their place keeps libjpeg from guessing.
    """
    if not jpeg.startswith(b"\xff\xd8\xff"):
        return jpeg
    try:
        return _for_eighth(jpeg, side)
    except (LookupError, ValueError, ZeroDivisionError):  # its headers make no sense, which the decoder shall say
        return jpeg


def _for_eighth(jpeg: bytes, side: int) -> bytes:
    frame = _progressive_frame(jpeg)
    if frame is None or min(frame.width, frame.height) // 8 < EIGHTH * side:
        return jpeg
    found = list(markers(jpeg))
    *parts, end = found
    n_scans = sum(marker.code == _SOS for marker in parts)
    if end.code != _EOI or n_scans > MAX_SCANS or _has_several_pictures(jpeg, parts) or not _is_complete(jpeg, found):
        return jpeg
    if not _is_in_order(jpeg, found):
        return jpeg
    full = frame.full_layers
    needed = [part for part in parts if part.code != _SOS or not _is_of_details(jpeg, part, full)]
    empty_scans = b"".join(b"\xff\xda\0\x08\x01" + bytes([name]) + b"\0\x01\x3f\0" for name in full)
    kept = b"".join(jpeg[part.at : part.end] for part in needed)
    return b"\xff\xd8" + kept + _OF_EMPTY_SCANS + empty_scans + jpeg[end.at :]


def _progressive_frame(jpeg: bytes) -> "_Frame | None":
    """Return what a Huffman-coded progressive JPEG says of its layers; None for any other."""
    marker = _marker_from(jpeg, 2)
    while marker is not None and marker.code not in (*_FRAMES, _SOS, _EOI):
        marker = _marker_from(jpeg, marker.end)
    if marker is None or marker.code != _PROGRESSIVE[0]:
        return None
    return _Frame.read(marker.code, jpeg[marker.at + 4 : marker.end])


def _has_several_pictures(jpeg: bytes, parts: list[Marker]) -> bool:
    """Say whether the file says where in it other pictures are."""
    return any(part.code == _APP2 and jpeg.startswith(b"MPF\0", part.at + 4) for part in parts)


def _is_in_order(jpeg: bytes, found: list[Marker]) -> bool:
    """Say whether a progressive JPEG is written as the standard has it, with nothing between its markers.

    From anything else a decoder recovers, or not, by what it has read before: without a scan, another picture may come.
    """
    tables = set[int]()
    exact: dict[tuple[int, int], int] = {}  # (layer, coefficient): how many of its last bits are still to come
    at = 2
    for marker in found:
        if marker.at != at or not (marker.code in _IN_ORDER or _APP0 <= marker.code <= _APP15):
            return False
        at = marker.end
        if marker.code == _DHT:
            tables |= _tables_in(jpeg[marker.at + 4 : marker.end])
        if marker.code == _SOS:
            n_layers = jpeg[marker.at + 4]
            layers = [(jpeg[i], jpeg[i + 1]) for i in range(marker.at + 5, marker.at + 5 + 2 * n_layers, 2)]
            first, last, precision = jpeg[marker.at + 5 + 2 * n_layers : marker.at + 8 + 2 * n_layers]
            high, low = precision >> 4, precision & 15
            if int.from_bytes(jpeg[marker.at + 2 : marker.at + 4]) != 6 + 2 * n_layers or low > _MOST_LOW:
                return False
            if not (first == last == 0 or (n_layers == 1 and 0 < first <= last < 64)) or (high and low != high - 1):
                return False
            for name, table in layers:
                if table & 0xCC:  # there are four of each kind
                    return False
                uses = {0x10 | table & 15} if first else {table >> 4} if not high else set()
                if not uses <= tables or (first and (name, 0) not in exact):
                    return False
                for coefficient in range(first, last + 1):
                    if exact.get((name, coefficient), 0) != high or ((name, coefficient) in exact) != (high > 0):
                        return False
                    exact[name, coefficient] = low
    return True


def _tables_in(segment: bytes) -> set[int]:
    """Return the numbers of the Huffman tables that a segment defines, those for AC with 0x10."""
    found, at = set(), 0
    while at < len(segment):
        found.add(segment[at])
        at += 17 + sum(segment[at + 1 : at + 17])
    return found if at == len(segment) else set()


def _is_of_details(jpeg: bytes, scan: Marker, full: bytes) -> bool:
    """Say whether a scan is of other coefficients than the means, of layers in full resolution alone."""
    n_layers = jpeg[scan.at + 4]
    names = jpeg[scan.at + 5 : scan.at + 5 + 2 * n_layers : 2]
    return jpeg[scan.at + 5 + 2 * n_layers] > 0 and all(name in full for name in names)


def bytes_of_coefficients(image: ImageFile.ImageFile, jpeg: bytes) -> int:
    """Return what libjpeg keeps of a picture whatever the size it is decoded at: with several scans, all of it."""
    layers: list[tuple[int, int, int, int]] = image.layer  # type: ignore[attr-defined]
    if not image.info.get("progressive") and _first_scan_layers(jpeg) == len(layers):
        return 0
    for n_scans, _ in enumerate(_scans(jpeg), start=1):
        if n_scans > MAX_SCANS:
            raise Unreadable(f"a JPEG of more than {MAX_SCANS} scans, made to keep a decoder busy")
    sampling = [across * down for _, across, down, _ in layers]
    of_whole = max(across for _, across, _, _ in layers) * max(down for _, _, down, _ in layers)
    return 2 * image.width * image.height * sum(sampling) // max(of_whole, 1)


def _scans(jpeg: bytes) -> Iterator[Marker]:
    return (marker for marker in markers(jpeg) if marker.code == _SOS)


def _first_scan_layers(jpeg: bytes) -> int:
    """Return how many of a JPEG's colour components its first scan holds."""
    marker = _marker_from(jpeg, 2)
    while marker is not None and marker.code not in (_SOS, _EOI):  # the data itself, nearly all of a file, is not read
        marker = _marker_from(jpeg, marker.end)
    return 0 if marker is None or marker.code == _EOI or marker.at + 4 >= len(jpeg) else jpeg[marker.at + 4]


def without_metadata(jpeg: bytes) -> Iterator[bytes]:
    """Yield the picture with the segments that say how to show it, and with none but what its colours need."""
    segments = list(markers(jpeg))
    for is_kept in (_says_how_to_show, _is_needed):
        kept = [segment for segment in segments if is_kept(segment.code, jpeg[segment.at + 4 : segment.at + 18])]
        if len(kept) < len(segments):
            yield b"\xff\xd8" + b"".join(jpeg[segment.at : segment.end] for segment in kept)
        segments = kept


def _says_how_to_show(code: int, begin: bytes) -> bool:
    if code == _APP1:
        return begin.startswith(b"Exif\0")
    if code == _APP2:
        return begin.startswith(b"ICC_PROFILE\0")
    return _is_needed(code, begin)


def _is_needed(code: int, _begin: bytes) -> bool:
    return code in (_APP0, _APP14) or not (_APP0 <= code <= _APP15 or code == _COM)


def with_ends(jpeg: bytes) -> list[bytes]:
    """Return a picture without an end with several ends, [] if it has one or is not whole for another reason.

    It is whole if all of these decode to the same pixels.
    """
    jpeg = jpeg.rstrip(b"\xff")
    found = list(markers(jpeg))
    if not found or found[-1].code != _SOS or not _is_complete(jpeg, found):
        return []
    return [jpeg + filler + _END for filler in _FILLERS]


def _is_complete(jpeg: bytes, found: list[Marker]) -> bool:
    """Say whether the scans together hold every bit of every coefficient, and the last one every restart."""
    frames = [marker for marker in found if marker.code in _FRAMES]
    scans = [marker for marker in found if marker.code == _SOS]
    if len(frames) != 1 or frames[0].end > len(jpeg):
        return False
    frame = _Frame.read(frames[0].code, jpeg[frames[0].at + 4 : frames[0].end])
    missing = {name: [1] * 64 for name in frame.sampling}
    for scan in scans:
        n_layers = jpeg[scan.at + 4]
        names = jpeg[scan.at + 5 : scan.at + 5 + 2 * n_layers : 2]
        first, last, precision = jpeg[scan.at + 5 + 2 * n_layers : scan.at + 8 + 2 * n_layers]
        if not frame.is_progressive:
            first, last, precision = 0, 63, 0
        for name in names:
            for coefficient in range(first, min(last, 63) + 1):
                missing[name][coefficient] = precision & 15
    if any(any(bits) for bits in missing.values()):
        return False
    interval = 0
    for marker in found:
        if marker.code == _DRI:
            interval = int.from_bytes(jpeg[marker.at + 4 : marker.at + 6])
    last_data = jpeg[scans[-1].at : scans[-1].end]
    return not interval or len(_RESTART.findall(last_data)) >= -(-frame.blocks_of(names) // interval) - 1


class _Frame(NamedTuple):
    is_progressive: bool
    width: int
    height: int
    sampling: dict[int, tuple[int, int]]

    @classmethod
    def read(cls, code: int, segment: bytes) -> "_Frame":
        height, width, n_layers = int.from_bytes(segment[1:3]), int.from_bytes(segment[3:5]), segment[5]
        layers = (segment[6 + 3 * n : 8 + 3 * n] for n in range(n_layers))
        sampling = {name: (across_down >> 4, across_down & 15) for name, across_down in layers}
        return cls(code in _PROGRESSIVE, width, height, sampling)

    @property
    def full_layers(self) -> bytes:
        """The names of the layers that have a number for each pixel."""
        most = tuple(map(max, zip(*self.sampling.values(), strict=True)))
        return bytes(name for name, sampling in self.sampling.items() if sampling == most)

    def blocks_of(self, names: bytes) -> int:
        """Return how many units a scan of these colour components has, one of which a restart can come before."""
        most_across = max(across for across, _ in self.sampling.values())
        most_down = max(down for _, down in self.sampling.values())
        across, down = self.sampling[names[0]] if len(names) == 1 else (1, 1)
        return -(-self.width * across // (8 * most_across)) * -(-self.height * down // (8 * most_down))
