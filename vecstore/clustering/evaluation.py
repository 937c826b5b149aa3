"""How well clusters and neighbours agree with labels that people gave: folder names, or a table.

The figures come from scikit-learn; this module decides what a label is and which cluster stands for which. Images
without a label are left out.
"""

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vecstore.clustering.clusters import current_clusters
from vecstore.errors import BadInput, NotFound
from vecstore.results import ClassScore, Evaluation, Misplaced
from vecstore.session import Session
from vecstore.sources.paths import AnyPath, absolute, is_address, shown
from vecstore.sources.spelling import same_name
from vecstore.sources.text_files import excerpt, is_utf8, read_text

# Queries to judge the neighbours by, at the most.
MOST_QUERIES = 10_000

Int64 = NDArray[np.int64]


def evaluate(session: Session, labels: AnyPath | None, neighbours: int) -> Evaluation:
    """Return how well the current clusters, and nearest neighbours, agree with labels; see `Store.evaluate`."""
    table = read_labels(labels) if labels is not None else None
    catalog = session.catalog
    with catalog.reading():
        current = current_clusters(session).clustering
        clusters = {row: cluster for row, cluster, _ in catalog.memberships.all(current)}
        judged = clusters.keys() & {*catalog.images.searchable_rows()}  # a damaged vector has no neighbours
        found = label_images(sorted((row, path) for row, path in catalog.paths.all() if row in judged), table)
        if not found:
            source = "its folders" if labels is None else shown(absolute(labels))
            raise NotFound(f"no image of the store {session.path} has a label in {source}; name a table of its paths")
        named = {row: label for row, (_, label) in found.items()}
        precision = _precision(session, named, neighbours)
        return compare([(row, path) for row, (path, _) in found.items()], named, clusters, precision, neighbours)


def _precision(session: Session, labels: dict[int, str], n: int) -> float | None:
    """Return the part of the n nearest labelled neighbours of an image that has its label, over many images."""
    if len(labels) <= n:
        return None
    vectors = session.vectors()
    numbers = {label: number for number, label in enumerate(sorted({*labels.values()}))}
    label_of = np.full(len(vectors), -1, np.int64)
    label_of[[*labels]] = [numbers[label] for label in labels.values()]
    asked = queries(sorted(labels))
    index, allowed = session.engine.searcher(vectors), label_of >= 0
    nearest = []
    for row in asked:  # n + 1: an image finds itself too
        found = index.search(np.asarray(vectors[row], np.float32)[None], n + 1, allowed).rows[0]
        nearest.append(found[found != row][:n])
    return precision_at(label_of[np.array(nearest)], label_of[asked])


def folder_label(path: bytes) -> str:
    """Return the name of the folder that a picture is in; of one in an archive's top, the archive's."""
    return os.fsdecode(os.path.basename(os.path.dirname(path)).removesuffix(b"!"))


def read_labels(table: AnyPath) -> dict[bytes, str]:
    """Return label by path, of a CSV whose first two columns are path and label, with or without such a heading.

    Paths are absolute or relative to the table's folder, or addresses. It is UTF-8, or UTF-16 as spreadsheets save it.
    Lines with an empty label are left out. Raises BadInput on a line without two columns, on one that is not UTF-8 and
    names no file, on a path with two labels, or if the table has no labels.
    """
    source = Path(os.fsdecode(absolute(table)))
    found: dict[bytes, tuple[str, int]] = {}
    for number, path, label in labelled_lines(source, source.parent):
        before, earlier = found.setdefault(path, (label, number))
        if before != label:
            raise BadInput(
                f"{source}: {shown(path)} is {before!r} in line {earlier} and {label!r} in line {number}; "
                "a picture has one label"
            )
    if not found:
        raise BadInput(f"{source} has no lines of path,label")
    return {path: label for path, (label, _) in found.items()}


def labelled_lines(source: Path, folder: Path) -> Iterator[tuple[int, bytes, str]]:
    """Yield (line, path, label) of a table as `read_labels` reads it; relative paths are below `folder`."""
    try:
        for number, line in enumerate(csv.reader(io.StringIO(read_text(source.read_bytes()), newline="")), start=1):
            if (labelled := _labelled(source, folder, number, line)) is not None:
                yield number, *labelled
    except (OSError, csv.Error) as error:
        raise BadInput(
            f"{source} cannot be read as a table of path,label: {getattr(error, 'strerror', None) or error}"
        ) from error


def _labelled(source: Path, folder: Path, number: int, line: list[str]) -> tuple[bytes, str] | None:
    """Return the path and label of a line, None for an empty one, a heading, or one with an empty label."""
    if not line:
        return None
    if len(line) < 2:
        raise BadInput(f"{source}, line {number}: {excerpt(line[0])} has no label; a line is path,label")
    if number == 1 and [cell.strip().lower() for cell in line[:2]] == ["path", "label"]:
        return None
    name, label = os.fsencode(line[0]), line[1].strip()
    path = name if is_address(name) else os.path.normpath(os.path.join(os.fsencode(folder), name))
    if not is_utf8(os.fsencode(label)) or (not is_utf8(name) and not os.path.lexists(path)):
        raise BadInput(f"{source}, line {number}: {excerpt(','.join(line))} is not UTF-8; save it as UTF-8")
    return (path, label) if label else None


def label_images(paths: Iterable[tuple[int, bytes]], table: Mapping[bytes, str] | None) -> dict[int, tuple[bytes, str]]:
    """Return (path, label) of each image that has a label, by row; the path is the first that has one.

    table: label by path, where paths that differ in Unicode normalisation alone are one unless the table has both; None
    for the folders' names. By these an image in several folders has the label of the first, by a table it may have only
    one: raises BadInput where it has two.
    """
    alike: dict[str, set[str]] = {}
    for path, given in (table or {}).items():
        if not path.isascii():
            alike.setdefault(same_name(path), set()).add(given)

    def label_of(path: bytes) -> str | None:
        if table is None:
            return folder_label(path)
        if path in table or path.isascii():
            return table.get(path)
        labels = alike.get(same_name(path), set())
        return next(iter(labels)) if len(labels) == 1 else None

    found: dict[int, tuple[bytes, str]] = {}
    for row, path in paths:
        label = label_of(path)
        if label is None:
            continue
        first, before = found.setdefault(row, (path, label))
        if table is not None and before != label:
            raise BadInput(
                f"@{row} has two labels: {shown(first)} is {before!r}, and {shown(path)}, the same picture, {label!r}; "
                "give both the same one, or leave one out"
            )
    return found


def compare(
    images: list[tuple[int, bytes]],
    labels: Mapping[int, str],
    clusters: Mapping[int, int],
    precision: float | None,
    n: int,
) -> Evaluation:
    """Return how clusters agree with labels.

    images: (row, path) of those that have a label. labels, clusters: by row. precision, n: of the n nearest
    neighbours, see `Evaluation`.
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    rows = [row for row, _ in images]
    names, truth = np.unique([labels[row] for row in rows], return_inverse=True)
    ids, found = np.unique([clusters[row] for row in rows], return_inverse=True)
    table = np.zeros((len(names), len(ids)), np.int64)
    np.add.at(table, (truth, found), 1)
    matched = dict(zip(*(side.tolist() for side in linear_sum_assignment(table, maximize=True)), strict=True))
    right = np.array(
        [matched.get(label) == cluster for label, cluster in zip(truth.tolist(), found.tolist(), strict=True)]
    )
    stands_for = {int(ids[cluster]): str(names[label]) for label, cluster in matched.items()}
    wrong = [
        Misplaced(row, os.fsdecode(path), labels[row], clusters[row], stands_for.get(clusters[row]))
        for (row, path), is_right in zip(images, right, strict=True)
        if not is_right
    ]
    return Evaluation(
        images=len(images),
        k=len(ids),
        accuracy=float(right.mean()),
        ari=float(adjusted_rand_score(truth, found)),
        nmi=float(normalized_mutual_info_score(truth, found)),
        neighbours=n,
        precision=precision,
        classes=tuple(
            _class_score(table, label, str(name), matched.get(label), ids) for label, name in enumerate(names)
        ),
        wrong=tuple(wrong),
    )


def _class_score(table: Int64, label: int, name: str, cluster: int | None, ids: Int64) -> ClassScore:
    """Return how well a label is met by the cluster that stands for it. table: (labels, clusters) images."""
    images = int(table[label].sum())
    if cluster is None:
        return ClassScore(label=name, images=images, cluster=None, recall=0.0, precision=0.0)
    hits, size = int(table[label, cluster]), int(table[:, cluster].sum())
    return ClassScore(name, images, int(ids[cluster]), recall=hits / images, precision=hits / size if size else 0.0)


def precision_at(neighbours: Int64, truth: Int64) -> float:
    """Return the mean part of an image's nearest neighbours that have its label.

    neighbours: (queries, n) labels of the neighbours. truth: (queries,) labels of the queries.
    """
    return float((neighbours == truth[:, None]).mean())


def queries(rows: list[int]) -> list[int]:
    """Return the rows to judge the neighbours by: all, or a random sample that is the same every time."""
    if len(rows) <= MOST_QUERIES:
        return rows
    return sorted(np.random.default_rng(0).choice(rows, MOST_QUERIES, replace=False).tolist())
