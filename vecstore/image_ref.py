"""Resolves an IMAGE argument: a file, its bytes, pixels, a vector, or the id of a stored image, 12 or "@12".

A stored image resolves to its row, and its stored vector is used without opening a network. Any other picture is
decoded and embedded here, before a transaction is open, because a network may have to be downloaded first.
"""

import hashlib
import numbers
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vecstore.arguments import whole_number
from vecstore.embedders import calling
from vecstore.embedders.embedder import Embedder, Prepared
from vecstore.errors import BadInput, NotFound
from vecstore.given import ImageRef as ImageRef
from vecstore.given import Pixels, Vector, as_given
from vecstore.session import Session
from vecstore.sources import archives, decoding
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.paths import AnyPath, absolute, is_address, on_disk, shown
from vecstore.sources.spelling import as_stored
from vecstore.storage.checksums import ChecksumVerifier
from vecstore.storage.vector_file import Float32, quantize_unit_rows

# What is given without a name, and how it is called.
NAMELESS_IN_WORDS = {decoding.Encoded: "a picture's bytes", Pixels: "a picture in memory", Vector: "a vector"}
NAMELESS = tuple(NAMELESS_IN_WORDS)


@dataclass(frozen=True)
class NewPicture:
    """A picture that is not stored. sha256: of its content, empty for pixels and vectors.

    vector: (dim,) float32, quantized as a stored one.
    """

    sha256: bytes
    vector: Float32


@dataclass(frozen=True)
class _Content:
    sha256: bytes
    data: bytes


def identify(session: Session, ref: ImageRef) -> int | NewPicture:
    """Return the row of a stored image, or a new picture with its vector.

    Raises NotFound for an unknown id or a missing file that is not stored, BadInput for a file that cannot be read.
    """
    return identify_all(session, [ref])[0]


def identify_all(session: Session, refs: Sequence[ImageRef]) -> list[int | NewPicture]:
    """Return what `identify` does for each of several; new pictures are embedded together, a batch at a time."""
    identified: list[int | NewPicture | None] = []
    waiting: list[tuple[int, bytes, Prepared]] = []
    for place, given in enumerate(map(as_given, refs)):
        identified.append(None)
        if isinstance(given, Vector):
            identified[place] = NewPicture(b"", as_stored_vectors(session, given.numbers[None])[0])
            continue
        found = given if isinstance(given, Pixels) else _resolve(session, given)
        if isinstance(found, int):
            identified[place] = found
            continue
        sha256 = found.sha256 if isinstance(found, _Content) else b""
        waiting.append((place, sha256, _prepared(session, found, given)))
        if len(waiting) == session.embedder.batch_size:
            _embed(session, waiting, identified)
            waiting.clear()
    _embed(session, waiting, identified)
    return [image for image in identified if image is not None]


def require_stored(session: Session, ref: ImageRef) -> int:
    """Return the row of an image. Raises NotFound for one that is not stored, BadInput for one that cannot be read."""
    found = _resolve(session, as_given(ref))
    if not isinstance(found, int):
        raise NotFound(f"{called(ref)} is not in the store {session.path}; `vecstore add` it first")
    return found


def require_row(session: Session, row: int) -> None:
    """Raise NotFound unless a row belongs to an image that still has a path."""
    images = session.catalog.images
    if images.is_alive(row):
        return
    if not images.count():
        raise NotFound(f"no image @{row}: the store {session.path} has no images; `vecstore add` some first")
    raise NotFound(
        f"no image @{row} in the store {session.path}; ids are below {images.row_count()}, and those of removed images "
        "are not used"
    )


def vector_of(session: Session, image: int | NewPicture) -> Float32:
    """Return the vector of what `identify` returned, (dim,) float32. Raises StoreDamaged if a stored one is damaged."""
    if isinstance(image, NewPicture):
        return image.vector
    require_row(session, image)  # it may have been removed since it was identified
    vectors = session.vectors()
    ChecksumVerifier(session.catalog, vectors).require([image])
    return np.asarray(vectors[image], np.float32)


def prepared(embedder: Embedder, picture: bytes | Pixels, ref: ImageRef) -> Prepared:
    """Return what an embedder takes of a picture, given as its file's bytes or its pixels. Raises BadInput."""
    try:
        if isinstance(picture, Pixels):
            return calling.prepare(embedder, decoding.as_shown(picture.image))
        return calling.prepare(embedder, decoding.decode(picture, at_least=embedder.input_size))
    except decoding.Unreadable as error:
        raise BadInput(f"{called(ref)}: {error}") from error


def as_stored_vectors(session: Session, rows: Float32) -> Float32:
    """Return unit vectors as stored ones are. Raises BadInput for those that this store's cannot be compared with."""
    dim, name = session.spec.dim, session.spec.name
    if rows.shape[1] != dim:
        raise BadInput(
            f"a vector of {rows.shape[1]} numbers cannot be compared with those of the store {session.path}, which "
            f"have {dim}; make it with {name}, or by `Store.embed`"
        )
    return _as_stored(rows)


def as_row(ref: ImageRef) -> int | None:
    """Return the row that an IMAGE names; None if it names a file. Raises BadInput for any other type."""
    if isinstance(ref, bool):
        raise BadInput(f"{ref} is not an image; name a file or a stored id")
    if isinstance(ref, numbers.Integral):  # NumPy's integers too
        return int(ref)
    if isinstance(ref, NAMELESS):
        return None
    if not isinstance(ref, str | bytes | os.PathLike):
        raise BadInput(f"{ref!r} is not an image; name a file or a stored id")
    text = os.fsdecode(ref)
    if not text.startswith("@"):
        return None
    row = whole_number(text[1:])
    if row is None:
        raise BadInput(
            f"{text!r} is not an image id; an id is @ and a number, such as @12 (for a file of that name: ./{text})"
        )
    return row


def as_path(ref: ImageRef) -> AnyPath:
    """Return the file that an IMAGE names. Raises BadInput if it names none."""
    if isinstance(ref, int):
        raise BadInput(f"{ref} is an image id, and a file is needed here; name a file")
    if isinstance(ref, str | bytes | os.PathLike):
        return ref
    what = next((what for kind, what in NAMELESS_IN_WORDS.items() if isinstance(ref, kind)), "an array")
    raise BadInput(f"{what} cannot be used here; name a file or a stored id")


def path_of(ref: ImageRef) -> str:
    """Return the absolute path that an IMAGE names, "" for one that has none."""
    return os.fsdecode(absolute(ref)) if isinstance(ref, str | bytes | os.PathLike) else ""


def is_path(ref: ImageRef) -> bool:
    """Say whether an IMAGE is named by its file."""
    return isinstance(ref, str | bytes | os.PathLike) and as_row(ref) is None


def called(ref: ImageRef) -> str:
    """Return the name of an IMAGE that is not stored, for messages."""
    return shown(os.fsencode(path_of(ref))) or "the picture"


def named(refs: Sequence[ImageRef]) -> str:
    """Return the names of the first three images, for the description of an operation."""
    few = [f"@{row}" if (row := as_row(ref)) is not None else shown(absolute(as_path(ref))) for ref in refs[:3]]
    return ", ".join(few) + (f" and {len(refs) - 3} more" if len(refs) > 3 else "")


def _resolve(session: Session, ref: ImageRef) -> int | _Content:
    row = as_row(ref)
    if row is not None:
        require_row(session, row)
        return row
    if isinstance(ref, decoding.Encoded):
        return _row_or_content(session, hashlib.sha256(ref.data).digest(), ref.data)
    path = as_stored(absolute(as_path(ref)), session.catalog.paths.under)
    known = session.catalog.paths.known(path)
    if known is not None and is_address(path):
        return known.row
    try:
        state = os.stat(on_disk(path))
        if stat.S_ISDIR(state.st_mode):
            raise BadInput(f"{shown(path)} is a folder, not a picture; name a picture in it, or an id such as @12")
        if known is not None and known.is_as_in(FileStamp(path, state.st_size, state.st_mtime_ns)):
            return known.row
        content = archives.read_path(path)
    except OSError as error:
        if known is not None:  # gone, but its picture is stored
            return known.row
        raise NotFound(
            f"no file at {shown(path)}, and the store has no image with that path; name another, or an id such as @12"
        ) from error
    except decoding.Unreadable as error:
        raise BadInput(f"{shown(path)}: {error}") from error
    return _row_or_content(session, content.sha256, content.data)


def _row_or_content(session: Session, sha256: bytes, data: bytes) -> int | _Content:
    row = session.catalog.images.row_of(sha256)
    return row if row is not None and session.catalog.images.is_alive(row) else _Content(sha256, data)


def _prepared(session: Session, found: _Content | Pixels, ref: ImageRef) -> Prepared:
    return prepared(session.loaded_embedder(), found if isinstance(found, Pixels) else found.data, ref)


def _embed(
    session: Session, waiting: Sequence[tuple[int, bytes, Prepared]], identified: list[int | NewPicture | None]
) -> None:
    """Put new pictures with their vectors in their places."""
    if not waiting:
        return
    vectors = calling.vectors_of(session.embedder, [prepared for *_, prepared in waiting])
    for (place, sha256, _), vector in zip(waiting, _as_stored(vectors), strict=True):
        identified[place] = NewPicture(sha256, vector)


def _as_stored(vectors: Float32) -> Float32:
    # Quantized as a stored vector is, so that asking before and after adding gives the same answer.
    return np.asarray(quantize_unit_rows(vectors), np.float32)
