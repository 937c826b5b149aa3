"""Names that were most likely meant by one that is not there."""

import difflib
from collections.abc import Sequence

NAMES_SHOWN = 5


def near_names(name: str, names: Sequence[str]) -> str:
    """Return in words which of the names are spelt like this one or, if none is, the first of them.

    >>> near_names("holidy", ["holiday", "work"])
    "did you mean 'holiday'?"
    >>> near_names("x", ["holiday", "work"])
    "there are 'holiday', 'work'"
    """
    folded = {known.casefold(): known for known in names}
    near = [folded[found] for found in difflib.get_close_matches(name.casefold(), folded, NAMES_SHOWN)]
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    return f"there are {', '.join(map(repr, names[:NAMES_SHOWN]))}{', ...' if len(names) > NAMES_SHOWN else ''}"
