"""A Parquet file for embedding-atlas: the store's map, each image's nearest neighbours, thumbnails; picks come back.

`embedding-atlas FILE --x x --y y --neighbors neighbors --image image` opens it. A neighbour is known by its position in
the file, each image has as many, and the first is the image itself, as UMAP's are. https://apple.github.io/embedding-atlas/
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vecstore.errors import BadInput, NotFound, VecstoreError
from vecstore.exchange.arrow import pyarrow_for, readable
from vecstore.exchange.given_rows import paths_in
from vecstore.exchange.new_files import as_text, new_path
from vecstore.results import ExportReport, MapPoint
from vecstore.search.neighbour_graph import nearest_of_each
from vecstore.session import Session
from vecstore.storage.checksums import ChecksumVerifier
from vecstore.views.map_layout import store_map
from vecstore.views.thumbnails import Thumbnails, thumbnail

# Of an image, itself included, as embedding-atlas itself works out.
NEIGHBOURS = 15
GROUP_ROWS = 256


def labelled(source: Path, pictures: Path | None) -> Iterator[tuple[bytes, str]]:
    """Yield (path, label) of each row that was picked in embedding-atlas and saved: the label is the file's name.

    Raises BadInput for a file without a column `path`, which those that `write` made have.
    """
    pyarrow_for(f"reading {source}")
    import pyarrow.parquet

    with readable(source, "Parquet of embedding-atlas"):
        with pyarrow.parquet.ParquetFile(source) as file:
            if "path" not in file.schema_arrow.names:
                raise BadInput(f"{source} has no column path; export it with `vecstore export --as embedding-atlas`")
            names = file.read(columns=["path"]).column("path").to_pylist()
        if not all(isinstance(name, str) and name for name in names):
            raise BadInput(f"{source} has a row without path; nothing was done")
    yield from ((path, source.stem) for path in paths_in(pictures, names))


def write(session: Session, target: Path) -> ExportReport:
    """Write the images that are on the store's map. Raises NotFound if there are none."""
    pa = pyarrow_for(f"writing {target}")
    import pyarrow.parquet

    if not session.catalog.images.count():
        raise NotFound("the store has no images to export")
    points = store_map(session, False, None).points
    schema = pa.schema(
        [
            *(("id", pa.int64()), ("path", pa.string()), ("x", pa.float32()), ("y", pa.float32())),
            *(("cluster", pa.int64()), ("cluster_name", pa.string()), ("selections", pa.list_(pa.string()))),
            ("neighbors", pa.struct([("ids", pa.list_(pa.int64())), ("distances", pa.list_(pa.float32()))])),
            ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ]
    )
    with new_path(target) as draft, pyarrow.parquet.ParquetWriter(draft, schema) as writer:
        group: list[dict[str, Any]] = []
        for row in _rows(session, points, target):
            group.append(row)
            if len(group) == GROUP_ROWS:
                writer.write_table(pa.Table.from_pylist(group, schema))
                group = []
        if group:
            writer.write_table(pa.Table.from_pylist(group, schema))
    return ExportReport(str(target), None, len(points), len(points), os.path.getsize(target))


def _rows(session: Session, points: tuple[MapPoint, ...], target: Path) -> Iterator[dict[str, Any]]:
    catalog = session.catalog
    with catalog.reading():
        vectors = session.vectors()
        position = {point.id: number for number, point in enumerate(points)}
        allowed = np.zeros(len(vectors), bool)
        allowed[[*position]] = True
        index = session.engine.searcher(vectors, exact=False, many=True)
        guard = ChecksumVerifier(catalog, vectors)
        names = dict(catalog.clusterings.cluster_names(current)) if (current := catalog.clusterings.current()) else {}
        selections: dict[int, list[str]] = {}
        for name in catalog.selections.names():
            for row in catalog.selections.rows(catalog.selections.require(name)):
                selections.setdefault(row, []).append(name)
        pictures = Thumbnails()
        n_near = min(NEIGHBOURS, len(points)) - 1
        # Both are by ascending row.
        for point, (row, near) in zip(points, nearest_of_each(index, vectors, allowed, n_near), strict=True):
            guard.require([row])
            path = as_text(os.fsencode(point.path), target)
            yield {
                **{"id": row, "path": path, "x": point.x, "y": point.y, "cluster": point.cluster},
                "cluster_name": names.get(point.cluster) if point.cluster is not None else None,
                "selections": selections.get(row, []),
                "neighbors": _neighbours(position, row, near, n_near),
                "image": _thumbnail(session, row, pictures),
            }


def _neighbours(position: dict[int, int], row: int, near: list[tuple[int, float]], n_near: int) -> dict[str, Any]:
    """Return the positions and cosine distances; an approximate index that found too few has the image itself again."""
    found = [(position[row], 0.0), *((position[other], max(0.0, 1 - score)) for other, score in near[:n_near])]
    found += found[:1] * (n_near + 1 - len(found))
    return {"ids": [number for number, _ in found], "distances": [distance for _, distance in found]}


def _thumbnail(session: Session, row: int, pictures: Thumbnails) -> dict[str, Any] | None:
    try:
        return {"bytes": thumbnail(session, row, pictures), "path": None}
    except VecstoreError:  # a picture that is gone has its place on the map all the same
        return None
