"""Camera raw pictures: the preview that the camera made if it will do, else developed at half size, by LibRaw.

LibRaw runs in a process of its own (`raw_process`), which a damaged file may end. This module needs the extra
`vecstore[raw]`.
"""

import importlib.util
import os
import signal
import subprocess
import sys
from typing import NamedTuple

from vecstore.sources import decode_memory, raw_process
from vecstore.sources.unreadable import Unreadable

# Developing 24 megapixels takes 1 to 2 seconds.
TIMEOUT_SECONDS = 120
# Half-size developing takes 5 bytes for a pixel of the sensor, and half a byte of file is the least that one has.
_BYTES_PER_BYTE, _LEAST_BYTES = 16, 1 << 28
# What LibRaw says on stderr when pixels are missing; it gives no other sign.
_CUT_OFF, _CORRUPTED = "Unexpected end of file", "data corrupted"


class Preview(NamedTuple):
    """A picture in a format that is decoded as others are. orientation: EXIF's, which its own says nothing of."""

    data: bytes
    orientation: int


def preview(content: bytes, side: int | None) -> Preview:
    """Return what is to be decoded instead of a raw picture.

    side: what both sides are to have at least; None: at least half of the sensor's. Waits for its share of the memory.
    Raises Unreadable where the extra is missing, or the picture is broken or too large.
    """
    if importlib.util.find_spec("rawpy") is None:
        raise Unreadable("a camera raw picture, which vecstore reads after `pip install 'vecstore[raw]'`")
    n_bytes = min(max(len(content) * _BYTES_PER_BYTE, _LEAST_BYTES), decode_memory.MAX_BYTES)
    numbers = map(str, (side or 0, decode_memory.MAX_PIXELS, n_bytes))
    # -P: else modules of this folder would be found before others of their name.
    command = [sys.executable, "-P", raw_process.__file__, *numbers]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with decode_memory.budget.taking(n_bytes):
        try:
            done = subprocess.run(
                command, input=content, capture_output=True, env=one_thread, timeout=TIMEOUT_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as late:
            raise Unreadable(f"a camera raw picture that is not decoded within {TIMEOUT_SECONDS} s") from late
        except OSError as error:
            raise Unreadable(f"the decoder of camera raw pictures does not start: {error.strerror}") from error
    said = done.stderr.decode("utf-8", "replace")
    if _CUT_OFF in said:
        raise Unreadable("cut off: the file ends too early")
    if done.returncode or _CORRUPTED in said:
        raise Unreadable(f"a camera raw picture of an unsupported kind, or damaged ({_reason(done.returncode, said)})")
    orientation, _, data = done.stdout.partition(b"\n")
    return Preview(data, int(orientation))


def _reason(status: int, said: str) -> str:
    if status < 0:
        return f"LibRaw ended by {signal.Signals(-status).name}"
    lines = [line for line in said.splitlines() if line.strip()]
    if not lines:
        return f"LibRaw ended with status {status}"
    # The last line of a traceback: class and text, which rawpy gives as bytes.
    return lines[-1].rpartition("Error: ")[2].removeprefix("b'").removesuffix("'")[:200]
