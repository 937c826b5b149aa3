"""Sidecars: keywords written into XMP files beside the pictures, for the programs that people sort pictures with.

Never into a picture. A sidecar that is there is added to, and everything else in it stays; it is replaced as a whole or
not at all. Sidecars are no part of the store: undo does not know them.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vecstore.curation import selections
from vecstore.curation.xmp import InvalidXmp, with_keywords
from vecstore.image_ref import ImageRef
from vecstore.results import ImageTags, SidecarReport
from vecstore.session import Session
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.paths import archive_of
from vecstore.storage.durable_files import replacing
from vecstore.words import tagging


def write_selection(session: Session, name: str) -> SidecarReport:
    """Write the name of a selection as a keyword of its images; see `Store.write_selection_xmp`."""
    found = selections.images(session, name, None, 0)
    return _write(session, {image.id: [selections.require_name(name)] for image in found})


def write_tags(session: Session, refs: Sequence[ImageRef], min_probability: float) -> SidecarReport:
    """Write the words of images as keywords; see `Store.write_tags_xmp`."""
    found: Iterable[ImageTags] = tagging.tags_of(session, refs) if refs else tagging.every_images_tags(session)
    wanted = {
        image.id: [tag.word for tag in image.tags if tag.probability >= min_probability]
        for image in found
        if image.id is not None
    }
    return _write(session, {row: words for row, words in wanted.items() if words})


def sidecar_of(picture: bytes) -> bytes:
    """Return the sidecar of a picture: the one that is there, `a.jpg.xmp` (darktable) or `a.xmp` (Lightroom), else
    the first of these."""
    stem = os.path.splitext(picture)[0]
    names = [base + suffix for base in (picture, stem) for suffix in (b".xmp", b".XMP")]
    return next((name for name in names if os.path.lexists(name)), names[0])


def _write(session: Session, wanted: Mapping[int, Sequence[str]]) -> SidecarReport:
    written = unchanged = archived = missing = 0
    failed = []
    for row, words in wanted.items():
        for recorded in session.catalog.paths.states_of(row):
            if archive_of(recorded.path) is not None:
                archived += 1
            elif not _is_there(recorded):
                missing += 1
            else:
                try:
                    is_new = _add(sidecar_of(recorded.path), words)
                    written, unchanged = written + is_new, unchanged + (not is_new)
                except (OSError, InvalidXmp) as error:
                    reason = getattr(error, "strerror", None) or str(error)
                    failed.append((os.fsdecode(sidecar_of(recorded.path)), reason))
    return SidecarReport(written, unchanged, archived, missing, tuple(failed))


def _is_there(recorded: FileStamp) -> bool:
    """Say whether a picture is in the state on record: not gone, nor another by now."""
    try:
        state = os.stat(recorded.path)
    except OSError:
        return False
    return FileStamp(recorded.path, state.st_size, state.st_mtime_ns) == recorded


def _add(sidecar: bytes, words: Sequence[str]) -> bool:
    """Add keywords to a sidecar, which is made if need be; return whether there was anything to add."""
    target = Path(os.fsdecode(os.path.realpath(sidecar)))  # a link stays one
    try:
        data, mode = target.read_bytes(), target.stat().st_mode
    except FileNotFoundError:
        data, mode = None, None
    merged = with_keywords(data, words)
    if merged == data:
        return False
    with replacing(target) as file:
        if mode is not None:
            os.chmod(file.fileno(), mode & 0o7777)
        file.write(merged)
    return True
