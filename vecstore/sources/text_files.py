"""Lists of paths and tables as people save them: byte order marks, UTF-16, and line ends of all kinds.

Paths are bytes, so bytes that are no UTF-8 are kept as they are and written as surrogates, as `os.fsdecode` does. Where
that cannot have been meant, callers ask `why_not_text`.
"""

import codecs
import os

from vecstore.sources.paths import shown

LONGEST_EXCERPT = 60
# UTF-32 first: its little-endian mark begins like that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_list(text: bytes) -> list[bytes]:
    """Return the paths of a list: separated by NULs if there are any in it (`find -print0`), else one a line.

    UTF-16 and byte order marks are recognised; lines may end in LF, CRLF or, where there is no LF, CR.
    """
    decoded = _from_utf16_or_32(text)
    if decoded is not None:
        text = os.fsencode(decoded)
    elif b"\0" in text:
        return [path for path in text.split(b"\0") if path]
    text = text.removeprefix(codecs.BOM_UTF8)
    lines = text.splitlines() if b"\n" not in text else [line.removesuffix(b"\r") for line in text.split(b"\n")]
    return [line for line in lines if line]


def read_text(data: bytes) -> str:
    """Return a text file's text without a byte order mark; bytes that are not UTF-8 are decoded as by `os.fsdecode`."""
    decoded = _from_utf16_or_32(data)
    return decoded if decoded is not None else data.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")


def is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def excerpt(line: str) -> str:
    """Return the beginning of a line in quotes, for a message: a file that is no text has lines without end."""
    text = shown(os.fsencode(line))
    return repr(text if len(text) <= LONGEST_EXCERPT else f"{text[:LONGEST_EXCERPT]}...")


def unknown_encoding(paths: list[bytes]) -> str | None:
    """Return in words which line of a list is not UTF-8 and names no file either, None if there is none.

    A file can be called by any bytes; but where none is, the list is most likely in Latin-1 or the like.
    """
    for number, path in enumerate(paths, start=1):
        if not is_utf8(path) and not os.path.lexists(path):
            return f"entry {number} ({shown(path)}) is not UTF-8, and no file is called so; save it as UTF-8"
    return None


def _from_utf16_or_32(data: bytes) -> str | None:
    """Return what UTF-16 or UTF-32 says, None if it is neither. Half a character at the end is shown as damaged."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _with_bytes(data.decode(encoding, "replace"))
    for encoding, high in (("utf-16-le", 1), ("utf-16-be", 0)):
        # ASCII in UTF-16 has a NUL in every other byte; a list that NULs separate has none at all other places.
        if data.count(b"\0") == data[high::2].count(b"\0") > len(data) // 6 and len(data) % 2 == 0:
            try:
                text = data.decode(encoding)
            except UnicodeDecodeError:
                continue
            if any(mark in text for mark in "\n./"):  # or it is a list of names of one letter each
                return text
    return None


def _with_bytes(text: str) -> str:
    """Return a text that a path can be made of: lone surrogates, which no file name has, are shown as damaged."""
    return text.encode("utf-8", "replace").decode()
