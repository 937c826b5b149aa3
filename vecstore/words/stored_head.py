"""The head that a store keeps beside its vectors, so that words need neither the network nor its weights.

It is derived: made from the embedder when words are first asked for, with a checksum and the embedder's description in
it, and made again if it is missing, damaged or of another embedder.
"""

import functools
import logging
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from vecstore.embedders.embedder import Embedder
from vecstore.embedders.heads import Head, head_of
from vecstore.errors import BadInput, NotFound, VecstoreError
from vecstore.session import Session
from vecstore.sources import archives, decoding
from vecstore.storage.derived_arrays import load_arrays, save_arrays
from vecstore.storage.layout import HEAD

log = logging.getLogger(__name__)

# Pictures of the store that the features' length is measured on, where it is not known of the weights.
MEASURED, LOOKED_AT = 64, 256


def stored_head(session: Session) -> Head:
    """Return the head of the store's embedder, kept or made.

    Raises BadInput if the embedder has none, WeightsUnavailable or NotFound if it cannot be made now.
    """
    found = read_head(session.path / HEAD, session.spec.to_json())
    if found is not None:
        return found
    head = make_head(session)
    try:
        save_arrays(session.path / HEAD, **_arrays(head, session.spec.to_json()))
    except OSError as error:  # a store that may only be read
        log.info("the head cannot be kept in %s: %s", session.path, error)
    return head


def make_head(session: Session) -> Head:
    """Return the head made from the embedder. Raises what `stored_head` does."""
    embedder = session.embedder
    head = head_of(embedder)
    if head.feature_length is None:
        head = Head(head.weights, head.bias, _measured_length(session, embedder))
    return head


def read_head(file: Path, spec: str) -> Head | None:
    """Return the head that is in a file; None if there is none, or it is damaged or not of this embedder."""
    try:
        state = file.stat()
    except OSError:
        return None
    return _read(file, spec, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=2)  # the file is always replaced as a whole; reading and comparing it takes 15 ms
def _read(file: Path, spec: str, _mtime_ns: int, _size: int) -> Head | None:
    found = load_arrays(file)
    try:
        if found is None or str(found["spec"]) != spec:
            return None
        head = Head(found["weights"], found["bias"], float(found["feature_length"]))
        return head if int(found["checksum"]) == _checksum(head) else None
    except (KeyError, TypeError, ValueError):
        return None


def _arrays(head: Head, spec: str) -> dict[str, Any]:
    return {**vars(head), "spec": spec, "checksum": _checksum(head)}


def _checksum(head: Head) -> int:
    length = np.float64(head.feature_length or 0).tobytes()
    return zlib.crc32(head.bias.tobytes(), zlib.crc32(head.weights.tobytes(), zlib.crc32(length)))


def _measured_length(session: Session, embedder: Embedder) -> float:
    """Return the mean length of the features of some pictures of the store, whose files are read again."""
    measure = getattr(embedder, "feature_lengths", None)
    if measure is None:
        raise BadInput(f"{embedder.spec.name} does not say how long its features are, so it knows no words")
    embedder.load()
    prepared = []
    for row in session.catalog.images.newest_rows(LOOKED_AT):
        for path in session.catalog.paths.of(row)[:1]:
            try:
                image = decoding.decode(archives.read_path(path).data, at_least=embedder.input_size)
                prepared.append(embedder.prepare(image))
            except (OSError, decoding.Unreadable, VecstoreError):
                continue
        if len(prepared) == MEASURED:
            break
    if not prepared:
        raise NotFound(
            f"no file of the newest images of {session.path} can be read, and the length of their features must be "
            "measured once; make some pictures readable, or `vecstore relocate OLD NEW`"
        )
    return float(np.mean(measure(prepared)))
