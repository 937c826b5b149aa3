"""The formats of other programs by name, and how one is recognised by what is in the file or folder.

Knows no store and reads no more than it takes to tell. What `maintenance/export.py` writes is `vecstore`'s own.
"""

import json
from pathlib import Path

from vecstore.errors import BadInput, NotFound
from vecstore.storage.export_format import PARQUET

IMAGEFOLDER, CSV, COCO, CLIP_RETRIEVAL = "imagefolder", "csv", "coco", "clip-retrieval"
HUGGINGFACE, EMBEDDING_ATLAS, USEARCH, HNSWLIB = "huggingface", "embedding-atlas", "usearch", "hnswlib"
LANCE, FIFTYONE = "lance", "fiftyone"
# What a folder of FiftyOne has, in either of its forms.
SAMPLES = "samples.json"
# Pictures at an address, which needs no name to be known by.
REMOTE = "remote"
# Those that are read, and those that are written.
IMPORTS = (IMAGEFOLDER, CSV, COCO, CLIP_RETRIEVAL, HUGGINGFACE, LANCE, FIFTYONE, EMBEDDING_ATLAS, USEARCH, HNSWLIB)
# Of these the paths are in a list beside them. By their suffixes, as there is no other sign of hnswlib's.
KEYED = {".usearch": USEARCH, ".hnsw": HNSWLIB, ".hnswlib": HNSWLIB}
EXPORTS = (CSV, COCO, CLIP_RETRIEVAL, HUGGINGFACE, EMBEDDING_ATLAS, USEARCH, HNSWLIB, LANCE, FIFTYONE)
# Of a JSON file, read to see whether it is COCO's; "images" may come after all annotations, so its name is enough.
PEEKED_BYTES = 1 << 16


def require_import(name: str) -> str:
    """Return the name of a format that can be read. Raises BadInput for another."""
    if name not in IMPORTS:
        raise BadInput(f"no format to import is called {name!r}; choose one of {', '.join(IMPORTS)}")
    return name


def require_export(name: str) -> str:
    """Return the name of a format that can be written. Raises BadInput for another."""
    if name not in EXPORTS:
        raise BadInput(f"no format to export is called {name!r}; choose one of {', '.join(EXPORTS)}")
    return name


def recognise(source: Path) -> str | None:
    """Return the format of a file or folder, None for ready-made vectors (`import_vectors`).

    Raises NotFound if nothing is there, and BadInput for a folder that shows no format.
    """
    if source.is_dir():
        return _of_folder(source)
    if not source.exists():
        raise NotFound(f"there is no file or folder {source} to import; name another")
    if source.suffix.lower() == ".csv":
        return CSV
    if source.suffix.lower() in KEYED:
        return KEYED[source.suffix.lower()]
    if source.suffix.lower() in PARQUET and _has_pictures(source):
        return HUGGINGFACE
    return COCO if _is_json(source) else None


def _has_pictures(source: Path) -> bool:
    """Say whether a Parquet file has pictures in it, and no column `vector`, which is imported as such."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:  # reported where it is read
        return False
    try:
        schema = pyarrow.parquet.read_schema(source)
    except (OSError, pyarrow.ArrowException):  # reported where it is read
        return False
    kinds = [field.type for field in schema if pyarrow.types.is_struct(field.type)]
    return "vector" not in schema.names and any({one.name for one in kind} >= {"bytes", "path"} for kind in kinds)


def _of_folder(source: Path) -> str:
    if (source / "img_emb").is_dir():
        return CLIP_RETRIEVAL
    if any((source / name).exists() for name in ("state.json", "dataset_dict.json")):
        return HUGGINGFACE
    if (source / SAMPLES).exists():
        return FIFTYONE
    if source.suffix == ".lance" or any(source.glob("*.lance")):
        return LANCE
    raise BadInput(
        f"{source} is a folder that shows no format; say which with --from, such as --from {IMAGEFOLDER} for pictures "
        "in folders that are named by their labels"
    )


def _is_json(source: Path) -> bool:
    try:
        with open(source, "rb") as file:
            return source.suffix.lower() == ".json" and file.read(PEEKED_BYTES).lstrip()[:1] == b"{"
    except OSError as error:
        raise BadInput(f"{source} cannot be read: {error.strerror}") from error


def load_json(source: Path, what: str, **options: object) -> object:
    """Return what a JSON file says. Raises BadInput if it cannot be read as such."""
    try:
        with open(source, encoding="utf-8-sig") as file:
            return json.load(file, **options)  # type: ignore[arg-type]
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{source} cannot be read as {what}: {error}") from error
