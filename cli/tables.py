"""Tables on a terminal: as many columns as fit, paths shortened in the middle, and nothing broken within a word.

What is hidden is named below the table; `--wide` shows all of it.
"""

from collections.abc import Sequence
from typing import Literal

# The columns that a narrow terminal hides, the first of these first; then those farthest to the right but paths.
HIDDEN_FIRST = (
    *("empty", "previous", "representative_id", "separation", "nearest", "moved", "gone", "born", "merged", "split"),
    *("kept", "created", "drift", "objective", "cohesion", "stands_for"),
    *("kept_path", "decided", "confidence", "pixels", "format", "height", "width"),
)
# What gets less room than it needs: paths lose their middle, as both ends tell most; other text takes more lines.
PATHS = frozenset(
    (
        *("what", "where", "path", "other_path", "representative", "store", "file", "folder", "near"),
        *("one_path", "kept_path", "keeper", "target"),
    )
)
TEXTS = frozenset(("name", "camera", "suggested", "label", "reason", "words", "tags", "why", "needs", "available"))
SHORTEST = 20
# A longer word of a text is broken, where its column would push others out.
LONGEST_WORD = 30
GAP = 2


def print_table(
    headers: Sequence[str], cells: Sequence[Sequence[str]], numbers: Sequence[bool], wide: bool
) -> list[str]:
    """Print a table on the terminal's width; return the headers of the columns that did not fit.

    Parameters
    ----------
    headers: of the columns. cells: as many in each row. numbers: which columns hold numbers, and are set right.
    wide: print everything in full, however long the lines get.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    natural = _widths(headers, cells)
    console = Console(width=sum(natural) + GAP * len(natural)) if wide else Console()
    widths = (
        dict(zip(headers, natural, strict=True))
        if wide
        else fit(headers, _least_widths(headers, cells), natural, console.width)
    )
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
    shown = [i for i, header in enumerate(headers) if header in widths]
    for i in shown:
        justify: Literal["right", "left"] = "right" if numbers[i] else "left"
        is_text = headers[i] in TEXTS
        overflow: Literal["fold", "ellipsis"] = "fold" if is_text else "ellipsis"  # nothing of a text is left out
        table.add_column(headers[i], justify=justify, no_wrap=not is_text, width=widths[headers[i]], overflow=overflow)
    for row in cells:
        table.add_row(*(Text(shortened(row[i], widths[headers[i]]) if headers[i] in PATHS else row[i]) for i in shown))
    console.print(table, crop=False)
    return [header for header in headers if header not in widths]


def fit(headers: Sequence[str], least: Sequence[int], natural: Sequence[int], room: int) -> dict[str, int]:
    """Choose the columns that fit, and their widths; the first and paths are always among them.

    Parameters
    ----------
    headers: of all columns. least, natural: the widths that each must have, and needs to be printed on one line.
    room: the terminal's width.

    Returns
    -------
    The width of each column that is shown; what is left over goes to those that need more, evenly.

    Examples
    --------
    >>> fit(["cluster", "drift", "path"], [7, 6, 20], [7, 6, 90], 40)
    {'cluster': 7, 'drift': 6, 'path': 23}
    >>> fit(["cluster", "drift", "path"], [7, 6, 20], [7, 6, 90], 34)
    {'cluster': 7, 'path': 25}
    """
    widths = dict(zip(headers, least, strict=True))
    wanted = dict(zip(headers, natural, strict=True))
    others = [header for header in reversed(headers[1:]) if header not in HIDDEN_FIRST and header not in PATHS]
    for header in (*(header for header in HIDDEN_FIRST if header in widths), *others, None):
        spare = room - sum(widths.values()) - GAP * (len(widths) - 1)
        if spare >= 0 or header is None:
            break
        del widths[header]
    elastic = sorted((header for header in widths if widths[header] < wanted[header]), key=wanted.__getitem__)
    for left, header in zip(range(len(elastic), 0, -1), elastic, strict=True):
        more = min(wanted[header] - widths[header], max(spare, 0) // left)
        widths[header] += more
        spare -= more
    return widths


def shortened(path: str, width: int) -> str:
    """Return a path in at most `width` terminal cells, without its middle if it is longer.

    >>> shortened("/photos/2026/holiday/beach/cat.jpg", 20)
    '/photo…beach/cat.jpg'
    """
    from rich.cells import cell_len, set_cell_size

    if cell_len(path) <= width:
        return path
    head = set_cell_size(path, (width - 1) // 3).rstrip()
    tail = ""
    for character in reversed(path):
        if cell_len(character + tail) > width - 1 - cell_len(head):
            break
        tail = character + tail
    return f"{head}…{tail}"


def _widths(headers: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    from rich.cells import cell_len

    return [
        max(cell_len(header), max((cell_len(row[i]) for row in cells), default=0)) for i, header in enumerate(headers)
    ]


def _least_widths(headers: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    """Return the least width of each column: of a long text its longest word, of a path `SHORTEST`, else all of it."""
    least = []
    for i, natural in enumerate(_widths(headers, cells)):
        enough = natural
        if headers[i] in PATHS:
            enough = max(len(headers[i]), SHORTEST)
        elif headers[i] in TEXTS and natural > SHORTEST:
            words = (len(word) for row in cells for word in row[i].split())
            enough = max(len(headers[i]), min(max(words), LONGEST_WORD))
        least.append(min(natural, enough))
    return least
