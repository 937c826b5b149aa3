"""Data sets of FiftyOne, as JSON: `metadata.json` and `samples.json`, a sample for each image; its labels in, all out.

In the form that `fiftyone.types.LegacyFiftyOneDataset` reads, which needs no schema: the one that replaced it holds the
documents of FiftyOne's own database. Vectors are NumPy's .npy, compressed, in Base64, as FiftyOne has arrays in JSON.
"""

import base64
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vecstore.defaults import NEAR_SCORE
from vecstore.errors import BadInput, NotFound
from vecstore.exchange.formats import SAMPLES, load_json
from vecstore.exchange.given_rows import paths_in
from vecstore.exchange.new_files import as_text, bytes_below, new_folder
from vecstore.results import ExportReport
from vecstore.search.duplicates import duplicates
from vecstore.search.filters import Filter
from vecstore.session import Session
from vecstore.storage.checksums import ChecksumVerifier
from vecstore.storage.vector_file import Float16


def labelled(source: Path, pictures: Path | None) -> Iterator[tuple[bytes, str]]:
    """Yield (path, label): the tags of each sample, and the label of its `ground_truth` if that is a classification.

    Relative paths are below `pictures`, or else the folder of the data set. Raises BadInput for what is none.
    """
    file = source / SAMPLES if source.is_dir() else source
    said = load_json(file, "samples of FiftyOne")
    try:
        samples = said["samples"]  # type: ignore[index]
        for sample in samples:
            truth = sample.get("ground_truth")
            names = [*(sample.get("tags") or []), *([truth["label"]] if _is_classification(truth) else [])]
            (path,) = paths_in(pictures or file.parent, [sample["filepath"]])
            if not all(isinstance(name, str) for name in names):
                raise TypeError(f"a tag of {sample['filepath']} is not a text")
            yield from ((path, name) for name in names)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadInput(f"{file} is not of FiftyOne, or damaged ({error!r}); nothing was done") from error


def _is_classification(field: Any) -> bool:
    return isinstance(field, dict) and field.get("_cls") == "Classification" and field.get("label") is not None


def write(session: Session, target: Path) -> ExportReport:
    """Write the images with their vectors, clusters, selections and groups of duplicates."""
    catalog = session.catalog
    n_rows = 0
    if not catalog.images.count():
        raise NotFound("the store has no images to export")
    group_of = _groups(session)
    with catalog.reading(), new_folder(target) as draft:
        (draft / "metadata.json").write_text(json.dumps({"name": target.stem, "media_type": "image", "info": {}}))
        with open(draft / SAMPLES, "w", encoding="utf-8") as file:
            file.write('{"samples": [')
            for sample in _samples(session, target, group_of):
                file.write((",\n" if n_rows else "\n") + json.dumps(sample))
                n_rows += 1
            file.write("\n]}\n")
    return ExportReport(str(target), None, n_rows, n_rows, bytes_below(target))


def _groups(session: Session) -> dict[int, int]:
    """Return the number of the group that an image is in, as `vecstore duplicates` has them."""
    found = duplicates(session, NEAR_SCORE, exact=False, series=False, conditions=Filter())
    return {member.id: member.group for member in found}


def _samples(session: Session, target: Path, group_of: dict[int, int]) -> Iterator[dict[str, Any]]:
    catalog = session.catalog
    vectors = session.vectors()
    guard = ChecksumVerifier(catalog, vectors)
    sets: dict[int, list[str]] = {}
    for name in catalog.selections.names():
        for row in catalog.selections.rows(catalog.selections.require(name)):
            sets.setdefault(row, []).append(name)
    last = -1
    for row, path, sha256, width, height, _, size, _, cluster, distance, name in catalog.paths.exported():
        if row == last:
            continue
        last = row
        guard.require([row])
        label = None if cluster is None else _label(name or f"cluster {cluster}")
        yield {
            "filepath": as_text(path, target),
            "tags": sets.get(row, []),
            "metadata": {"_cls": "ImageMetadata", "size_bytes": size, "width": width, "height": height},
            **{"vecstore_id": row, "sha256": sha256.hex(), "embedding": _binary(vectors[row : row + 1])},
            **{"cluster": label, "cluster_distance": distance, "duplicate_group": group_of.get(row)},
            "copies": [as_text(other, target) for other in catalog.paths.of(row)[1:]],
        }


def _label(name: str) -> dict[str, Any]:
    return {"_cls": "Classification", "tags": [], "label": name}


def _binary(vector: Float16) -> dict[str, Any]:
    file = io.BytesIO()
    np.save(file, vector[0].astype(np.float32), allow_pickle=False)
    return {"$binary": {"base64": base64.b64encode(zlib.compress(file.getvalue())).decode(), "subType": "00"}}
