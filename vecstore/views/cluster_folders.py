"""Which folders a cluster's pictures go into, under which names. `curation/acts.py` puts them there.

A cluster gets a folder of its own, which must be new or empty. What is no longer the picture that the store knows is
left out and reported. Nothing is written here.
"""

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from vecstore.clustering import clusters
from vecstore.errors import BadInput
from vecstore.results import Cluster, Member
from vecstore.session import Session
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.paths import archive_of, on_disk, shown
from vecstore.storage.catalog.catalog import Catalog

# A name that every common file system takes: shorter than its 255 bytes, without what Windows refuses.
NAME_BYTES = 120
REFUSED = set('<>:"/\\|?*')
DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}

# A folder to be made, and its pictures with the path that each can be read at, None for one that is gone.
Folder: TypeAlias = tuple[Path, list[tuple[Member, bytes | None]]]


def planned_folders(
    session: Session, target: Path, cluster: int | str | None, *, link: bool, k: int | None, farthest: bool
) -> list[Folder]:
    """Return what the folders of a cluster, or of all, are to hold; see `Store.make_folders`."""
    with session.catalog.reading():
        found = clusters.clusters(session)
        if cluster is not None:
            current = clusters.current_clusters(session).clustering
            number = session.catalog.clusterings.require_cluster(current, cluster)
            found = [described for described in found if described.cluster == number]
        listed = [(described, clusters.members(session, described.cluster, k, farthest)) for described in found]
        return _plan(session.catalog, listed, target, link=link)


def require_empty(folder: Path) -> None:
    """Raise BadInput unless a folder is missing or empty."""
    if os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{folder} already exists and is not empty; name another folder")


def _plan(catalog: Catalog, found: Iterable[tuple[Cluster, list[Member]]], target: Path, *, link: bool) -> list[Folder]:
    """Return what each folder below `target` is to hold.

    Raises BadInput if such a folder is there and not empty, or if a picture to be linked is in an archive.
    """
    planned: list[Folder] = []
    taken: set[str] = set()
    for cluster, members in found:
        name = folder_name(cluster)
        if name.casefold() in taken:
            name = f"{name} ({cluster.cluster})"
        taken.add(name.casefold())
        folder = target / name
        require_empty(folder)
        sources = [unchanged_path(catalog, member.id) for member in members]
        for path in sources:
            if link and path is not None and archive_of(path) is not None:
                raise BadInput(f"{shown(path)} is inside an archive and cannot be linked to; use --copy-to")
        planned.append((folder, list(zip(members, sources, strict=True))))
    return planned


def folder_name(cluster: Cluster) -> str:
    """Return a safe folder name for a cluster: its own name with what is refused somewhere replaced, or cluster-ID."""
    name = unicodedata.normalize("NFC", cluster.name or "")
    name = "".join("_" if c in REFUSED or not c.isprintable() else c for c in name)
    name = name.encode()[:NAME_BYTES].decode(errors="ignore").strip(" .")
    if not name or name.split(".")[0].lower() in DEVICES:
        return f"cluster-{cluster.cluster}"
    return name


def unchanged_path(catalog: Catalog, row: int) -> bytes | None:
    """Return a path at which the image is unchanged since it was added; None if there is none."""
    for path in catalog.paths.of(row):
        known = catalog.paths.known(path)
        try:
            state = os.stat(on_disk(path))
        except OSError:
            continue
        if known is not None and known.is_as_in(FileStamp(path, state.st_size, state.st_mtime_ns)):
            return path
    return None


def free_name(name: bytes, names: set[str], most: int) -> bytes:
    """Return the name, numbered if it is taken, and shortened before its suffix to what a name may have.

    names: those that are taken, as `alike` puts them; the returned one is added.
    """
    stem, suffix = os.path.splitext(name)
    if len(suffix) > most // 2:  # no suffix, but a name with a dot in it
        stem, suffix = name, b""
    number, free = 1, _shortened(stem, most - len(suffix)) + suffix
    while alike(free) in names:
        number += 1
        end = b" (%d)%s" % (number, suffix)
        free = _shortened(stem, most - len(end)) + end
    names.add(alike(free))
    return free


def alike(name: bytes) -> str:
    """Return what two names have in common that some file systems take for one: a.jpg and A.JPG, NFC and NFD."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", os.fsdecode(name)).casefold())


def _shortened(stem: bytes, most: int) -> bytes:
    """Return a name cut to a number of bytes, without splitting a character."""
    if len(stem) <= most:
        return stem
    end = most
    while end > max(most - 4, 0) and stem[end] & 0xC0 == 0x80:  # within a character of UTF-8
        end -= 1
    return stem[:end]


def most_bytes(folder: bytes) -> int:
    """Return how long a name may be there: 255 bytes nearly everywhere, 143 where names are encrypted."""
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, ValueError, AttributeError):  # Windows does not say
        return 255
