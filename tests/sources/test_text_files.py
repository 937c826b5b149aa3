"""Lists as people and programs save them."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecstore.sources.text_files import read_list, read_text, unknown_encoding

NAMES = ["p0.jpg", "Été 猫.jpg", "c.jpg"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_list_is_read_in_any_unicode_and_with_any_line_end(encoding: str, end: str) -> None:
    text = end.join([*NAMES, ""])
    assert read_list(text.encode(encoding)) == [name.encode() for name in NAMES]


def test_a_big_endian_mark_is_one_too() -> None:
    assert read_list(b"\xfe\xff" + "a.jpg\nb.jpg".encode("utf-16-be")) == [b"a.jpg", b"b.jpg"]


@pytest.mark.parametrize("names", [[b"./a.jpg", b"./b\nc.jpg"], [b"a", b"b"], [b"a", b"bc.jpg"], [b"x" * 9]])
def test_a_list_that_nuls_separate_is_not_taken_for_utf_16(names: list[bytes]) -> None:
    assert read_list(b"\0".join([*names, b""])) == names


def test_a_name_keeps_its_bytes_and_a_carriage_return_within() -> None:
    assert read_list(b"caf\xe9.jpg\na\rb.jpg\n\n") == [b"caf\xe9.jpg", b"a\rb.jpg"]


def test_half_a_character_at_the_end_is_shown_as_damaged() -> None:
    assert read_list("a.jpg\nb".encode("utf-16") + b"x") == [b"a.jpg", "b\ufffd".encode()]


@given(st.binary(max_size=60))
def test_any_bytes_are_a_list_of_names(data: bytes) -> None:
    names = read_list(data)
    assert all(names)
    assert all(os.fsencode(os.fsdecode(name)) == name for name in names)
    assert isinstance(read_text(data), str)


def test_a_line_in_another_encoding_is_told_unless_a_file_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(os.fsdecode(b"there\xe9")).touch()
    assert unknown_encoding([b"a.jpg", b"there\xe9", "é".encode()]) is None
    assert unknown_encoding([b"a.jpg", b"\xe9.jpg"]) == (
        "entry 2 (\\xe9.jpg) is not UTF-8, and no file is called so; save it as UTF-8"
    )
