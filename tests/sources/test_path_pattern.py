"""Patterns mean what they mean in a .gitignore, and no pattern makes matching slow."""

import re
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from vecstore.errors import BadInput
from vecstore.search.filters import path_test
from vecstore.sources.path_pattern import PathPattern, PatternList
from vecstore.sources.scan import Patterns

# No class here matches a slash, which pathspec lets through where it is negated and git does not.
PIECES = ["a", "b", ".", "*", "**", "?", "/", "/**/", "[ab]", "[!,-9a]", "[]a]", "[^,-9]", "\\*", "!", "#", " ", "***"]
lines = st.lists(st.sampled_from(PIECES), min_size=1, max_size=8).map("".join)
names = st.text("ab.*!# ", min_size=1, max_size=3)
paths = st.builds(
    lambda parts, end: "/".join(parts) + end, st.lists(names, min_size=1, max_size=5), st.sampled_from(["", "/"])
)


def by_pathspec(pattern_lines: list[str]) -> GitIgnoreSpec:
    """The regular expressions of pathspec, which are slow with many stars side by side: so those become one."""
    return GitIgnoreSpec.from_lines(
        "/".join(part if part == "**" else re.sub(r"(?<!\\)\*{2,}", "*", part) for part in line.split("/"))
        for line in pattern_lines
    )


@settings(max_examples=300, deadline=None)
@given(st.lists(lines, min_size=1, max_size=3), st.lists(paths, min_size=4, max_size=4))
def test_patterns_mean_what_they_mean_to_pathspec(pattern_lines: list[str], candidates: list[str]) -> None:
    # Of which the line above makes another pattern.
    assume(not any(re.search(r"^!\*\*|\*\* +$", line) or not line.strip("!/ ") for line in pattern_lines))
    try:
        oracle = by_pathspec(pattern_lines)
    except ValueError:
        assume(False)
    taken = PatternList(pattern_lines)
    candidates = [path for path in candidates if not path.startswith("./")]
    assert [taken.match(path) for path in candidates] == [oracle.match_file(path) for path in candidates]


@pytest.mark.parametrize(
    "pattern",
    [
        "*" + "?*" * 9 + "Z",
        "*" + "[a-z]*" * 9 + "Z",
        "**/" + "*/**/" * 4 + "Z",
        "**/" + "a*/**/" * 4 + "?Z",
        "*" + "a*b" * 9 + "Z/**/c",
        "?*" * 2_000,
        "**/a/" * 400 + "Z",
        "**/*a*/" * 400 + "Z",
        " " * 30_000 + "x",
    ],
    ids=lambda pattern: f"{pattern[:12]}, {len(pattern)} long",
)
@pytest.mark.parametrize("path", ["a" * 250, "a/" * 60 + "a", "ab" * 100])
def test_no_pattern_makes_matching_slow(pattern: str, path: str) -> None:
    fits, listed = path_test(pattern), Patterns(only=(pattern,))
    listed.take_file(b"the first one compiles it")
    before = time.process_time()
    assert not fits(path.encode())
    assert not listed.take_file(path.encode())
    assert time.process_time() - before < 0.2


def test_the_time_is_that_of_the_pattern_times_the_path() -> None:
    def seconds(more: int) -> float:
        search = PathPattern.compile("*" + "?*" * 20 * more + "Z").covers.search
        before = time.process_time()
        for _ in range(50):
            search("a" * 1_000 * more)
        return time.process_time() - before

    assert seconds(4) < 16 * 4 * seconds(1)


@pytest.mark.parametrize("pattern", ["a[!x]b", "a[+-9]b"])
def test_a_class_matches_no_slash(pattern: str) -> None:  # as in git; pathspec says otherwise
    assert (path_test(pattern)(b"/a/b"), path_test(pattern)(b"/a.b")) == (False, True)


@pytest.mark.parametrize("pattern", ["[z-a].png", "[abc", "a\\", "/", "//"])
def test_a_pattern_that_can_match_no_stored_path_is_refused(pattern: str) -> None:
    with pytest.raises(BadInput, match="not a path pattern"):
        path_test(pattern)


@pytest.mark.parametrize("pattern", ["[z-a].png", "[abc", "a\\", "//", "!"])
def test_a_pattern_that_can_match_no_file_is_refused(pattern: str) -> None:
    with pytest.raises(BadInput, match=r"a pattern does not follow the rules of \.gitignore"):
        Patterns(exclude=(pattern,)).take_file(b"a.png")
