"""Lists of results that turn into data frames, and show as a table with pictures in a notebook.

A nested result's fields are columns of the table. Names that are no UTF-8 have their bytes as `\\xff` in data frames,
which hold text alone. pandas, polars and pyarrow are imported when one of them is asked for.
"""

import base64
import dataclasses
import html
import importlib
import os
from collections.abc import Callable, Iterable
from typing import Any, SupportsIndex, TypeVar, get_args, get_type_hints, overload

from vecstore.errors import BadInput, VecstoreError

T = TypeVar("T")

# Rows of a table in a notebook, and the width of its pictures in pixels.
ROWS_SHOWN, PICTURE_WIDTH = 50, 96
# The fields that name a row's image, the first that there is.
IMAGE_FIELDS = ("id", "representative_id")


class Results(list[T]):
    """A list of results: a plain list that is also a table.

    `Results(store.duplicates())` makes one of what a method yields.
    """

    def __init__(
        self,
        items: Iterable[T] = (),
        kind: type[T] | None = None,
        thumbnail_of: Callable[[int], bytes] | None = None,
    ) -> None:
        """Make a list of results.

        Parameters
        ----------
        items: the results.
        kind: their class, which says the columns of a table without rows; that of the first unless given.
        thumbnail_of: returns the thumbnail of an image by its id, for notebooks (`Store.thumbnail`).
        """
        super().__init__(items)
        self._kind = kind
        self._thumbnail_of = thumbnail_of

    @overload
    def __getitem__(self, key: SupportsIndex) -> T: ...

    @overload
    def __getitem__(self, key: slice) -> "Results[T]": ...

    def __getitem__(self, key: SupportsIndex | slice) -> "T | Results[T]":
        """Return a result; of a slice, such as `hits[:5]`, a table of these."""
        if isinstance(key, slice):
            kind = self._kind or (type(self[0]) if self else None)
            return Results(super().__getitem__(key), kind, self._thumbnail_of)
        return super().__getitem__(key)

    def __reduce__(self) -> tuple[Any, ...]:  # without the store that the thumbnails come from
        return Results, (list(self), self._kind)

    @property
    def columns(self) -> list[str]:
        """The names of the table's columns."""
        kind = self._kind or (type(self[0]) if self else None)
        return [] if kind is None else _columns(kind)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return each result as a flat dict, a key for each column."""
        columns = self.columns
        return [{name: row.get(name) for name in columns} for row in map(_flat, self)]

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame`. Raises BadInput without pandas."""
        return _library("pandas").DataFrame(self._values())

    def to_polars(self) -> Any:
        """Return a `polars.DataFrame`. Raises BadInput without polars."""
        return _library("polars").DataFrame(self._values(), strict=False)

    def to_arrow(self) -> Any:
        """Return a `pyarrow.Table`. Raises BadInput without pyarrow."""
        return _library("pyarrow").table(self._values())

    def _values(self) -> dict[str, list[Any]]:
        rows = self.to_dicts()
        return {name: [_text(row[name]) for row in rows] for name in self.columns}

    def _repr_html_(self) -> str:
        """Return a table for a notebook, the first `ROWS_SHOWN` results, with a picture where an image is named."""
        columns = self.columns
        image = next((name for name in IMAGE_FIELDS if name in columns), None) if self._thumbnail_of else None
        heads = ([""] if image else []) + columns
        rows = []
        for values in self[:ROWS_SHOWN].to_dicts():
            cells = [html.escape(_shown(values[name])) for name in columns]
            rows.append(([self._picture(values[image])] if image else []) + cells)
        body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
        more = f"<p>{ROWS_SHOWN} of {len(self):,}</p>" if len(self) > ROWS_SHOWN else ""
        head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"

    def _picture(self, image: Any) -> str:
        if image is None or self._thumbnail_of is None:
            return ""
        try:
            data = base64.b64encode(self._thumbnail_of(image)).decode()
        except (VecstoreError, OSError):  # its file is gone, or the store was closed: the rest is still to be seen
            return ""
        return f'<img width="{PICTURE_WIDTH}" alt="@{image}" src="data:image/webp;base64,{data}">'


def _columns(kind: type) -> list[str]:
    """Return the names of a dataclass's fields, those of a nested one in the place of its own."""
    hints, names = get_type_hints(kind), list[str]()
    for field in dataclasses.fields(kind):
        nested = _nested(hints[field.name])
        names += [field.name] if nested is None else _columns(nested)
    return list(dict.fromkeys(names))


def _nested(hint: Any) -> type | None:
    if not _is_one(hint):
        return None
    kinds = (kind for kind in (hint, *get_args(hint)) if isinstance(kind, type))
    return next((kind for kind in kinds if dataclasses.is_dataclass(kind)), None)


def _is_one(hint: Any) -> bool:
    """Say whether a field holds one result or None, not several."""
    return getattr(hint, "__origin__", None) not in (tuple, list)


def _flat(result: Any) -> dict[str, Any]:
    values = dict[str, Any]()
    for field in dataclasses.fields(result):
        value = getattr(result, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            values = {**_flat(value), **values}
        elif isinstance(value, tuple):
            values[field.name] = [
                dataclasses.asdict(one) if dataclasses.is_dataclass(one) and not isinstance(one, type) else one
                for one in value
            ]
        else:
            values[field.name] = value
    return values


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BadInput(f"this needs {name}, which is not installed; `pip install {name}` brings it") from error


def _text(value: Any) -> Any:
    """Return a value with text that is valid UTF-8."""
    if isinstance(value, list):
        return [_text(one) for one in value]
    return os.fsencode(value).decode("utf-8", "backslashreplace") if isinstance(value, str) else value


def _shown(value: Any) -> str:
    value = _text(value)
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
