"""Keywords in XMP sidecars: they are there for other programs, and nothing else of a sidecar is touched."""

import os
import shutil
import stat
import subprocess
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import paint
from vecstore.curation import xmp
from vecstore.curation.sidecars import sidecar_of
from vecstore.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")

HEAD = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
TAIL = "</rdf:RDF></x:xmpmeta>"
# As darktable writes one, with a history; as Lightroom does, with a packet; and forms that others write.
DARKTABLE = """<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:darktable="http://darktable.sf.net/"
   darktable:history_end="2" darktable:note="two&#10;lines &gt; one">
   <!-- kept -->
   <dc:subject>
    <rdf:Bag>
     <rdf:li>dog &amp; cat</rdf:li>
    </rdf:Bag>
   </dc:subject>
   <darktable:history><rdf:Seq><rdf:li darktable:num="0"/></rdf:Seq></darktable:history>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""
LIGHTROOM = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
{HEAD}<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4"/>{TAIL}
<?xpacket end="w"?>"""
FORMS = {
    "darktable": DARKTABLE,
    "lightroom": LIGHTROOM,
    "no description": HEAD + TAIL,
    "empty root": HEAD.removesuffix(">") + "/></x:xmpmeta>",
    "empty bag": f'{HEAD}<rdf:Description><d:subject xmlns:d="{xmp.DC}"><rdf:Bag/></d:subject></rdf:Description>{TAIL}',
    "no bag": f'{HEAD}<rdf:Description><d:subject xmlns:d="{xmp.DC}"></d:subject></rdf:Description>{TAIL}',
    "empty subject": f'{HEAD}<rdf:Description><d:subject xmlns:d="{xmp.DC}"/></rdf:Description>{TAIL}',
    "a sign in an attribute": f"{HEAD}<rdf:Description xmlns:a='urn:a' a:b='/&gt; >'/>{TAIL}",
    "other prefixes": f'<RDF xmlns="{xmp.RDF}"><Description xmlns:k="{xmp.DC}"><k:subject><Seq><li>old</li></Seq>'
    "</k:subject></Description></RDF>",
    "two descriptions": f'{HEAD}<rdf:Description xmlns:a="urn:a" a:b="1"/><rdf:Description xmlns:dc="{xmp.DC}">'
    f"<dc:subject><rdf:Bag><rdf:li>old</rdf:li></rdf:Bag></dc:subject></rdf:Description>{TAIL}",
    "nested": f'{HEAD}<rdf:Description><a:b xmlns:a="urn:a"><rdf:Bag><rdf:li>other</rdf:li></rdf:Bag></a:b>'
    f"</rdf:Description>{TAIL}",
}


def is_subsequence(short: bytes, long: bytes) -> bool:
    rest = iter(long)
    return all(byte in rest for byte in short)


@pytest.mark.parametrize("form", FORMS)
def test_keywords_are_added_and_all_else_stays(form: str) -> None:
    before = FORMS[form].encode()
    after = xmp.with_keywords(before, ["beach", "<b> & c", "beach"])
    assert xmp.keywords(after) == [*xmp.keywords(before), "beach", "<b> & c"]
    root = ET.fromstring(after)  # another reader
    found = [li.text for subject in root.iter(f"{{{xmp.DC}}}subject") for li in subject.iter(f"{{{xmp.RDF}}}li")]
    assert found == xmp.keywords(after)
    assert is_subsequence(before.replace(b"/>", b">"), after)
    assert xmp.with_keywords(after, ["<b> & c", "beach"]) == after


@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(
    first=st.lists(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1), max_size=4),
    second=st.lists(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1), max_size=4),
    form=st.sampled_from([None, *FORMS]),
)
def test_any_keywords_come_back(first: list[str], second: list[str], form: str | None) -> None:
    data = None if form is None else FORMS[form].encode()
    found = xmp.keywords(xmp.with_keywords(xmp.with_keywords(data, first), second))
    old = [] if data is None else xmp.keywords(data)
    assert found == list(dict.fromkeys([*old, *first, *second]))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is not XML"),
        (b"<a>", "it is not XML"),
        (b"<a/>", "there is no rdf:RDF in it"),
        (DARKTABLE.encode("utf-16"), "it is not UTF-8"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "it has a document type"),
    ],
)
def test_what_is_no_xmp_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(xmp.InvalidXmp, match=reason):
        xmp.with_keywords(data, ["a"])


@pytest.fixture
def store(open_store: Callable[..., Store], pictures: Path) -> Store:
    made = open_store()
    made.add(pictures)
    return made


def test_the_sidecar_that_is_there_is_added_to(store: Store, pictures: Path) -> None:
    (pictures / "0.png.xmp").write_text(DARKTABLE)
    (pictures / "1.xmp").write_text(LIGHTROOM)
    (pictures / "1.xmp").chmod(0o640)
    (pictures / "2.png.xmp").symlink_to(pictures / "elsewhere.xmp")
    before = {file: file.read_bytes() for file in pictures.rglob("*.png")}
    store.select("Beach & sea", 0, 1, 2, 3)
    report = store.write_selection_xmp("Beach & sea")
    assert (report.written, report.unchanged, report.failed) == (4, 0, ())
    files = [pictures / name for name in ("0.png.xmp", "1.xmp", "elsewhere.xmp", "3.png.xmp")]
    assert [xmp.keywords(file.read_bytes())[-1] for file in files] == ["Beach & sea"] * 4
    assert stat.S_IMODE((pictures / "1.xmp").stat().st_mode) == 0o640
    assert (pictures / "2.png.xmp").is_symlink()
    assert not (pictures / "1.png.xmp").exists()
    assert {file: file.read_bytes() for file in pictures.rglob("*.png")} == before
    assert store.write_selection_xmp("Beach & sea").unchanged == 4
    assert (store.sync(pictures).added, store.check()) == (0, [])


def test_what_cannot_have_a_sidecar_is_told_and_the_others_get_theirs(store: Store, pictures: Path) -> None:
    with zipfile.ZipFile(pictures / "more.zip", "w") as packed:
        packed.write(paint(pictures.parent / "in.png", 99), "in.png")
    store.add(pictures)
    (pictures / "0.png.xmp").write_bytes(b"mine, and no XMP")
    (pictures / "1.png").unlink()
    paint(pictures / "2.png", 50)
    os.utime(pictures / "2.png", (1, 1))
    store.select("all", *range(11))
    report = store.write_selection_xmp("all")
    assert (report.written, report.archived, report.missing) == (7, 1, 2)
    assert report.failed == ((str(pictures / "0.png.xmp"), "it is not XML: syntax error: line 1, column 0"),)
    assert (pictures / "0.png.xmp").read_bytes() == b"mine, and no XMP"
    assert not list(pictures.rglob(".*.new"))


def test_which_sidecar_is_meant(tmp_path: Path) -> None:
    picture = os.fsencode(tmp_path / "a.jpg")
    seen = [sidecar_of(picture)]
    for name in ("a.XMP", "a.xmp", "a.jpg.xmp"):
        (tmp_path / name).touch()
        seen.append(sidecar_of(picture))
    assert [os.path.basename(name) for name in seen] == [b"a.jpg.xmp", b"a.XMP", b"a.xmp", b"a.jpg.xmp"]


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed (libimage-exiftool-perl)")
# It reads no XMP without prefixes, nor with `>` in an attribute, both of which XML allows.
@pytest.mark.parametrize("form", [None, *(f for f in FORMS if f not in ("other prefixes", "a sign in an attribute"))])
def test_exiftool_reads_what_was_written(form: str | None, tmp_path: Path) -> None:
    data = None if form is None else FORMS[form].encode()
    (tmp_path / "a.xmp").write_bytes(xmp.with_keywords(data, ["beach", "Bücher"]))
    done = subprocess.run(
        ["exiftool", "-s3", "-sep", "|", "-XMP-dc:Subject", tmp_path / "a.xmp"], capture_output=True, text=True
    )
    old = [] if data is None else xmp.keywords(data)
    assert (done.stdout.strip().split("|"), done.stderr) == ([*old, "beach", "Bücher"], "")
