"""Pieces of SQL that several parts of the catalog share."""

# The path shown for an image that has several: the first in byte order, so that it is the same every time.
FIRST_PATH = "(select min(paths.path) from paths where paths.row = {row})"
ALIVE = "exists (select 1 from paths where paths.row = {row})"
FOUND = "row not in (select row from removed) and row not in (select row from quarantined)"
CURRENT = "(select clustering from store where id = 1)"
# What stands for the sha256 of a row that was compacted: its number, which no sha256 is.
VACANT = "cast(cast(row as text) as blob)"


def below(root: bytes) -> dict[str, bytes]:
    """Return the bounds of the paths below a root."""
    below = root.rstrip(b"/") + b"/"
    # "/" + 1: the least string that is greater than everything that starts with `below`.
    return {"below": below, "beyond": below[:-1] + b"0"}
