"""What belongs to no collection: system folders, caches and trash by default, and what a `.vecstoreignore` names.

A `.vecstoreignore` is read as git reads a `.gitignore`: in every folder, the deepest one first, in each the last line
that fits; what is below a folder that is left out cannot be taken back, nor what is left out by default: `!*/`, which
is written to take only some files of every folder, would take all the thumbnails.
"""

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from vecstore.sources.decoding import has_picture_suffix
from vecstore.sources.path_pattern import PathPattern
from vecstore.sources.paths import shown
from vecstore.sources.text_files import read_text

log = logging.getLogger(__name__)

IGNORE_FILE = b".vecstoreignore"
# A larger file is not a list of patterns.
MOST_IGNORE_BYTES = 1 << 20

# Left out unless --no-default-excludes takes them; docs/commands.md lists them too (tests/sources/test_exclusions.py).
# Compared without regard to upper and lower case, as Windows and macOS do that make most of them.
DEFAULT_FOLDERS = (
    # Thumbnails and caches
    *("@eaDir", ".@__thumb", ".thumbnails", ".cache", ".xvpics", ".BridgeCache", ".dropbox.cache"),
    *("*.lrdata", "*.photoslibrary/resources", "*.photolibrary/Thumbnails"),
    # Trash
    *("#recycle", "@Recycle", ".Trash", ".Trash-*", ".Trashes", ".local/share/Trash", ".dtrash"),
    *("$RECYCLE.BIN", "RECYCLER", "RECYCLED", "Network Trash Folder"),
    # Snapshots and old versions of the same files
    *("#snapshot", "@Recently-Snapshot", ".snapshot", ".snapshots", ".zfs", ".stversions"),
    # Of the system, and of version control and packages
    *("System Volume Information", "lost+found", "@tmp", ".@upload_cache", ".Spotlight-V100", ".fseventsd"),
    *(".TemporaryItems", "Temporary Items", ".DocumentRevisions-V100", ".AppleDouble", ".AppleDB", "__MACOSX"),
    *(".git", ".hg", ".svn", "node_modules", "__pycache__"),
)
# What Android's gallery has thrown away keeps its place under this name for thirty days.
DEFAULT_FILES = (".trashed-*",)

# As `storage.layout` calls them; a folder that has the first and one of the others is a store.
STORE_CATALOG, STORE_FILES = b"catalog.sqlite", (b"vectors.f16", b"lock")


def _ends_like(patterns: tuple[str, ...]) -> re.Pattern[bytes]:
    ends = "|".join(re.escape(pattern).replace(r"\*", "[^/]*") for pattern in patterns)
    return re.compile(f"/(?:{ends})$".encode(), re.IGNORECASE | re.DOTALL)


_FOLDERS, _FILES = _ends_like(DEFAULT_FOLDERS), _ends_like(DEFAULT_FILES)


def is_left_out_by_default(path: bytes, is_folder: bool) -> bool:
    """Return whether a folder or file is skipped by default, by its absolute path; its parent folders do not count."""
    return bool((_FOLDERS if is_folder else _FILES).search(path))


def is_store(names: list[bytes]) -> bool:
    """Say whether a folder with files of these names is a store of vecstore's."""
    return STORE_CATALOG in names and any(name in names for name in STORE_FILES)


@dataclass
class LeftOut:
    """What a scan passed over, counted so that it can be said.

    excluded: folders and files of the default list. ignored: those that a `.vecstoreignore` names. A folder counts
    once, whatever is in it, and of files those that are called like a picture. linked_folders: links to folders, which
    are not followed. other_case: files that `--glob` would take if upper and lower case were the same. complaints:
    about a `.vecstoreignore`, a line each.
    """

    excluded: int = 0
    ignored: int = 0
    linked_folders: int = 0
    other_case: int = 0
    complaints: list[str] = field(default_factory=list)

    def count(self, path: bytes, is_folder: bool, by_default: bool) -> None:
        if is_folder or has_picture_suffix(path):
            self.excluded += by_default
            self.ignored += not by_default

    def log(self) -> None:
        """Log it: problems as warnings, the rest as information."""
        for complaint in self.complaints:
            log.warning("%s", complaint)
        for sentence in self.counted():
            log.info("%s", sentence)

    def counted(self) -> Iterator[str]:
        """Yield what was passed over and how to take it, a line each."""
        if self.excluded:
            yield (
                f"left out by default: {_counted(self.excluded, 'folder or file', 'folders and files')} (thumbnails, "
                "trash, system folders); --no-default-excludes takes them"
            )
        if self.ignored:
            yield f"left out by a .vecstoreignore: {_counted(self.ignored, 'folder or file', 'folders and files')}"
        if self.linked_folders:
            links = _counted(self.linked_folders, "link to a folder", "links to folders")
            yield f"not followed: {links}; name such a folder itself to have what is in it"
        if self.other_case:
            files = _counted(self.other_case, "file", "files")
            yield f"left out: {files} that --glob fits but for upper and lower case; repeat it in the other case"


def _counted(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"


@dataclass(frozen=True)
class IgnoreFile:
    """One `.vecstoreignore`. folder: where it lies. rules: (whether it leaves out, only folders, what fits)."""

    folder: bytes
    rules: tuple[tuple[bool, bool, PathPattern], ...]
    text: str

    @classmethod
    def read(cls, folder: bytes, complaints: list[str]) -> Self | None:
        """Return the rules of a folder, None without any. What is wrong with the file is added to `complaints`."""
        path = os.path.join(folder, IGNORE_FILE)
        if not os.path.isfile(path):  # opening a pipe would wait for its writer
            complaints.append(f"{shown(path)} is not a file; nothing is left out by it")
            return None
        try:
            with open(path, "rb") as file:
                data = file.read(MOST_IGNORE_BYTES + 1)
        except OSError as error:
            complaints.append(f"{shown(path)} cannot be read ({error.strerror}); nothing is left out by it")
            return None
        if len(data) > MOST_IGNORE_BYTES:
            complaints.append(f"{shown(path)} has more than {MOST_IGNORE_BYTES:,} bytes; nothing is left out by it")
            return None
        text, rules = read_text(data), []
        for number, line in enumerate(text.split("\n"), start=1):
            try:
                rule = _rule(line.removesuffix("\r"))
            except ValueError:
                complaints.append(
                    f"{shown(path)}, line {number}: {shown(os.fsencode(line))} is not a pattern as in a .gitignore; "
                    "the other lines hold"
                )
                continue
            if rule is not None:
                rules.append(rule)
        return cls(folder, tuple(rules), text) if rules else None

    def verdict(self, path: bytes, is_folder: bool) -> bool | None:
        """Return whether a file or folder below is left out (True) or taken (False); None if no line fits."""
        relative = os.fsdecode(path[len(self.folder.rstrip(b"/")) + 1 :])
        for leaves_out, only_folders, fits in reversed(self.rules):
            if is_folder or not only_folders:
                # Where the pattern fits a folder above, that folder was judged by itself.
                if fits.rank(relative) == 2:
                    return leaves_out
        return None


def _rule(line: str) -> tuple[bool, bool, PathPattern] | None:
    """Return the rule of a line of a `.gitignore`; None for a comment. Raises ValueError for an invalid pattern."""
    pattern = line.rstrip(" ")
    if pattern.endswith("\\") and pattern != line:
        pattern += " "  # an escaped space belongs to the name
    only_folders = pattern.endswith("/")
    pattern = pattern.removesuffix("/")
    if pattern in ("", "!") or pattern.startswith("#"):
        return None
    return not pattern.startswith("!"), only_folders, PathPattern.compile(pattern.removeprefix("!"))
