"""No fact about one file stops the others: times, sizes, kinds and inodes as no file should have them, and headers."""

import io
import os
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.conftest import paint
from vecstore.sources import archives
from vecstore.sources.decoding import Unreadable
from vecstore.sources.file_stamp import BEYOND, LEAST, MOST, FileStamp, storable_time
from vecstore.store import Store

OpenStore = Callable[..., Store]
FAR = {"2300": 10_413_792_000, "1600": -11_676_096_000, "year 30000": 884_541_340_800}

# Stamps


@given(st.integers(min_value=-(1 << 200), max_value=1 << 200))
def test_any_time_is_one_that_the_catalog_can_hold(mtime_ns: int) -> None:
    assert LEAST <= storable_time(mtime_ns) <= MOST


@given(st.integers(min_value=LEAST, max_value=MOST))
def test_a_time_that_the_catalog_can_hold_stays_as_it_is(mtime_ns: int) -> None:
    assert storable_time(mtime_ns) == mtime_ns


@given(st.integers(MOST + 1, 1 << 100), st.integers(1, BEYOND - 1))
def test_a_change_between_two_far_times_is_noticed(mtime_ns: int, later: int) -> None:
    assert storable_time(mtime_ns) != storable_time(mtime_ns + later)
    assert storable_time(-mtime_ns - 1) != storable_time(-mtime_ns - 1 - later)


@given(st.integers(MOST + 1, 1 << 100))
def test_a_far_time_stays_far(mtime_ns: int) -> None:
    assert storable_time(mtime_ns) > MOST - BEYOND
    assert storable_time(-mtime_ns - 1) < LEAST + BEYOND


@pytest.mark.parametrize("when", FAR)
def test_a_far_date_stops_nothing_and_is_known_again(when: str, tmp_path: Path, open_store: OpenStore) -> None:
    far = paint(tmp_path / "pictures/a.png", 0)
    paint(tmp_path / "pictures/b.png", 1)
    os.utime(far, (0, FAR[when]))
    if os.stat(far).st_mtime != FAR[when]:
        pytest.skip("this file system has no such date")
    with open_store() as store:
        assert store.add(far.parent).added == 2
        assert (store.sync(far.parent).known, list(store.preview(far.parent))) == (2, [])
        assert store.check(files=True) == []
        os.utime(far, (0, FAR[when] + 1))
        assert [change.action for change in store.preview(far.parent)] == []  # looked at again: the same content
        paint(far, 2)
        os.utime(far, (0, FAR[when] + 2))
        assert store.sync(far.parent).updated == 1


@pytest.mark.parametrize("when", FAR)
def test_an_archive_of_a_far_date_is_looked_into(when: str, tmp_path: Path, open_store: OpenStore) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("b.png", paint(tmp_path / "b.png", 1).read_bytes())
    os.utime(archive, (0, FAR[when]))
    with open_store() as store:
        assert (store.add(archive).added, store.add(archive).known) == (1, 1)


# Whatever `stat` says

ANY_INTEGER = st.one_of(
    st.sampled_from([0, -1, 1 << 31, (1 << 63) - 1, 1 << 63, -(1 << 63) - 1, 1 << 64, 1 << 80]),
    st.integers(min_value=-(1 << 70), max_value=1 << 70),
)
KINDS = st.sampled_from([0o100644, 0o100000, 0o040755, 0o120777, 0o020666, 0o010644, 0o140777, 0, 0o177777])


@contextmanager
def stat_says(name: bytes, facts: dict[str, int], error: OSError | None) -> Iterator[None]:
    """Let `stat` and its relatives say this of one file, however it is reached, or fail for it."""
    real = {call: getattr(os, call) for call in ("stat", "lstat", "fstat")}

    class Lying:
        def __init__(self, state: os.stat_result) -> None:
            self.state = state

        def __getattr__(self, fact: str) -> Any:
            return facts.get(fact, getattr(self.state, fact))

    def is_it(place: object) -> bool:
        try:
            path = os.readlink(f"/proc/self/fd/{place}") if isinstance(place, int) else os.fsdecode(place)  # type: ignore[arg-type]
        except (OSError, TypeError):
            return False
        return os.path.basename(path) == os.fsdecode(name)

    def said(call: str) -> Callable[..., Any]:
        def answer(place: Any, *arguments: Any, **options: Any) -> Any:
            if not is_it(place):
                return real[call](place, *arguments, **options)
            if error is not None:
                raise error
            return Lying(real[call](place, *arguments, **options))

        return answer

    with mock.patch.multiple(os, **{call: said(call) for call in real}):
        yield


FACTS = st.fixed_dictionaries(
    {},
    optional={
        "st_mtime_ns": ANY_INTEGER,
        "st_size": ANY_INTEGER,
        "st_ino": ANY_INTEGER,
        "st_dev": ANY_INTEGER,
        "st_nlink": ANY_INTEGER,
        "st_mode": KINDS,
    },
)
ERRORS = st.sampled_from([None, None, None, PermissionError(13, "no"), OSError(5, "I/O error"), OSError(116, "stale")])


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="which file is open cannot be told here")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=FACTS, then=FACTS, error=ERRORS, suffix=st.sampled_from([".png", ".zip", ".tar", ""]))
def test_whatever_is_said_of_one_file_the_others_are_added(
    first: dict[str, int], then: dict[str, int], error: OSError | None, suffix: str
) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "pictures"
        paint(folder / "a.png", 0)
        paint(folder / "z.png", 1)
        strange = folder / f"m{suffix}"
        paint(folder / "m.png", 2).rename(strange)
        with Store.open(Path(place) / "store", embedder="tiny", create=True) as store:
            with stat_says(os.fsencode(strange.name), first, error):
                report = store.add(folder)
                assert report.added >= 2
                assert report.seen <= 3
                store.sync(folder)
                list(store.preview(folder))
                store.check(files=True)
            with stat_says(os.fsencode(strange.name), then, None):
                store.sync(folder)
            store.sync(folder)
            store.add(folder)
            assert {Path(hit.path).name for hit in store.similar(0, k=9)} >= {"a.png", "z.png"}


class Entry:
    """A folder's entry that cannot be looked at."""

    def __init__(self, entry: os.DirEntry[bytes]) -> None:
        self.name, self.path = entry.name, entry.path

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        raise OSError(5, "I/O error")


def test_an_entry_that_cannot_be_looked_at_stops_nothing(
    tmp_path: Path, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = paint(tmp_path / "pictures/a.png", 0).parent
    paint(folder / "b.png", 1)
    listed = os.scandir

    @contextmanager
    def failing(path: bytes) -> Iterator[Iterator[Any]]:
        with listed(path) as entries:
            yield (Entry(entry) if entry.name == b"a.png" else entry for entry in entries)

    monkeypatch.setattr(os, "scandir", failing)
    with open_store() as store:
        assert store.add(folder).added == 2


# Reasons and shapes


def test_a_reason_that_quotes_bytes_that_are_no_text_is_recorded(
    tmp_path: Path, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: FileStamp) -> object:
        raise Unreadable("the member 'caf\udce9' is broken")

    folder = paint(tmp_path / "pictures/a.png", 0).parent
    with open_store() as store:
        store.add(folder)
        paint(folder / "b.png", 1)
        monkeypatch.setattr(archives, "read", refuse)
        assert store.add(folder).failed == 1
        assert [failure.reason for failure in store.failures()] == ["the member 'caf\\udce9' is broken"]


def test_a_picture_that_an_embedder_stumbles_over_is_a_failure(
    tmp_path: Path, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.conftest import TinyEmbedder

    prepare = TinyEmbedder.prepare

    def stumble(self: TinyEmbedder, image: Any) -> Any:
        if image.width > 1000:
            raise ZeroDivisionError("so wide")
        return prepare(self, image)

    monkeypatch.setattr(TinyEmbedder, "prepare", stumble)
    folder = paint(tmp_path / "pictures/a.png", 0).parent
    paint(folder / "b.png", 1, (4000, 2))
    with open_store() as store:
        report = store.add(folder)
        assert (report.added, report.failed) == (1, 1)
        assert [failure.reason for failure in store.failures()] == [
            "cannot be made ready for the network: ZeroDivisionError('so wide')"
        ]


# Headers of archives


def packed_zip(picture: Callable[[int], bytes]) -> bytearray:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for seed, name in enumerate(("a.png", "m.png", "z.png")):
            archive.writestr(name, picture(seed))
    return bytearray(packed.getvalue())


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[int], bytes]:
    return lambda seed: paint(tmp_path / f"made/{seed}.png", seed).read_bytes()


# Where the directory's entry of a member has what: versions, flags, method, time, CRC-32, sizes, attributes, offset.
ZIP_FACTS = {4: "<H", 6: "<H", 8: "<H", 10: "<H", 12: "<H", 14: "<H", 16: "<L", 20: "<L", 24: "<L", 34: "<H", 36: "<H"}
ZIP_FACTS |= {38: "<L", 42: "<L"}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(facts=st.dictionaries(st.sampled_from(sorted(ZIP_FACTS)), st.integers(0, (1 << 32) - 1), min_size=1))
def test_what_a_zip_says_of_one_member_costs_no_other(facts: dict[int, int], picture: Callable[[int], bytes]) -> None:
    packed = packed_zip(picture)
    # From 3.11.8 on Python refuses a member that another one begins in, as a bomb's do: that does cost the other.
    assume(facts.get(42, len(packed)) >= len(packed))
    entry = packed.index(b"m.png", packed.index(b"PK\x01\x02")) - 46
    for at, value in facts.items():
        size = struct.calcsize(ZIP_FACTS[at])
        struct.pack_into(ZIP_FACTS[at], packed, entry + at, value % (1 << 8 * size))
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "x.zip"
        path.write_bytes(packed)
        read = {}
        for member in archives.members(FileStamp(bytes(path), len(packed), 0)):
            try:
                read[os.path.basename(member.path)] = member.read().data
            except Unreadable:
                continue
        assert (read[b"a.png"], read[b"z.png"]) == (picture(0), picture(2))


@pytest.mark.parametrize(
    ("at", "value"),
    [(6, b"\xff\x00"), (8, b"\x00\x08"), (8, b"\x01\x00"), (10, b"\x63\x00"), (42, b"\xff\xff\xff\x7f")],
)
def test_a_member_that_no_version_can_read_is_one_failure(
    at: int, value: bytes, picture: Callable[[int], bytes], tmp_path: Path, open_store: OpenStore
) -> None:
    packed = packed_zip(picture).replace(b"m.png", b"\xff.png")
    entry = packed.index(b"\xff.png", packed.index(b"PK\x01\x02")) - 46
    packed[entry + at : entry + at + len(value)] = value
    (tmp_path / "x.zip").write_bytes(packed)
    with open_store() as store:
        report = store.add(tmp_path / "x.zip")
        assert report.added >= 2
        assert report.added + report.failed == 3


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    mtime=st.one_of(ANY_INTEGER, st.floats()),
    mode=st.integers(0, 0o7777777),
    ids=st.tuples(ANY_INTEGER, ANY_INTEGER),
    name=st.text(min_size=1, max_size=300),
)
def test_what_a_tar_says_of_one_member_costs_no_other(
    mtime: float, mode: int, ids: tuple[int, int], name: str, picture: Callable[[int], bytes]
) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for seed, member in enumerate(("a.png", "m.png", "z.png")):
            info = tarfile.TarInfo(member)
            info.size = len(picture(seed))
            if member == "m.png":
                info.mode = mode
                info.pax_headers = {"mtime": str(mtime), "uid": str(ids[0]), "gid": str(ids[1]), "path": "x/" + name}
            try:
                archive.addfile(info, io.BytesIO(picture(seed)))
            except (ValueError, UnicodeError):
                assume(False)  # not to be written at all
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "x.tar"
        path.write_bytes(packed.getvalue())
        found = {}
        for member in archives.members(FileStamp(bytes(path), 0, 0)):
            assert b"\0" not in member.path
            found[os.path.basename(member.path)] = member.read().data
        assert (found[b"a.png"], found[b"z.png"]) == (picture(0), picture(2))


@pytest.mark.parametrize("size", [-512, -1, 1 << 62, 1 << 200])
def test_a_tar_that_would_lead_back_to_its_own_header_ends(size: int, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a.png")
        info.pax_headers = {"size": str(size)}
        archive.addfile(info)
    (tmp_path / "x.tar").write_bytes(packed.getvalue())
    with pytest.raises(Unreadable):
        [member.read() for member in archives.members(FileStamp(bytes(tmp_path / "x.tar"), 0, 0))]
