"""Every error this library raises on purpose.

VecstoreError            exit 1    the base; catch this one
├── NotFound             exit 1    an image, path, cluster or store that is not there
├── NothingAdded         exit 1    every picture failed
├── StoreBusy            exit 1    another process is writing to the store
├── WeightsUnavailable   exit 1    a network's weights are not cached and cannot be downloaded
├── EngineUnavailable    exit 1    the engine that searches the store does not answer
├── EngineRefused        exit 1    that engine is too old, too full, or denies access
├── BadInput             exit 2    the caller asked for something impossible
│   └── WrongEmbedder    exit 2    the store was made with another embedder
├── StoreDamaged         exit 3    the store's files disagree, or have a newer format
└── Interrupted          exit 130  Ctrl-C or SIGTERM; what was embedded is committed
"""


class VecstoreError(Exception):
    """The base of all errors raised on purpose; the message names the thing, what was found and the next step."""

    exit_code = 1


class NotFound(VecstoreError):
    """An image, path, cluster or store that is not there."""


class NothingAdded(VecstoreError):
    """Every picture failed; the store's failures list the reasons."""


class StoreBusy(VecstoreError):
    """Another process is writing to the store; nothing was done."""


class WeightsUnavailable(VecstoreError):
    """A network's weights are not cached and cannot be downloaded; the message lists the alternatives."""


class EngineUnavailable(VecstoreError):
    """The engine that searches the vectors does not answer; committed changes are safe and are sent to it later."""


class EngineRefused(VecstoreError):
    """The engine that searches the vectors refuses: it is too old, too full, or rejects the credentials."""


class BadInput(VecstoreError):
    """The caller asked for something impossible; nothing was done."""

    exit_code = 2


class WrongEmbedder(BadInput):
    """The store was made with another embedder than the one asked for; vectors of two networks do not mix."""


class StoreDamaged(VecstoreError):
    """The store's files disagree with each other, or have a newer format than this program knows."""

    exit_code = 3


class Interrupted(VecstoreError):
    """Ctrl-C or SIGTERM; what was embedded is committed, and the next run resumes from there."""

    exit_code = 130
