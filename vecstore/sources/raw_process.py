"""The process in which LibRaw reads one camera raw picture, from standard input; the pixels go to standard output.

LibRaw says on stderr, and nowhere else, that data is missing, and a damaged file can end it or keep it busy for ever;
in a process of its own, that costs this one picture. Run as a file, so that nothing else of vecstore is loaded.
"""

import io
import sys
from typing import Any

# A preview is the whole picture if its shape differs from the sensor's by as much as borders make.
SAME_SHAPE = 0.02
# EXIF's orientation for LibRaw's flip, of which one bit mirrors, one turns upside down, and one swaps the axes.
ORIENTATIONS = {0: 1, 1: 2, 3: 3, 2: 4, 4: 5, 6: 6, 7: 7, 5: 8}


def main() -> None:
    """Write the preview as it lies in the file if it will do, else the picture developed at half size, as PPM.

    Before it stands a line with the orientation that it is still to be given. Arguments: the side that a preview has
    at least, 0 for one that is no smaller than the developed picture; the most pixels; the most bytes.
    """
    side, most_pixels, most_bytes = map(int, sys.argv[1:])
    import rawpy

    _limit_memory(most_bytes)
    with rawpy.imread(io.BytesIO(sys.stdin.buffer.read())) as raw:
        found = _preview(rawpy, raw, side) or _developed(raw, most_pixels)
    sys.stdout.buffer.write(found)


def _limit_memory(most_bytes: int) -> None:
    if sys.platform != "linux":
        return
    import resource

    with open("/proc/self/statm") as statm:
        here = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (here + most_bytes, here + most_bytes))


def _preview(rawpy: Any, raw: Any, side: int) -> bytes | None:
    """Return the embedded JPEG; None unless it is the whole picture and large enough."""
    from PIL import Image

    try:
        preview = raw.extract_thumb()
        if preview.format != rawpy.ThumbFormat.JPEG:
            return None
        with Image.open(io.BytesIO(preview.data), formats=["JPEG"]) as image:
            width, height = image.size
    except (
        rawpy.LibRawError,
        OSError,
        SyntaxError,
    ):  # there is none, or it is damaged: the picture itself may be whole
        return None
    of_sensor = sorted((raw.sizes.width, raw.sizes.height))
    of_preview = sorted((width, height))
    shapes = of_preview[0] * of_sensor[1], of_preview[1] * of_sensor[0]
    if of_preview[0] < (side or of_sensor[0] // 2) or abs(shapes[0] - shapes[1]) > SAME_SHAPE * shapes[1]:
        return None
    # Cameras store it as the sensor lies. One that is upright already has the other shape.
    is_turned = (width < height) != (raw.sizes.width < raw.sizes.height) and width != height
    orientation = 1 if is_turned else ORIENTATIONS.get(raw.sizes.flip, 1)
    return b"%d\n" % orientation + bytes(preview.data)


def _developed(raw: Any, most_pixels: int) -> bytes:
    width, height = raw.sizes.raw_width, raw.sizes.raw_height
    if width * height > most_pixels:
        raise ValueError(f"{width} x {height} pixels are more than the limit of {most_pixels:,}")
    pixels = raw.postprocess(half_size=True, use_camera_wb=True, output_bps=8)
    if pixels.shape[2:] != (3,):
        raise ValueError(f"{pixels.shape[2:]} colours instead of 3")
    return b"1\nP6 %d %d 255\n" % (pixels.shape[1], pixels.shape[0]) + bytes(pixels.tobytes())


if __name__ == "__main__":
    main()
