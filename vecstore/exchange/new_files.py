"""Files and folders for other programs: each appears whole or not at all, and overwrites nothing."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vecstore.errors import BadInput
from vecstore.storage.durable_files import draft_of, replacing_path, sync_directory, sync_file, translate_os_errors


@contextmanager
def new_file(target: Path) -> Iterator[BinaryIO]:
    """Yield a file that is at `target` once it is written. Raises BadInput if something is there."""
    with new_path(target) as draft, open(draft, "wb") as file:
        yield file


@contextmanager
def new_path(target: Path) -> Iterator[Path]:
    """Yield the path of a draft that is at `target` once it is written, for writers that open it themselves."""
    require_new(target)
    with translate_os_errors(target), replacing_path(target) as draft:
        yield draft


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that is at `target` once it is filled. Raises BadInput if something is there."""
    require_new(target)
    draft = draft_of(target)
    with translate_os_errors(target):
        if draft.is_dir():  # left by a kill
            shutil.rmtree(draft)
        draft.mkdir()
        try:
            yield draft
            for folder, _, files in os.walk(draft, topdown=False):
                for name in files:
                    sync_file(Path(folder, name))
                sync_directory(Path(folder))
            os.rename(draft, target)
            sync_directory(target.parent)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise


def require_new(target: Path) -> None:
    """Raise BadInput if something is at a place already."""
    if os.path.lexists(target):
        raise BadInput(f"{target} already exists, and an export overwrites nothing; name another")


def as_text(path: bytes, target: Path) -> str:
    """Return a path as text. Raises BadInput for one that is not UTF-8, which the format of `target` cannot hold."""
    try:
        return path.decode()
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{target} can only hold paths in UTF-8, and that of {os.fsdecode(path)!r} is not; rename it and sync first"
        ) from error


def bytes_below(folder: Path) -> int:
    """Return the sizes of a folder's files together."""
    return sum(os.path.getsize(Path(root, name)) for root, _, files in os.walk(folder) for name in files)
