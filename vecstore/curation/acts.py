"""What is to be done to which files: duplicates by decision or rule, and images that a query found, into a folder.

What is planned here is checked again, file by file, just before it is done (`journal.py`).
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vecstore.curation import groups, journal, keep_rules, trash
from vecstore.curation.checks import Planned
from vecstore.curation.file_acts import holds, is_regular
from vecstore.curation.groups import Group
from vecstore.curation.journal import PLANNED, REFUSED
from vecstore.errors import BadInput, VecstoreError
from vecstore.image_ref import ImageRef, require_stored
from vecstore.results import Act, ActReport, FoldersReport
from vecstore.search.duplicates import COPY as COPY_KIND
from vecstore.search.duplicates import KEEP, NEAR
from vecstore.search.filters import Filter
from vecstore.session import Session
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.paths import absolute, archive_of, is_address, on_disk, shown
from vecstore.storage.catalog.acts import COPY, DELETE, DONE, HARDLINK, LINK, MOVE, SYMLINK, TRASH
from vecstore.storage.catalog.catalog import Catalog
from vecstore.views import cluster_folders
from vecstore.views.cluster_folders import alike, free_name, most_bytes

OF_DUPLICATES = (TRASH, MOVE, HARDLINK, SYMLINK, DELETE)
INTO_FOLDERS = (COPY, LINK, MOVE)
# Those after which the room of a file is free at once.
FREEING = (HARDLINK, SYMLINK, DELETE)
# What near images may be acted on by: they stay a file somewhere.
OF_NEAR = (TRASH, MOVE)


@dataclass(frozen=True)
class DuplicateOrder:
    """What `act_on_duplicates` is asked for; see `Store.act_on_duplicates`. images: only groups with one of these."""

    act: str
    folder: Path | None
    keep_by: Sequence[str]
    near: bool
    min_score: float
    exact: bool
    conditions: Filter
    images: frozenset[int] | None

    @classmethod
    def of(
        cls,
        act: str,
        keep_by: Sequence[str],
        near: bool,
        min_score: float,
        exact: bool,
        conditions: Filter,
        images: Iterable[int] | None,
    ) -> "DuplicateOrder":
        """Return the order. act: as it is typed, such as "move:DIR". Raises BadInput."""
        name, colon, folder = act.partition(":")
        if name not in OF_DUPLICATES or bool(folder.strip()) != (name == MOVE) or (colon and name != MOVE):
            raise BadInput(f"{act!r} is not an act; there are trash, move:DIR, hardlink, symlink and delete")
        if near and name not in OF_NEAR:
            raise BadInput(f"near images are other pictures, of which {name} would lose some; give trash or move:DIR")
        if near and not keep_by:
            raise BadInput("near images are only acted on by a rule that says which to keep; give one with --keep-by")
        place = _folder(folder) if name == MOVE else None
        if name == TRASH:
            trash.require()
        return cls(
            name, place, keep_by, near, min_score, exact, conditions, None if images is None else frozenset(images)
        )


def act_on_duplicates(
    session: Session, order: DuplicateOrder, dry_run: bool, on_act: Callable[[Act], None] | None
) -> ActReport:
    """Do an act to the duplicates that were decided on, or that rules choose; see `Store.act_on_duplicates`."""
    rules = keep_rules.parse(order.keep_by)
    if order.folder is not None:
        _require_outside(session, order.folder)
    found = groups.groups(session, order.min_score, order.exact, rules, False, order.conditions)
    names = _Names(order.folder)
    planned = (
        plan
        for group in found
        if order.images is None or order.images & group.contents.keys()
        for plan in _planned(group, order, bool(rules), names)
    )
    where = f" to {shown(os.fsencode(order.folder))}" if order.folder is not None else ""
    return _report(session, order.act, f"duplicates{where}", planned, dry_run, on_act)


def collect(
    session: Session,
    refs: Sequence[ImageRef],
    folder: Path,
    act: str,
    dry_run: bool,
    on_act: Callable[[Act], None] | None,
) -> ActReport:
    """Copy, link or move the files of images into a folder; see `Store.collect`."""
    if act not in INTO_FOLDERS:
        raise BadInput(f"{act!r} is not a way into a folder; there are copy, link and move")
    folder = _folder(os.fsdecode(folder))
    _require_outside(session, folder)
    with session.catalog.reading():
        rows = list(dict.fromkeys(require_stored(session, ref) for ref in refs))
        names = _Names(folder)
        planned = [_collected(session.catalog, row, act, names) for row in rows]
    return _report(session, act, f"{len(rows)} images to {shown(os.fsencode(folder))}", planned, dry_run, on_act)


def make_folders(
    session: Session, target: Path, cluster: int | str | None, *, link: bool, k: int | None, farthest: bool
) -> FoldersReport:
    """Copy or link the pictures of a cluster, or of all, into a folder each; see `Store.make_folders`."""
    act = LINK if link else COPY
    target = _folder(os.fsdecode(target))
    _require_outside(session, target)
    planned, missing = [], []
    folders = cluster_folders.planned_folders(session, target, cluster, link=link, k=k, farthest=farthest)
    for folder, pictures in folders:
        names = _Names(folder)
        for member, path in pictures:
            if path is None:
                missing.append(member.path)
                continue
            sha256 = session.catalog.images.sha256_of(member.id) or b""
            planned.append(Planned(act, member.id, sha256, path, target=names.free(path)))
    what = f"pictures of {len(folders)} clusters to {shown(os.fsencode(target))}"
    report = _report(session, act, what, planned, False, None)
    refused = [(one, plan) for one, plan in zip(report.acts, planned, strict=True) if one.state == REFUSED]
    for one, plan in refused:
        if holds(plan.path, plan.sha256):  # it is the folder that cannot have it: a full disk, say
            raise VecstoreError(f"{shown(plan.path)}: {one.reason}; {report.done} pictures are in the folders")
    missing += [one.path for one, _ in refused]
    return FoldersReport(str(target), len(folders), report.done, tuple(missing))


def _report(
    session: Session,
    act: str,
    what: str,
    planned: Iterable[Planned],
    dry_run: bool,
    on_act: Callable[[Act], None] | None,
) -> ActReport:
    tell = on_act or (lambda act: None)
    if dry_run:
        acts, operation = [], None
        for plan in planned:
            acts.append(journal.preview(session.catalog, plan))
            tell(acts[-1])
    else:
        with session.writing(act, what):
            acts = journal.carry_out(session, list(planned), tell)
            operation = session.catalog.operations.current() if any(one.state == DONE for one in acts) else None
    done = [one for one in acts if one.state in (DONE, PLANNED)]
    size = sum(one.bytes for one in done)
    return ActReport(act, operation, len(done), len(acts) - len(done), size, act in FREEING, tuple(acts))


# Duplicates


def _planned(group: Group, order: DuplicateOrder, has_rules: bool, names: "_Names") -> Iterator[Planned]:
    """Yield what is to be done to a group: copies first, whose keeper may itself be a near file."""
    keep = group.files[0]
    if keep.kind != KEEP or not is_regular(os.fsencode(keep.path)):
        return
    best = {file.id: file.path for file in reversed(group.files) if file.kind in (KEEP, NEAR)}
    for kind in (COPY_KIND, NEAR):
        for file in group.files:
            if file.kind != kind:
                continue
            content, kept = group.contents[file.id], group.contents[keep.id]
            pair = (content, content) if kind == COPY_KIND else (kept, content)
            by_hand = pair in group.by_hand
            if not (by_hand or (has_rules and (kind == COPY_KIND or order.near))):
                continue
            keeper = best[file.id] if kind == COPY_KIND else keep.path
            path = os.fsencode(file.path)
            plan = Planned(order.act, file.id, content, path, os.fsencode(keeper))
            if kind == NEAR and order.act not in OF_NEAR:
                yield replace(plan, reason="it is another picture than the one to keep; give trash or move:DIR")
            elif order.folder is not None:
                yield replace(plan, target=names.free(path))
            else:
                yield plan


# Images into a folder


def _collected(catalog: Catalog, row: int, act: str, names: "_Names") -> Planned:
    sha256 = catalog.images.sha256_of(row) or b""
    path = file_to_take(catalog, row)
    if path is None:
        shown_path = catalog.paths.first_of(row) or b""
        return Planned(act, row, sha256, shown_path, reason="no file of it can be read now; `vecstore sync` its folder")
    if archive_of(path) is not None and act == MOVE:
        act = COPY  # an archive is never changed
    return Planned(act, row, sha256, path, target=names.free(path))


def file_to_take(catalog: Catalog, row: int) -> bytes | None:
    """Return the path to take an image's file from: a file of its own before a link, and that before an archive."""
    found = []
    for recorded in catalog.paths.states_of(row):
        path = recorded.path
        if is_address(path):
            continue
        try:
            state = os.stat(on_disk(path))
        except OSError:
            continue
        is_as_recorded = FileStamp(path, state.st_size, state.st_mtime_ns) == recorded
        found.append((not is_as_recorded, archive_of(path) is not None, os.path.islink(path), path))
    return min(found)[-1] if found else None


# Places


class _Names:
    """Names in a folder that are free: neither there nor given out."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = os.fsencode(folder) if folder is not None else b""
        self._taken: set[str] = set()
        if folder is not None and folder.is_dir():
            self._taken = {alike(name) for name in os.listdir(self._folder)}

    def free(self, path: bytes) -> bytes:
        return os.path.join(self._folder, free_name(os.path.basename(path), self._taken, most_bytes(self._folder)))


def _folder(text: str) -> Path:
    path = absolute(text)
    if is_address(path):
        raise BadInput(f"{shown(path)} is an address; name a folder of this machine")
    folder = Path(os.fsdecode(path))
    if os.path.lexists(folder) and not folder.is_dir():
        raise BadInput(f"{shown(path)} is a file; name a folder")
    return folder


def _require_outside(session: Session, folder: Path) -> None:
    store = session.path.resolve()
    if store in (folder.resolve(), *folder.resolve().parents):
        raise BadInput(f"{shown(os.fsencode(folder))} is inside the store itself; name a folder elsewhere")
