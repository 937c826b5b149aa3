"""Data sets of Hugging Face's `datasets` on disk: pictures and labels in, pictures with all that is known of them out.

Read: a folder that `save_to_disk` wrote (Arrow), or Parquet as the hub has it, each with a column of pictures as
struct<bytes, path>. Pictures whose bytes are in there are unpacked to a folder first, since a store is of files.
Written: what `load_from_disk` reads. https://huggingface.co/docs/datasets
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from vecstore.errors import BadInput, NotFound
from vecstore.exchange.arrow import pyarrow_for, readable
from vecstore.exchange.formats import load_json
from vecstore.exchange.given_rows import paths_in
from vecstore.exchange.new_files import as_text, bytes_below, new_folder
from vecstore.results import ExportReport
from vecstore.session import Session
from vecstore.sources import archives, decoding
from vecstore.sources.paths import archive_of
from vecstore.storage.checksums import ChecksumVerifier
from vecstore.storage.durable_files import make_directory, translate_os_errors

INFO, STATE, SPLITS = "dataset_info.json", "state.json", "dataset_dict.json"
KEY = b"huggingface"
# Rows with pictures in them, in memory at a time.
READ_ROWS, WRITTEN_ROWS = 16, 512
SUFFIXES = {b"\xff\xd8": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"RIFF": ".webp", b"II*\0": ".tif", b"BM": ".bmp"}


@dataclass(frozen=True)
class Part:
    """A file of a data set. split: the name of the part of the data that it belongs to, such as train."""

    split: str
    file: Path


@dataclass(frozen=True)
class Columns:
    """Which columns hold what. classes: the names of each column of labels, by column; sets: one of lists of names."""

    picture: str
    classes: dict[str, list[str]]
    sets: str | None


def pictures_of(source: Path, folder: Path | None) -> Iterator[tuple[bytes, list[str]]]:
    """Yield the path of each picture, and its labels; those that are in the data set itself are unpacked to `folder`.

    Unpacking again writes only what is missing. Raises BadInput for what is no such data set.
    """
    pyarrow_for(f"reading {source}")
    for part in _parts(source):
        numbers = count()
        for columns, rows in _batches(part.file):
            for row in rows:
                number = next(numbers)
                path = _placed(part, number, row[columns.picture], folder)
                if path is not None:
                    yield path, _labels(part, row, columns)


def _parts(source: Path) -> list[Part]:
    if source.is_file():
        return [Part(source.stem, source)]
    if (source / SPLITS).exists():
        said = load_json(source / SPLITS, "splits of a data set")
        names = said.get("splits") if isinstance(said, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) and Path(name).name == name for name in names):
            raise BadInput(f"{source / SPLITS} names no splits; it is damaged")
        return [part for name in names for part in _saved(source / name, name)]
    if (source / STATE).exists():
        return _saved(source, "")
    found = sorted([*source.glob("*.parquet"), *source.glob("data/*.parquet")])
    if not found:
        raise BadInput(f"{source} is no data set of Hugging Face: it has neither {STATE} nor {SPLITS} nor .parquet")
    return [Part(file.stem, file) for file in found]


def _saved(folder: Path, split: str) -> list[Part]:
    said = load_json(folder / STATE, "the state of a data set")
    try:
        names = [one["filename"] for one in said["_data_files"]]  # type: ignore[index]
        if any(Path(name).name != name for name in names):
            raise ValueError("a file outside of the folder")
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{folder / STATE} is damaged: {error!r}") from error
    return [Part(os.path.join(split, Path(name).stem), folder / name) for name in names]


def _batches(file: Path) -> Iterator[tuple[Columns, list[dict[str, Any]]]]:
    import pyarrow as pa
    import pyarrow.parquet

    with readable(file, "a data set of Hugging Face"):
        if file.suffix.lower() != ".arrow":
            with pyarrow.parquet.ParquetFile(file, buffer_size=1 << 20) as parquet:
                columns = _columns(file, parquet.schema_arrow)
                for batch in parquet.iter_batches(READ_ROWS, columns=_wanted(columns)):
                    yield columns, batch.to_pylist()
            return
        with pa.memory_map(str(file)) as mapped, pa.ipc.open_stream(mapped) as stream:
            columns = _columns(file, stream.schema)
            for batch in stream:
                for first in range(0, len(batch), READ_ROWS):
                    yield columns, batch.select(_wanted(columns)).slice(first, READ_ROWS).to_pylist()


def _wanted(columns: Columns) -> list[str]:
    return [columns.picture, *columns.classes, *([columns.sets] if columns.sets else [])]


def _columns(file: Path, schema: Any) -> Columns:
    import pyarrow as pa

    pictures = [
        field.name
        for field in schema
        if pa.types.is_struct(field.type) and _is_picture({one.name: one.type for one in field.type})
    ]
    if not pictures:
        raise BadInput(f"{file} has no column of pictures (struct<bytes, path>); its columns are {schema.names}")
    said = json.loads((schema.metadata or {}).get(KEY, b"{}"))
    features = said.get("info", {}).get("features", {})
    classes = {
        name: [str(label) for label in features[name]["names"]]
        for name in schema.names
        if isinstance(features.get(name), dict) and features[name].get("_type") == "ClassLabel"
    }
    known = schema.field("selections").type if "selections" in schema.names else None
    sets = "selections" if known in (pa.list_(pa.string()), pa.large_list(pa.string())) else None
    return Columns(pictures[0], classes, sets)


def _is_picture(kinds: dict[str, Any]) -> bool:
    import pyarrow as pa

    binary, text = (pa.binary(), pa.large_binary()), (pa.string(), pa.large_string(), pa.null())
    return kinds.get("bytes") in (*binary, pa.null()) and kinds.get("path") in text


def _labels(part: Part, row: dict[str, Any], columns: Columns) -> list[str]:
    found = [str(name) for name in (row[columns.sets] or [] if columns.sets else [])]
    for column, names in columns.classes.items():
        number = row[column]
        if number is None or number == -1:  # as test sets without labels have it
            continue
        if not isinstance(number, int) or not 0 <= number < len(names):
            raise BadInput(f"{part.file}: the label {number} of {column} has no name; it has {len(names)}")
        found.append(names[number])
    return found


def _placed(part: Part, number: int, picture: dict[str, Any] | None, folder: Path | None) -> bytes | None:
    """Return the path of a picture, None for a row without one."""
    if picture is None or (picture["bytes"] is None and not picture["path"]):
        return None
    encoded, name = picture["bytes"], picture["path"] or ""
    if encoded is None:
        return paths_in(folder, [name])[0]
    if folder is None:
        raise BadInput(
            f"the pictures are in {part.file} itself; name a folder to unpack them to with --pictures, where they stay"
        )
    stem, suffix = os.path.splitext(re.sub(r"[^\w.-]", "_", os.path.basename(name)))
    if not suffix:
        suffix = next((found for magic, found in SUFFIXES.items() if encoded.startswith(magic)), ".img")
    target = folder / part.split / f"{number:08}{'-' if stem else ''}{stem[:100]}{suffix[:10]}"
    with translate_os_errors(target):
        if number == 0:
            make_directory(target.parent)
        if not target.exists() or target.stat().st_size != len(encoded):
            target.write_bytes(encoded)
    return os.fsencode(target)


def write(session: Session, target: Path) -> ExportReport:
    """Write what `datasets.load_from_disk` reads: each image once, by its path, with its vector and what is known."""
    pa = pyarrow_for(f"writing {target}")
    catalog = session.catalog
    dim = session.spec.dim
    text, number = {"dtype": "string", "_type": "Value"}, {"dtype": "int64", "_type": "Value"}
    features = {
        "image": {"_type": "Image"},
        **{"id": number, "path": text, "width": number, "height": number, "cluster": number, "cluster_name": text},
        "selections": {"feature": text, "_type": "List"},
        "vector": {"feature": {"dtype": "float16", "_type": "Value"}, "length": dim, "_type": "List"},
    }
    kinds = [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        *(("id", pa.int64()), ("path", pa.string()), ("width", pa.int64()), ("height", pa.int64())),
        *(("cluster", pa.int64()), ("cluster_name", pa.string()), ("selections", pa.list_(pa.string()))),
        ("vector", pa.list_(pa.float16(), dim)),
    ]
    schema = pa.schema(kinds, metadata={KEY: json.dumps({"info": {"features": features}})})
    name = "data-00000-of-00001.arrow"
    n_rows = 0
    with catalog.reading(), new_folder(target) as draft:
        vectors = session.vectors()
        guard = ChecksumVerifier(catalog, vectors)
        sets: dict[int, list[str]] = {}
        for selection in catalog.selections.names():
            for row in catalog.selections.rows(catalog.selections.require(selection)):
                sets.setdefault(row, []).append(selection)
        with pa.OSFile(str(draft / name), "wb") as file, pa.ipc.new_stream(file, schema) as stream:
            for block in _blocks(session, target):
                rows = [one["id"] for one in block]
                guard.require(rows)
                flat = pa.array(np.ascontiguousarray(vectors[rows]).reshape(-1))
                known = {**{row: [] for row in rows}, **sets}
                plain = pa.Table.from_pylist(
                    [{**one, "selections": known[one["id"]]} for one in block], pa.schema(kinds[:-1])
                )
                stream.write_table(
                    plain.append_column("vector", pa.FixedSizeListArray.from_arrays(flat, dim)).cast(schema)
                )
                n_rows += len(rows)
        if not n_rows:
            raise NotFound("the store has no images to export")
        info = {
            "citation": "",
            "description": "written by vecstore",
            "features": features,
            "homepage": "",
            "license": "",
        }
        state: dict[str, Any] = {
            "_data_files": [{"filename": name}],
            "_fingerprint": os.urandom(8).hex(),
            "_format_columns": None,
        }
        state |= {"_format_kwargs": {}, "_format_type": None, "_output_all_columns": False, "_split": None}
        (draft / INFO).write_text(json.dumps(info, indent=2))
        (draft / STATE).write_text(json.dumps(state, indent=2))
    return ExportReport(str(target), None, n_rows, n_rows, bytes_below(target))


def _blocks(session: Session, target: Path) -> Iterator[list[dict[str, Any]]]:
    block: list[dict[str, Any]] = []
    last = -1
    for row, path, _, width, height, _, _, _, cluster, _, name in session.catalog.paths.exported():
        if row == last:
            continue
        last = row
        text = as_text(path, target)
        picture = {"bytes": _in_archive(path), "path": text}
        values = {"width": width, "height": height, "cluster": cluster, "cluster_name": name}
        block.append({"image": picture, "id": row, "path": text, **values})
        if len(block) == WRITTEN_ROWS:
            yield block
            block = []
    if block:
        yield block


def _in_archive(path: bytes) -> bytes | None:
    """Return the bytes of a picture in an archive, which no other program finds by its path; None for a file."""
    if archive_of(path) is None:
        return None
    try:
        return archives.read_path(path).data
    except (OSError, decoding.Unreadable):
        return None
