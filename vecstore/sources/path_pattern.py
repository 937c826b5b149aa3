"""Patterns for paths, as in a .gitignore, matched in time proportional to pattern times path.

Python's `re` goes back to every earlier `*` when something after it does not fit, so each further `*` multiplies the
time. Here a pattern becomes a regular expression of atomic groups, which nothing goes back into: what follows a `*` is
put where it first fits in its name, and the names that follow a `**` where they first fit in the path. No match is
lost: whatever comes later has the most room after the first fit. That needs every name to be matched by itself, so
nothing but a `/` of the pattern matches a slash, as in git. Knows no file and no archive.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

ANY_FOLDERS = "**"
# One or more whole names before the next one, and the end of a name.
FOLDERS, END_OF_NAME = "(?:[^/]*/)*?", "(?![^/])"


@dataclass(frozen=True)
class PathPattern:
    """What one pattern matches.

    covers: finds a path that is matched, itself or by a folder that it is in. names: finds one that is matched itself;
    None where that makes no difference. outranks: whether a match by a folder counts as one of the path itself where
    patterns contradict each other.
    """

    covers: re.Pattern[str]
    names: re.Pattern[str] | None
    outranks: bool

    @classmethod
    def compile(cls, text: str, *, ignore_case: bool = False) -> "PathPattern":
        """Return the pattern that is written so. Raises ValueError for one that can match nothing."""
        flags = re.IGNORECASE if ignore_case else re.NOFLAG
        segments = _segments(text)
        is_folder = text.endswith("/")
        if segments == [ANY_FOLDERS]:
            return cls(re.compile("/" if is_folder else "(?s:.)"), None, not is_folder)
        below = segments[-1] == ANY_FOLDERS
        chunks = _chunks(segments[:-1] if below else segments)
        start = "".join(rf"(?>{chunk}/)" for chunk in chunks[:-1])
        covers = re.compile(rf"\A{start}(?>{chunks[-1]})" + ("/" if below else ""), flags)
        if below or segments == [ANY_FOLDERS, "*"]:
            return cls(covers, None, not is_folder)
        return cls(covers, re.compile(rf"\A{start}{chunks[-1]}\Z", flags), False)

    def rank(self, path: str) -> int:
        """Return how directly a path is matched: 0 not at all, 1 by a folder that it is in, 2 itself."""
        if not self.covers.search(path):
            return 0
        return 2 if self.outranks or (self.names is not None and self.names.search(path)) else 1


class PatternList:
    """Lines of a .gitignore: a path is taken if the last pattern that matches it does not begin with `!`.

    A pattern that matches the path itself comes before those that match a folder that it is in.
    """

    def __init__(self, lines: Iterable[str], *, ignore_case: bool = False) -> None:
        """Raises ValueError for a line that can match nothing; blank lines and comments are skipped."""
        self._patterns: list[tuple[bool, PathPattern]] = []
        for line in lines:
            text = line if line.endswith("\\ ") else line.rstrip()
            if text and text != "/" and not text.startswith("#"):
                takes = not text.startswith("!")
                pattern = PathPattern.compile(text if takes else text[1:], ignore_case=ignore_case)
                self._patterns.append((takes, pattern))
        self._takes_only = all(takes for takes, _ in self._patterns)

    def match(self, path: str) -> bool:
        """Say whether a path is taken. path: relative; a folder's ends in a slash."""
        if self._takes_only:
            return any(pattern.covers.search(path) for _, pattern in self._patterns)
        ranks = [(pattern.rank(path), number, takes) for number, (takes, pattern) in enumerate(self._patterns)]
        rank, _, takes = max(ranks)
        return rank > 0 and takes


def _segments(text: str) -> list[str]:
    """Split a pattern at its slashes; `**` stands for folders before and after, as git reads it."""
    if not text.strip("/"):
        raise ValueError(f"{text!r} matches nothing")
    segments = [re.sub(r"^\*{3,}$", "*", name) for name in text.split("/")]
    if not segments[0]:
        del segments[0]  # read from the root
    elif not any(segments[1:]) and len(segments) <= 2 and segments[0] != ANY_FOLDERS:
        segments.insert(0, ANY_FOLDERS)  # a name alone, at every depth
    if not segments[-1]:
        segments[-1] = ANY_FOLDERS
    return [name for i, name in enumerate(segments) if name != ANY_FOLDERS or i == 0 or segments[i - 1] != ANY_FOLDERS]


def _chunks(segments: list[str]) -> list[str]:
    """Return an expression for each run of names between `**`, with the folders that may come before it."""
    chunks: list[list[str]] = [[]]
    for name in segments:
        if name == ANY_FOLDERS:
            chunks.append([])
        else:
            chunks[-1].append(_name(name))
    found = ["/".join(names) for names in chunks]
    return [chunk if i == 0 else FOLDERS + chunk for i, chunk in enumerate(found) if i > 0 or chunk]


def _name(name: str) -> str:
    """Return the expression for one name of a path, up to its end."""
    fixed = [""]  # between stars: what takes one character after the other
    i = 0
    while i < len(name):
        if name[i] == "*":
            fixed += [""] if fixed[-1] or len(fixed) == 1 else []
        elif name[i] == "?":
            fixed[-1] += "[^/]"
        elif name[i] == "[":
            expression, i = _character_class(name, i)
            fixed[-1] += expression
        else:
            i += name[i] == "\\"
            if i == len(name):
                raise ValueError(f"{name!r} ends in the middle of an escape")
            fixed[-1] += re.escape(name[i])
        i += 1
    if fixed == ["", ""]:
        return "[^/]+"  # a star alone needs a name
    first, *between, last = fixed if len(fixed) > 1 else (fixed[0], None)
    inner = "".join(f"(?>[^/]*?{piece})" for piece in between)
    return f"(?>{first}{inner}{'' if last is None else f'[^/]*{last}'}{END_OF_NAME})"


def _character_class(name: str, start: int) -> tuple[str, int]:
    """Return the expression for the class that begins at `start`, and where it ends. A class matches no slash."""
    first = start + 1
    is_negated = name[first : first + 1] in ("!", "^")
    first += is_negated
    end = name.find("]", first + 1)  # one in the first place is meant
    if end < 0:
        raise ValueError(f"{name!r} has a [ without its ]; \\[ stands for the character itself")
    members, i = "", first
    while i < end:
        if i + 2 < end and name[i + 1] == "-":
            if name[i] > name[i + 2]:
                raise ValueError(f"{name!r} has the range {name[i : i + 3]}, which is empty")
            members += f"{re.escape(name[i])}-{re.escape(name[i + 2])}"
            i += 3
        else:
            members += re.escape(name[i])
            i += 1
    return f"(?!/)[{'^' if is_negated else ''}{members}]", end
