"""Names typed in another normalisation or kept in another encoding than the file's."""

import io
import os
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import paint
from vecstore.errors import NotFound
from vecstore.sources import archives
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.name_encoding import encoding_of
from vecstore.sources.spelling import as_on_disk, same_name
from vecstore.store import Store

OpenStore = Callable[..., Store]
FORMS = ["NFC", "NFD"]


def other(form: str) -> str:
    return "NFD" if form == "NFC" else "NFC"


def members(path: Path) -> list[str]:
    return [os.fsdecode(member.path).partition("!/")[2] for member in archives.members(FileStamp(bytes(path), 0, 0))]


# Normalisation


@pytest.mark.parametrize("form", FORMS)
def test_a_name_typed_in_the_other_form_finds_the_file_and_changes_no_bytes(
    form: str, tmp_path: Path, open_store: OpenStore
) -> None:
    name = unicodedata.normalize(form, "Été/Ölbild é.png")
    typed = unicodedata.normalize(other(form), "Été/Ölbild é.png")
    paint(tmp_path / name, 0)
    with open_store() as store:
        assert store.add(tmp_path / typed).added == 1
        assert store.similar(tmp_path / typed, k=1)[0].path == str(tmp_path / name)
        store.cluster(1)
        assert store.which(tmp_path / typed)[0].id == 0
        (tmp_path / name).unlink()
        assert store.similar(tmp_path / typed, k=1)[0].path == str(tmp_path / name)  # stored, though the file is gone
        assert store.remove((tmp_path / typed).parent).removed == 1


def test_a_picture_that_is_not_stored_is_found_in_the_other_form_too(tmp_path: Path, open_store: OpenStore) -> None:
    paint(tmp_path / unicodedata.normalize("NFD", "é.png"), 0)
    with open_store() as store:
        store.add(paint(tmp_path / "a.png", 1))
        assert store.similar(tmp_path / "é.png", k=1)[0].id == 0


def test_where_both_forms_are_there_each_is_itself(tmp_path: Path) -> None:
    paths = [os.fsencode(tmp_path / unicodedata.normalize(form, "é.png")) for form in FORMS]
    for path in paths:
        Path(os.fsdecode(path)).touch()
    assert [as_on_disk(path) for path in paths] == paths


def test_what_fits_two_names_is_neither(tmp_path: Path) -> None:
    typed = tmp_path / ("é" + unicodedata.normalize("NFD", "é"))
    for form in FORMS:
        (tmp_path / unicodedata.normalize(form, "éé")).touch()
    assert as_on_disk(bytes(typed)) == bytes(typed)


def test_a_name_that_is_not_there_in_any_form_is_not_found(tmp_path: Path, open_store: OpenStore) -> None:
    with open_store() as store, pytest.raises(NotFound, match="é.png"):
        store.add(tmp_path / "é.png")


def test_a_typed_name_finds_one_in_an_old_encoding(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode("Müller.jpg".encode("latin-1"))).touch()
    assert as_on_disk(bytes(tmp_path / "Müller.jpg")) == bytes(tmp_path) + b"/M\xfcller.jpg"


# Archives


def mac_zip(path: Path, names: list[str], encoding: str = "utf-8") -> Path:
    """Write a zip whose names are in this encoding, without saying so."""
    stand_ins = [chr(ord("A") + number) * len(name.encode(encoding)) for number, name in enumerate(names)]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for seed, stand_in in enumerate(stand_ins):
            archive.writestr(stand_in, paint(path.parent / "made.png", seed).read_bytes())
    data = packed.getvalue()
    for stand_in, name in zip(stand_ins, names, strict=True):
        data = data.replace(stand_in.encode(), name.encode(encoding))
    path.write_bytes(data)
    return path


def test_names_of_macos_are_read_as_utf_8_and_found_as_typed(tmp_path: Path, open_store: OpenStore) -> None:
    inner = unicodedata.normalize("NFD", "Fotos/Été 猫.png")
    archive = mac_zip(tmp_path / "mac.zip", [inner])
    with open_store() as store:
        store.add(archive)
        assert store.similar(0, k=1)[0].path == f"{archive}!/{inner}"
        assert store.similar(f"{archive}!/Fotos/Été 猫.png", k=1)[0].id == 0
        assert store.remove(f"{archive}!/Fotos/Été 猫.png").removed == 1


def test_the_resource_forks_of_macos_are_no_pictures(tmp_path: Path, open_store: OpenStore) -> None:
    archive = mac_zip(tmp_path / "mac.zip", ["a.png", "__MACOSX/._a.png", "._b.png"])
    with open_store() as store:
        report = store.add(archive)
    assert (report.added, report.failed) == (1, 0)


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("cp437", ["Été.jpg"]),
        ("cp437", ["Größe.png", "niño.jpg", "plain.jpg"]),
        ("cp850", ["São Paulo.jpg", "João/Conceição.jpg"]),
        ("cp1252", ["Müller.jpg", "Été.jpg"]),
        ("cp866", ["Фото/кот.jpg"]),
        ("cp1251", ["Привет.jpg", "Новая папка/кот.jpg"]),
        ("cp932", ["写真.jpg", "フォト/ねこ.jpg"]),
        ("cp932", ["新しいフォルダー/画像.png"]),
        ("gbk", ["照片.jpg", "新建文件夹/图片.png"]),
        ("big5", ["新增資料夾/圖片.png"]),
        ("euc_kr", ["새 폴더/고양이.png"]),
        ("utf-8", ["è.jpg"]),
    ],
)
def test_names_without_a_word_on_their_encoding_are_read_as_what_they_look_like(
    encoding: str, names: list[str], tmp_path: Path
) -> None:
    assert members(mac_zip(tmp_path / "x.zip", names, encoding)) == names


def test_what_looks_like_nothing_better_stays_in_the_code_page_of_zips() -> None:
    assert encoding_of([b"caf\x82.png"], "cp437") == "cp437"
    assert encoding_of([b"plain"], None) == "utf-8"


def unicode_path(name: bytes, text: str) -> bytes:
    content = b"\1" + struct.pack("<L", zlib.crc32(name)) + text.encode()
    return struct.pack("<HH", 0x7075, len(content)) + content


@pytest.mark.parametrize(("crc_of", "expected"), [(b"?.png", "猫.png"), (b"other", "?.png")])
def test_a_unicode_path_field_wins_where_it_is_of_that_name(crc_of: bytes, expected: str, tmp_path: Path) -> None:
    info = zipfile.ZipInfo("?.png")
    info.extra = unicode_path(crc_of, "猫.png")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(info, b"x")
    assert members(tmp_path / "x.zip") == [expected]


def test_a_large_zip_with_its_numbers_in_64_bits_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive, archive.open("a.png", "w", force_zip64=True) as file:
        file.write(b"content")
    data = bytearray((tmp_path / "x.zip").read_bytes())
    entry = data.index(b"PK\x01\x02")
    sizes = struct.pack("<HHQQ", 1, 16, 7, 7)
    data[entry + 20 : entry + 28] = b"\xff" * 8
    struct.pack_into("<H", data, entry + 30, len(sizes))
    data[entry + 46 + 5 : entry + 46 + 5] = sizes
    end = data.index(b"PK\x05\x06")
    struct.pack_into("<L", data, end + 12, struct.unpack_from("<L", data, end + 12)[0] + len(sizes))
    (tmp_path / "x.zip").write_bytes(data)
    assert [member.read().data for member in archives.members(FileStamp(bytes(tmp_path / "x.zip"), 0, 0))] == [
        b"content"
    ]


def test_a_zip_behind_a_program_that_unpacks_it_is_read(tmp_path: Path) -> None:
    archive = mac_zip(tmp_path / "x.zip", ["a.png"])
    content = [member.read().data for member in archives.members(FileStamp(bytes(archive), 0, 0))]
    archive.write_bytes(b"#!/bin/sh\n" * 100 + archive.read_bytes())
    assert [member.read().data for member in archives.members(FileStamp(bytes(archive), 0, 0))] == content


def test_names_in_a_tar_stay_the_bytes_that_they_are_and_are_found_as_typed(
    tmp_path: Path, open_store: OpenStore
) -> None:
    content = paint(tmp_path / "made.png", 0).read_bytes()
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        info = tarfile.TarInfo("Müller.png")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    with open_store() as store:
        store.add(tmp_path / "x.tar")
        assert os.fsencode(store.similar(0)[0].path) == bytes(tmp_path) + b"/x.tar!/M\xfcller.png"
        assert store.similar(tmp_path / "x.tar!/Müller.png")[0].id == 0


def test_paths_alike_in_name_have_one_text() -> None:
    assert {same_name(path) for path in ("/é".encode(), "/e\u0301".encode(), b"/\xe9")} == {"/é"}
