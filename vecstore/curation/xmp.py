"""Keywords in XMP: bytes in, bytes out. What is not a keyword stays as it is, byte for byte.

XMP is RDF in XML; keywords are the items of `dc:subject` (XMP Specification Part 1, 8.4). New ones are inserted into
the text at the place that the parser finds, so that no serialiser decides about prefixes, order, comments or white
space of what other programs have written. Knows no file and no store.
"""

import re
from collections.abc import Sequence
from xml.parsers import expat
from xml.sax.saxutils import escape

RDF, DC = "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "http://purl.org/dc/elements/1.1/"
ROOT, DESCRIPTION, SUBJECT, ITEM = f"{RDF} RDF", f"{RDF} Description", f"{DC} subject", f"{RDF} li"
BAGS = (f"{RDF} Bag", f"{RDF} Seq", f"{RDF} Alt")
MOST_BYTES = 64 << 20
NEW = """\
<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:dc="http://purl.org/dc/elements/1.1/">
   <dc:subject>
    <rdf:Bag>
    </rdf:Bag>
   </dc:subject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""


class InvalidXmp(Exception):
    """Data that is no XMP, or none that can be added to; in words why."""


def keywords(data: bytes) -> list[str]:
    """Return the keywords of XMP data. Raises InvalidXmp."""
    return _Places.of(data).keywords


def with_keywords(data: bytes | None, wanted: Sequence[str]) -> bytes:
    """Return XMP data with these keywords added; the very same data if it has all. data: None for new XMP.

    >>> keywords(with_keywords(None, ["a & b", "c"]))
    ['a & b', 'c']
    """
    data = NEW.encode() if data is None else data
    places = _Places.of(data)
    new = [word for word in dict.fromkeys(wanted) if word not in places.keywords]
    if not new:
        return data
    merged = places.insert(new)
    if keywords(merged) != places.keywords + new:
        raise InvalidXmp("its keywords are written in a way that is not known")
    return merged


class _Places:
    """Where the elements are that a keyword goes into: the start of each one's start tag and end tag, in bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.keywords: list[str] = []
        self.found: dict[str, tuple[int, int]] = {}  # the first RDF, Description, subject and bag
        self._open: list[tuple[str, int]] = []
        self._text: str | None = None
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._refuse

    @classmethod
    def of(cls, data: bytes) -> "_Places":
        if len(data) > MOST_BYTES:
            raise InvalidXmp(f"it is larger than {MOST_BYTES >> 20} MiB")
        try:
            data.decode()
        except UnicodeDecodeError as error:
            raise InvalidXmp("it is not UTF-8") from error
        places = cls(data)
        try:
            places._parser.Parse(data, True)
        except expat.ExpatError as error:
            raise InvalidXmp(f"it is not XML: {error}") from error
        if ROOT not in places.found:
            raise InvalidXmp("there is no rdf:RDF in it")
        return places

    def insert(self, new: Sequence[str]) -> bytes:
        """Return the data with keywords in the innermost element that is there."""
        for name in (*BAGS, SUBJECT, DESCRIPTION, ROOT):
            if name in self.found:
                return self._inside(name, *self.found[name], new)
        raise InvalidXmp("there is no rdf:RDF in it")

    def _inside(self, name: str, start: int, end: int, new: Sequence[str]) -> bytes:
        data = self.data
        called = (re.match(rb"<([^\s/>]+)", data[start:]) or [b"", b""])[1].decode()
        li = f"{called.rpartition(':')[0]}:li".lstrip(":") if name in BAGS else "rdf:li"
        indent = (re.search(rb"\n[ \t]*$", data[:end]) or [b""])[0].decode()
        inner = f"{indent} " if indent else ""
        text = inner.join(f"<{li}>{escape(word)}</{li}>" for word in new)
        if name not in BAGS:
            text = f'<rdf:Bag xmlns:rdf="{RDF}">{text}</rdf:Bag>'
        if name in (DESCRIPTION, ROOT):
            text = f'<dc:subject xmlns:dc="{DC}">{text}</dc:subject>'
        if name == ROOT:
            text = f'<rdf:Description xmlns:rdf="{RDF}" rdf:about="">{text}</rdf:Description>'
        close = start + _length_of_tag(data[start:])
        if data[close - 2 : close] == b"/>":  # an element of one tag alone
            return data[: close - 2] + f">{text}</{called}>".encode() + data[close:]
        # Behind the white space that leads to the end tag, whose own follows.
        return data[:end] + (" " if indent else "").encode() + f"{text}{indent}".encode() + data[end:]

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        if name == ITEM and self._is_in(BAGS, (SUBJECT,), (DESCRIPTION,)):
            self._text = ""
        self._open.append((name, self._parser.CurrentByteIndex))

    def _characters(self, text: str) -> None:
        if self._text is not None:
            self._text += text

    def _end(self, name: str) -> None:
        _, start = self._open.pop()
        if name == ITEM and self._text is not None:
            self.keywords.append(self._text)
            self._text = None
        is_place = name == ROOT or (
            (name == DESCRIPTION and self._is_in((ROOT,)))
            or (name == SUBJECT and self._is_in((DESCRIPTION,), (ROOT,)))
            or (name in BAGS and self._is_in((SUBJECT,), (DESCRIPTION,), (ROOT,)))
        )
        if is_place and name not in self.found:
            self.found[name] = start, self._parser.CurrentByteIndex

    def _is_in(self, *parents: Sequence[str]) -> bool:
        """Say whether the open elements are these, the innermost first, each one of several."""
        names = [name for name, _ in reversed(self._open)]
        return len(names) >= len(parents) and all(name in some for name, some in zip(names, parents, strict=False))

    def _refuse(self, *_: object) -> None:
        raise InvalidXmp("it has a document type, which no XMP has")


def _length_of_tag(data: bytes) -> int:
    """Return the length of the tag that data begins with; a `>` in an attribute does not end it."""
    found = re.match(rb"""<(?:[^>"']|"[^"]*"|'[^']*')*>""", data)
    return found.end() if found else 0
