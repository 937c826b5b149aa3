"""Originals: a stored picture as a browser can show it, and only as long as it still is what the store knows.

What browsers show goes out as it lies in the file, under the type that its content has, never the one of its name. The
other formats are decoded by `decoding.decode`, within its limits, and encoded as JPEG. This module knows no store.
"""

import os
from collections.abc import Sequence

from vecstore.errors import BadInput, NotFound
from vecstore.results import Original
from vecstore.sources import archives, decoding
from vecstore.sources.paths import shown

QUALITY = 92
SUFFIXES = {"image/jpeg": ".jpg", "image/x-icon": ".ico"}


def original(paths: Sequence[bytes], sha256: bytes) -> Original:
    """Return the picture, read from the first of its paths that still holds it.

    paths: at least one. sha256: of the content, as the store knows it. Raises NotFound if no path holds it any more,
    BadInput if it cannot be shown.
    """
    for path in paths:
        try:
            content = archives.read_path(path)
        except (FileNotFoundError, decoding.Unreadable):
            continue
        if content.sha256 == sha256:
            return _as_shown(path, content.data)
    raise NotFound(f"{shown(paths[0])} is gone or has changed; run `vecstore sync` on its folder")


def _as_shown(path: bytes, data: bytes) -> Original:
    try:
        media_type = decoding.media_type(data, path)
        if media_type is None:
            media_type, data = "image/jpeg", decoding.encoded(decoding.decode(data, name=path), QUALITY)
    except decoding.Unreadable as error:
        raise BadInput(f"{shown(path)}: {error}") from error
    stem = os.path.splitext(os.path.basename(path))[0]
    return Original(data, media_type, shown(stem) + SUFFIXES.get(media_type, f".{media_type.partition('/')[2]}"))
