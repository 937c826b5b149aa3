"""What the formats on Arrow share: pyarrow where it is installed, and its errors in our words."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vecstore.errors import BadInput, VecstoreError


def pyarrow_for(what: str) -> Any:
    """Return pyarrow. Raises BadInput, naming what needs it, where it is missing."""
    try:
        import pyarrow
    except ImportError as error:
        raise BadInput(f"{what} needs pyarrow; install vecstore[parquet]") from error
    return pyarrow


# Of an error's text, which may be a page; it is told in one line.
REASON_CHARACTERS = 300


@contextmanager
def readable(file: Path, what: str) -> Iterator[None]:
    """Raise BadInput for what pyarrow raises at a file that is not what it should be."""
    import pyarrow

    try:
        yield
    except VecstoreError:
        raise
    except (OSError, KeyError, ValueError, TypeError, AttributeError, pyarrow.ArrowException) as error:
        reason = " ".join(str(error).split())[:REASON_CHARACTERS]
        raise BadInput(f"{file} cannot be read as {what}: {reason}") from error
