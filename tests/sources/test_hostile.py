"""The 95 troublesome files of the shared folder, each with what becomes of it; skipped where the folder is not."""

import io
import json
import os
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.programs import run_code
from vecstore.embedders.embedder import Embedder
from vecstore.sources.decoding import Unreadable, decode, looks_like_picture

SIZE = (224, 224)
CUT_OFF = "cut off: the file ends too early"
DAMAGED = "broken picture: the data is damaged ("
NO_PICTURE = "not a picture in a known format, or its beginning is damaged"
EMPTY = "the file is empty"

# The beginning of the reason; every other file is decoded.
REFUSED = {
    "broken/imagededup_ukbench09268_corrupt.jpg": NO_PICTURE,
    "broken/imagers_Bad_reallybig.bmp": "3000000 x 2000000 pixels are more than the limit of 100,000,000",
    "broken/imagers_oss-fuzz-36829.jpeg": DAMAGED,
    "broken/made_random.jpg": "a JPEG picture of an unsupported kind, or damaged (",
    "broken/pillow_broken_data_stream.png": DAMAGED,
    "broken/pillow_crash-0e16.tif": DAMAGED,
    "broken/pillow_seek_too_large.tif": "a TIFF picture of an unsupported kind, or damaged (",
    # 16 bits a channel; Pillow reads CIELAB of 8.
    "depth/sharp_cielab.tiff": "a TIFF picture of an unsupported kind, or damaged (unknown pixel mode)",
    "empty/empty.heic": EMPTY,
    "empty/zero.png": EMPTY,
    "empty/zero.webp": EMPTY,
    "heic/truncated.heic": CUT_OFF,
    "huge/pillow_decompression_bomb.gif": "more pixels than the limit of 100,000,000",
    "huge/sharp_65536x65536.png": "65536 x 65536 pixels are more than the limit of 100,000,000",
    "other/sharp_check.svg": "an SVG drawing, not a picture of pixels",
    "truncated/imagers_Bad_shortfile.bmp": CUT_OFF,
    "truncated/made_half.jpg": CUT_OFF,
    "truncated/made_half_baseline.jpg": CUT_OFF,
    "truncated/sharp_truncated.png": CUT_OFF,
    "wrong_ext/html.png": "a web page, not a picture",
}


@pytest.fixture
def hostile(shared_pictures: Callable[[str], Path]) -> Path:
    return shared_pictures("hostile")


def files_of(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.rglob("*")) if file.is_file())


def outcome(file: Path) -> str:
    try:
        return decode(file.read_bytes(), at_least=SIZE).mode
    except Unreadable as error:
        return str(error)


def test_each_file_is_decoded_or_refused_for_its_own_reason(hostile: Path) -> None:
    found = {str(file.relative_to(hostile)): outcome(file) for file in files_of(hostile)}
    expected = {name: REFUSED.get(name, "RGB") for name in found}
    assert {name: reason[: len(expected[name])] for name, reason in found.items()} == expected
    assert (len(found), found.keys() >= REFUSED.keys()) == (95, True)


def test_each_file_is_tried_whatever_its_name(hostile: Path) -> None:
    assert [file for file in files_of(hostile) if not looks_like_picture(bytes(file))] == []


# Both at once, as an ingest does on two cores; the peak is that of a process that does nothing else.
ALL_AT_ONCE = """
import json, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from vecstore.sources.decoding import Unreadable, decode

def seconds(file):
    began = time.monotonic()
    try:
        decode(file.read_bytes(), at_least=(224, 224))
    except Unreadable:
        pass
    return time.monotonic() - began

files = [file for file in sorted(Path({folder!r}).rglob("*")) if file.is_file()] * 2
with ThreadPoolExecutor(2) as threads:
    slowest = max(threads.map(seconds, files))
# Not ru_maxrss: it starts at the peak of the process that started this one.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps([int(status["VmHWM"].split()[0]) / 1024, slowest]))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="there is no /proc to read the peak from")
def test_all_files_in_two_threads_take_little_memory_and_no_file_much_time(hostile: Path) -> None:
    peak_mib, slowest_seconds = json.loads(run_code(ALL_AT_ONCE.format(folder=str(hostile))))
    # Measured: 210 MiB and 0.6 s.
    assert (peak_mib < 600, slowest_seconds < 10) == (True, True), (peak_mib, slowest_seconds)


# One picture each, stored in many ways. The files differ besides: each was encoded anew, with loss, and Landscape_* and
# Portrait_* have their number painted in.
FAMILIES = {"pillow_hopper_orientation_": 11, "Landscape_": 5, "Portrait_": 7}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest, hostile: Path) -> dict[str, Image.Image]:
    files = sorted((hostile / "exif_orientation").glob(f"{request.param}*"))
    assert len(files) == FAMILIES[request.param]
    return {file.name.removeprefix(request.param): decode(file.read_bytes(), at_least=SIZE) for file in files}


def difference(one: Image.Image, other: Image.Image) -> float:
    if one.size != other.size:
        return 255.0
    return float(np.abs(np.asarray(one, int) - np.asarray(other, int)).mean())


def test_all_orientations_of_a_picture_are_turned_the_same_way(family: dict[str, Image.Image]) -> None:
    for one, other in combinations(family.values(), 2):
        turned = min(difference(one, other.transpose(turn)) for turn in Image.Transpose)
        assert difference(one, other) < 6 < 40 < turned  # grey levels


def test_all_orientations_of_a_picture_have_nearly_the_same_vector(
    family: dict[str, Image.Image], efficientnet: Embedder
) -> None:
    vectors = efficientnet.embed([efficientnet.prepare(image) for image in family.values()])
    # Measured: 0.947, 0.964 and 0.934; loss and painted numbers are all that is between them and 1 (see above).
    assert (vectors @ vectors.T).min() > 0.92


def signal_to_noise(one: Image.Image, other: Image.Image) -> float:
    error = np.square(np.asarray(one, float) - np.asarray(other, float)).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))  # decibels


def test_as_much_loss_as_between_orientations_costs_as_much_cosine(
    family: dict[str, Image.Image], efficientnet: Embedder
) -> None:
    one, *_ = family.values()
    buffer = io.BytesIO()
    one.save(buffer, "JPEG", quality=20)
    anew = decode(buffer.getvalue())
    vector, of_anew = efficientnet.embed([efficientnet.prepare(image) for image in (one, anew)])
    # Measured between orientations: 29.8, 25.6 and 27.3 dB. Anew: 26.3, 29.5 and 30.3 dB, cosines 0.937, 0.966, 0.950.
    furthest = min(signal_to_noise(a, b) for a, b in combinations(family.values(), 2))
    assert (furthest < 31, signal_to_noise(one, anew) < 32, float(vector @ of_anew) < 0.98) == (True, True, True)


def test_orientations_whose_pixels_are_the_same_have_the_same_vector(hostile: Path, efficientnet: Embedder) -> None:
    for names in (("2", "3"), ("5", "6"), ("7", "8"), ("5", "7")):
        files = [hostile / f"exif_orientation/pillow_hopper_orientation_{name}.jpg" for name in names]
        prepared = [efficientnet.prepare(decode(file.read_bytes(), at_least=SIZE)) for file in files]
        one, other = efficientnet.embed(prepared)
        assert float(one @ other) > 0.999


def test_the_profile_of_the_inks_is_used(hostile: Path) -> None:
    pixel = decode((hostile / "cmyk/sharp_fogra_cmyk.tif").read_bytes()).getpixel((500, 500))
    assert pixel == pytest.approx((227, 6, 20), abs=4)  # what the offset press prints; without the profile (255, 0, 0)


def test_deep_pictures_keep_their_shades(hostile: Path) -> None:
    values = np.asarray(decode((hostile / "depth/pdq_I16.png").read_bytes()))
    assert (values.std() > 20, values.mean() < 200) == (True, True)  # clipped, the mean is 254.5
