"""Every error this library raises on purpose.

VecstoreError            exit 1    the base; catch this one
├── NotFound             exit 1    an image, path, cluster or store that is not there
├── NothingAdded         exit 1    every picture that was offered failed
├── StoreBusy            exit 1    another process is writing to the store
├── WeightsUnavailable   exit 1    a network's weights are neither here nor to be had
├── EngineUnavailable    exit 1    the engine that searches the store does not answer
├── EngineRefused        exit 1    that engine is too old or too full, or does not let us in
├── BadInput             exit 2    the caller asked for something impossible
│   └── WrongEmbedder    exit 2    the store was made with another embedder
├── StoreDamaged         exit 3    the store's files disagree, or are of a newer format
└── Interrupted          exit 130  Ctrl-C or SIGTERM; what was embedded is committed
"""


class VecstoreError(Exception):
    """The base of all errors raised on purpose; the message names the thing, what was found and the next step."""

    exit_code = 1


class NotFound(VecstoreError):
    """An image, path, cluster or store that is not there."""


class NothingAdded(VecstoreError):
    """Every picture that was offered failed; the reasons are in the store's failures."""


class StoreBusy(VecstoreError):
    """Another process is writing to the store; nothing was done."""


class WeightsUnavailable(VecstoreError):
    """A network's weights are neither cached nor to be had; the message says the ways on."""


class EngineUnavailable(VecstoreError):
    """The engine that searches the store's vectors does not answer; what was committed is safe and is told it later."""


class EngineRefused(VecstoreError):
    """The engine that searches the store's vectors will not: too old, too full, or not with these credentials."""


class BadInput(VecstoreError):
    """The caller asked for something impossible; nothing was done."""

    exit_code = 2


class WrongEmbedder(BadInput):
    """The store was made with another embedder than the one asked for; vectors of two networks do not mix."""


class StoreDamaged(VecstoreError):
    """The store's files disagree with each other, or are of a format newer than this program."""

    exit_code = 3


class Interrupted(VecstoreError):
    """Ctrl-C or SIGTERM; what had been embedded is committed, and the next run goes on from there."""

    exit_code = 130
