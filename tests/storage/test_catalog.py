"""The catalog: migrations, transactions, and where content and location meet."""

import os
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecstore.errors import NotFound, StoreDamaged, VecstoreError
from vecstore.results import Clustering
from vecstore.search.filters import Filter, allowed_rows
from vecstore.sources.file_stamp import FileStamp
from vecstore.storage.catalog import catalog as catalog_module
from vecstore.storage.catalog import connection, schema
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.catalog.connection import Database, holds_store
from vecstore.storage.catalog.images import NewImage
from vecstore.storage.catalog.paths import KnownPath


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    made = Catalog.create(tmp_path / "catalog.sqlite", "an embedder")
    yield made
    made.close()


def add(catalog: Catalog, row: int, *paths: bytes) -> None:
    with catalog.writing():
        catalog.images.insert(row, NewImage(bytes([row]) * 32, 4, 3))
        for path in paths:
            catalog.paths.upsert(FileStamp(path, 10, 20), row)


def add_as_before(catalog: Catalog, row: int, *paths: bytes) -> None:
    """Add an image to a catalog of a format that is older than checksums and operations."""
    with catalog.writing() as db:
        db.execute("insert into images values (?, ?, 4, 3, 'then')", (row, bytes([row]) * 32))
        db.executemany("insert into paths values (?, ?, 10, 20)", [(path, row) for path in paths])


def made_of(k: int) -> Clustering:
    """The record of a first clustering into k clusters."""
    figures = {"rows": 0, "objective": 0.0, "seconds": 0.0, "device": "cpu", "restarts": 1, "trained_on": 0}
    changes = {"previous": None, "kept": 0, "split": 0, "merged": 0, "born": k, "gone": 0, "moved": 0, "empty": 0}
    return Clustering(clustering=1, k=k, created="then", current=True, k_reason=None, **figures, **changes)  # type: ignore[arg-type]


def dump(path: Path) -> list[str]:
    db = sqlite3.connect(path)
    try:
        return [*db.iterdump(), f"version {db.execute('pragma user_version').fetchone()[0]}"]
    finally:
        db.close()


def good(db: sqlite3.Connection) -> None:
    db.execute("create table two (id integer primary key)")


def broken(db: sqlite3.Connection) -> None:
    db.execute("create table three (id integer primary key)")
    db.execute("update images set width = 0")
    raise sqlite3.OperationalError("no room")


def interrupted(db: sqlite3.Connection) -> None:
    db.execute("create table two (id integer primary key)")
    raise KeyboardInterrupt


# Creation and migrations


def test_a_new_catalog_is_of_the_newest_format(catalog: Catalog) -> None:
    assert dump(catalog.path)[-1] == f"version {len(catalog_module.MIGRATIONS)}"


def test_a_creation_that_failed_is_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_module, "MIGRATIONS", (interrupted,))
    with pytest.raises(KeyboardInterrupt):
        Catalog.create(tmp_path / "catalog.sqlite", "an embedder")
    assert not holds_store(tmp_path / "catalog.sqlite")


def still_open(path: Path) -> list[str]:
    """What this process has open at the path and beside it."""
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("which files are open is read from /proc")
    targets = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    return [target for target in targets if target.startswith(str(path.resolve()))]


def test_a_creation_that_failed_leaves_no_connection_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_module, "MIGRATIONS", (interrupted,))
    with pytest.raises(KeyboardInterrupt) as raised:  # which holds on to all that was there
        Catalog.create(tmp_path / "catalog.sqlite", "an embedder")
    assert (still_open(tmp_path / "catalog.sqlite"), raised.type) == ([], KeyboardInterrupt)


@pytest.mark.parametrize("error", [StoreDamaged("found out late"), KeyboardInterrupt()])
def test_an_opening_that_failed_leaves_no_connection_open(
    error: BaseException, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = catalog.path
    catalog.close()

    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr(Database, "version", fail)
    with pytest.raises(type(error)) as raised:
        Catalog(path)
    assert (still_open(path), raised.value) == ([], error)


def test_a_file_that_is_no_database_is_damage_and_not_an_empty_place(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").write_bytes(b"no database " * 1000)
    with pytest.raises(StoreDamaged, match="is not a readable catalog .* restore the store from a backup"):
        holds_store(tmp_path / "catalog.sqlite")


def test_a_store_of_the_first_format_is_upgraded(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.sqlite")) as db, db:
        schema.m001_the_store(db)
        db.execute("insert into store values (1, '2026-01-01T00:00:00Z', 'an embedder')")
        db.execute("pragma user_version = 1")
    catalog = Catalog(tmp_path / "old.sqlite")
    catalog.migrate()
    assert (catalog.embedder(), catalog.index_settings(), dump(catalog.path)[-1]) == (
        "an embedder",
        "{}",
        f"version {len(catalog_module.MIGRATIONS)}",
    )
    catalog.close()


def test_an_upgrade_keeps_what_is_there_and_stamps_the_new_version(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(catalog, 0, b"/a.png")
    monkeypatch.setattr(catalog_module, "MIGRATIONS", (*catalog_module.MIGRATIONS, good))
    catalog.migrate()
    table = "CREATE TABLE two (id integer primary key);"
    found = dump(catalog.path)
    stamped = f"version {len(catalog_module.MIGRATIONS)}"
    assert (catalog.paths.known(b"/a.png"), table in found, found[-1]) == (KnownPath(0, 10, 20), True, stamped)


def test_a_store_of_the_first_format_keeps_its_clusters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = catalog_module.MIGRATIONS
    monkeypatch.setattr(catalog_module, "MIGRATIONS", newest[:1])
    old = Catalog.create(tmp_path / "old.sqlite", "an embedder")
    add_as_before(old, 0, b"/a.png")
    with old.writing() as db:
        for number in (1, 2):
            db.execute("insert into clusterings values (?, 'then', 2, 1, 0, 0, 'cpu', 1, 1, '{}', 1, x'')", [number])
            db.executemany("insert into clusters values (?, ?, ?, null)", [(number, 0, 1), (number, 1, 0)])
            db.execute("insert into memberships values (?, 0, 1, 0.5)", [number])
    monkeypatch.setattr(catalog_module, "MIGRATIONS", newest)
    old.migrate()
    runs = [(run.clustering, run.current, run.born, run.previous) for run in old.clusterings.all()]
    assert runs == [(1, False, 2, None), (2, True, 2, None)]
    assert (old.memberships.cluster_of(0), old.clusterings.centroids(2), old.clusterings.next_cluster_id()) == (
        (1, 0.5),
        (b"", [1, 0]),
        2,
    )
    old.close()


@pytest.mark.parametrize(("step", "error"), [(broken, VecstoreError), (interrupted, KeyboardInterrupt)])
def test_a_failed_migration_leaves_the_store_as_it_was(
    step: object, error: type[BaseException], catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(catalog, 0, b"/a.png")
    before = dump(catalog.path)
    monkeypatch.setattr(catalog_module, "MIGRATIONS", (*catalog_module.MIGRATIONS, step))
    with pytest.raises(error):
        catalog.migrate()
    assert dump(catalog.path) == before


def test_version_and_tables_agree_when_the_second_of_two_steps_fails(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = catalog_module.MIGRATIONS
    monkeypatch.setattr(catalog_module, "MIGRATIONS", (*released, good, broken))
    with pytest.raises(VecstoreError, match="cannot be used: no room; nothing was changed"):
        catalog.migrate()
    found = dump(catalog.path)
    steps = len(released) + any("CREATE TABLE two" in line for line in found)
    assert (found[-1], any("CREATE TABLE three" in line for line in found)) == (f"version {steps}", False)


def test_a_failed_migration_succeeds_when_its_cause_is_gone(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    first = catalog_module.MIGRATIONS
    monkeypatch.setattr(catalog_module, "MIGRATIONS", (*first, interrupted))
    with pytest.raises(KeyboardInterrupt):
        catalog.migrate()
    monkeypatch.setattr(catalog_module, "MIGRATIONS", (*first, good))
    catalog.migrate()
    assert dump(catalog.path)[-1] == f"version {len(first) + 1}"


def test_a_newer_format_is_refused_with_the_next_step(catalog: Catalog) -> None:
    catalog.db.execute("pragma user_version = 99")
    with pytest.raises(StoreDamaged) as refused:
        Catalog(catalog.path)
    assert (refused.value.exit_code, str(refused.value)) == (
        3,
        f"{catalog.path} is of store format 99; this vecstore knows formats up to {len(catalog_module.MIGRATIONS)}: "
        "upgrade vecstore to use this store",
    )


# Transactions


def write_and_raise(catalog: Catalog, error: type[BaseException]) -> None:
    catalog.images.insert(0, NewImage(b"a" * 32, 1, 1))
    catalog.paths.upsert(FileStamp(b"/a", 1, 1), 0)
    raise error


def add_and_raise(catalog: Catalog, error: Exception) -> None:
    add(catalog, 0, b"/a")
    raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError])
def test_a_transaction_that_ends_in_any_exception_changes_nothing(error: type[BaseException], catalog: Catalog) -> None:
    before = dump(catalog.path)
    with pytest.raises(error), catalog.writing():
        write_and_raise(catalog, error)
    assert (dump(catalog.path), catalog.db.in_transaction) == (before, False)


def test_an_inner_transaction_goes_with_the_outer_one(catalog: Catalog) -> None:
    before = dump(catalog.path)
    with pytest.raises(ValueError, match="late"), catalog.writing():
        add_and_raise(catalog, ValueError("late"))
    assert dump(catalog.path) == before


def test_the_next_transaction_after_a_failed_one_is_kept(catalog: Catalog) -> None:
    with pytest.raises(ValueError, match="first"), catalog.writing():
        raise ValueError("first")
    add(catalog, 0, b"/a")
    assert holds(catalog.path, b"/a")


def holds(path: Path, wanted: bytes) -> bool:
    """Ask on a connection of its own, which sees only what is committed."""
    other = Catalog(path)
    try:
        return other.paths.known(wanted) is not None
    finally:
        other.close()


def test_what_is_not_committed_is_seen_by_nobody_else(catalog: Catalog) -> None:
    with catalog.writing():
        catalog.images.insert(0, NewImage(b"a" * 32, 1, 1))
        catalog.paths.upsert(FileStamp(b"/a", 1, 1), 0)
        assert not holds(catalog.path, b"/a")


def test_a_reader_sees_one_moment_whatever_is_committed_meanwhile(catalog: Catalog) -> None:
    add(catalog, 0, b"/a")
    reader = Catalog(catalog.path)
    with reader.reading():
        first = (reader.images.row_count(), reader.paths.count())
        add(catalog, 1, b"/b", b"/c")
        then = (reader.images.row_count(), reader.paths.count())
    after = (reader.images.row_count(), reader.paths.count())
    reader.close()
    assert (first, then, after) == ((1, 1), (1, 1), (2, 3))


def test_a_commit_waits_for_the_disk(catalog: Catalog) -> None:
    assert catalog.db.execute("pragma synchronous").fetchone() == (2,)  # FULL


# Paths

NAMES = [
    b"/p",
    b"/p/a.png",
    b"/p/a/b.png",
    b"/p/a0b.png",
    b"/p/a%.png",
    b"/p/a%/b.png",
    b"/p/aX/b.png",
    b"/p/a_/b.png",
    b"/p/\xff/\xfe.png",
    b"/p/\xff\xff/x.png",
    b"/p/a\n/b.png",
    b"/p/a.pn",
    b"/p/a'/b.png",
    b"/p0/a.png",
    b"/p./a.png",
    b"/pq/a.png",
    b"/P/a.png",
    b"/other",
]
ROOTS = [
    *(b"/ /p /p/ /p/a /p/a% /p/a_ /p/a.png /p/a.pn /p/\xff /p/\xff\xff /p/a' /p0 /P /q".split(b" ")),
    b"/p/a\n",
]


@pytest.mark.parametrize("root", ROOTS)
def test_the_paths_under_a_root_are_itself_and_what_is_below_it(root: bytes, catalog: Catalog) -> None:
    for row, path in enumerate(NAMES):
        add(catalog, row, path)
    expected = [path for path in NAMES if path == root or path.startswith(root.rstrip(b"/") + b"/")]
    assert sorted(catalog.paths.under(root)) == sorted(expected)


def test_the_paths_under_a_root_include_those_that_failed(catalog: Catalog) -> None:
    for path in (b"/p/broken.png", b"/p0/broken.png"):
        catalog.failures.record(FileStamp(path, 1, 1), "broken")
    assert list(catalog.paths.under(b"/p")) == [b"/p/broken.png"]


# Content and location


def test_one_content_at_three_places_is_one_image(catalog: Catalog) -> None:
    add(catalog, 0, b"/c", b"/a", b"/b")
    assert (catalog.images.count(), catalog.paths.count(), catalog.paths.first_of(0)) == (1, 3, b"/a")


def test_what_an_answer_says_of_its_rows_is_read_for_all_of_them(catalog: Catalog) -> None:
    add(catalog, 0, b"/b", b"/a")
    add(catalog, 1)
    add(catalog, 2, b"/c")
    assert catalog.paths.first_of_each([2, 0, 1]) == {0: b"/a", 2: b"/c"}
    assert catalog.checksums.of_each([2, 7]) == {2: (bytes([2]) * 32, None)}
    assert catalog.memberships.clusters_of([0, 2]) == {}


def test_the_same_content_is_never_numbered_twice(catalog: Catalog) -> None:
    add(catalog, 0, b"/a")
    with pytest.raises(sqlite3.IntegrityError), catalog.writing():
        catalog.images.insert(1, NewImage(bytes(32), 4, 3))


def test_a_path_cannot_lead_to_a_row_that_is_not_there(catalog: Catalog) -> None:
    with pytest.raises(sqlite3.IntegrityError), catalog.writing():
        catalog.paths.upsert(FileStamp(b"/a", 1, 1), 7)


def test_an_image_lives_until_its_last_path_is_forgotten(catalog: Catalog) -> None:
    add(catalog, 0, b"/a", b"/b")
    alive = []
    for path in (b"/a", b"/b"):
        catalog.paths.forget(path)
        alive.append(catalog.images.is_alive(0))
    assert alive == [True, False]


def test_the_row_of_a_removed_image_is_kept_and_not_given_out_again(catalog: Catalog) -> None:
    add(catalog, 0, b"/a")
    add(catalog, 1, b"/b")
    catalog.paths.forget_all_of(1)
    found = (catalog.images.row_count(), catalog.images.alive_rows(), catalog.images.row_of(b"\x01" * 32))
    assert found == (2, [0], 1)


def test_a_path_that_gets_another_content_leads_only_to_the_new_one(catalog: Catalog) -> None:
    add(catalog, 0, b"/a")
    add(catalog, 1, b"/a")
    assert (catalog.paths.known(b"/a"), catalog.images.alive_rows()) == (KnownPath(1, 10, 20), [1])


def test_placing_an_image_takes_its_path_off_the_failures(catalog: Catalog) -> None:
    catalog.failures.record(FileStamp(b"/a", 1, 1), "broken")
    add(catalog, 0, b"/a")
    assert catalog.failures.all() == []


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        (FileStamp(b"/a", 1, 2), True),
        (FileStamp(b"/a", 9, 2), False),
        (FileStamp(b"/a", 1, 9), False),
        (FileStamp(b"/b", 1, 2), False),
    ],
)
def test_a_failure_stands_only_for_the_state_it_happened_in(stamp: FileStamp, expected: bool, catalog: Catalog) -> None:
    catalog.failures.record(FileStamp(b"/a", 1, 2), "broken")
    assert catalog.failures.has(stamp) is expected


def test_an_unknown_cluster_is_refused_with_those_that_there_are(catalog: Catalog) -> None:
    with catalog.writing():
        catalog.clusterings.insert(made_of(3), {}, 0, b"", [4, 0, 2])
    with pytest.raises(NotFound, match="^no cluster 1 in the current clustering; there are 0, 2, 4$"):
        catalog.clusterings.require_cluster(1, 1)


# Which images have no path, kept by the database itself


def without_a_path(catalog: Catalog) -> list[int]:
    """The same, by looking at every image."""
    query = "select row from images where row not in (select row from paths) order by row"
    return [row for (row,) in catalog.db.execute(query)]


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("place"), st.integers(0, 5), st.integers(0, 9)),
            st.tuples(st.just("forget_path"), st.just(0), st.integers(0, 9)),
            st.tuples(st.just("forget_paths_of"), st.integers(0, 5), st.just(0)),
        ),
        max_size=30,
    )
)
def test_removed_images_are_those_without_a_path_whatever_is_written(steps: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        catalog = Catalog.create(Path(folder) / "catalog.sqlite", "an embedder")
        for row in range(6):
            add(catalog, row)
        for step, row, path in steps:
            if step == "place":
                catalog.paths.upsert(FileStamp(b"/%d" % path, 1, 1), row)
            elif step == "forget_path":
                catalog.paths.forget(b"/%d" % path)
            else:
                catalog.paths.forget_all_of(row)
            assert catalog.images.removed_rows() == without_a_path(catalog)
            assert catalog.images.count() == 6 - len(without_a_path(catalog)) == len(catalog.images.alive_rows())
        catalog.close()


def test_an_upgrade_knows_the_images_that_were_removed_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = catalog_module.MIGRATIONS
    monkeypatch.setattr(catalog_module, "MIGRATIONS", newer[: newer.index(schema.m003_removed_images)])
    catalog = Catalog.create(tmp_path / "catalog.sqlite", "an embedder")
    add_as_before(catalog, 0, b"/a.png")
    add_as_before(catalog, 1)
    monkeypatch.setattr(catalog_module, "MIGRATIONS", newer)
    catalog.migrate()
    assert (catalog.images.removed_rows(), catalog.images.count()) == ([1], 1)
    catalog.close()


# How many images each cluster has, kept by the database itself


def counted(catalog: Catalog) -> dict[int, int]:
    """The same, by counting the images of each cluster that have a path."""
    query = "select cluster from memberships where clustering = 1 and row in (select row from paths)"
    return dict(Counter(cluster for (cluster,) in catalog.db.execute(query)))


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(("insert", "change", "forget", "remove", "undo", "purge", "forget all")),
            st.integers(0, 5),
            st.integers(0, 2),
        ),
        max_size=30,
    )
)
def test_clusters_have_as_many_images_as_are_recorded_in_them_whatever_is_written(
    steps: list[tuple[str, int, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        catalog = Catalog.create(Path(folder) / "catalog.sqlite", "an embedder")
        for row in range(6):
            add(catalog, row, b"/%d" % row)
        with catalog.writing():
            catalog.clusterings.insert(made_of(3), {}, 6, b"", [0, 1, 2])
        for step, row, cluster in steps:
            done = [one for one in catalog.operations.all() if not one.undone]  # the last first
            with catalog.operations.announced(step, ""), catalog.writing():
                if step == "insert":
                    catalog.memberships.insert(1, [(row, cluster, 0.5)])
                elif step == "change":
                    catalog.memberships.change(1, [(row, cluster, 0.5, True)])
                elif step == "forget":
                    catalog.memberships.forget(1, [row])
                elif step == "remove":
                    catalog.paths.forget_all_of(row)
                elif step == "undo" and done:
                    catalog.operations.undo(done[0])
                elif step == "purge":
                    catalog.images.purge_removed()
                elif step == "forget all":
                    catalog.memberships.forget_labels(0)
            assert catalog.trees.sizes(1) == counted(catalog)
        assert not catalog.integrity.cluster_sizes_disagree()
        catalog.close()


@pytest.mark.parametrize("size", ["'many'", "-1", "1.5", "x'00'"])
def test_a_size_that_is_none_is_reported_as_damage(size: str, catalog: Catalog) -> None:
    add(catalog, 0, b"/a")
    with catalog.writing():
        catalog.clusterings.insert(made_of(1), {}, 1, b"", [0])
        catalog.memberships.insert(1, [(0, 0, 0.5)])
    catalog.db.execute(f"update cluster_sizes set images = {size}")
    with pytest.raises(StoreDamaged, match="^the tree of clustering 1 is damaged; `vecstore check --repair` mends it$"):
        catalog.trees.sizes(1)
    assert catalog.integrity.cluster_sizes_disagree()
    catalog.integrity.rebuild_cluster_sizes()
    assert catalog.trees.sizes(1) == {0: 1}


def test_an_upgrade_counts_the_images_of_clusters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = catalog_module.MIGRATIONS
    monkeypatch.setattr(catalog_module, "MIGRATIONS", newer[: newer.index(schema.m016_cluster_sizes)])
    catalog = Catalog.create(tmp_path / "catalog.sqlite", "an embedder")
    for row in range(4):
        add(catalog, row, b"/%d" % row)
    with catalog.writing():
        catalog.clusterings.insert(made_of(3), {}, 4, b"", [4, 0, 2])
        catalog.memberships.insert(1, [(0, 4, 0.5), (1, 2, 0.5), (2, 2, 0.5), (3, 2, 0.5)])
    catalog.paths.forget(b"/3")
    monkeypatch.setattr(catalog_module, "MIGRATIONS", newer)
    catalog.migrate()
    assert catalog.trees.sizes(1) == {2: 2, 4: 1}
    catalog.close()


def plans(catalog: Catalog, ask: Callable[[], object]) -> list[str]:
    """How SQLite goes through each table, for every statement that `ask` runs."""
    run: list[str] = []
    catalog.db.set_trace_callback(run.append)
    ask()
    catalog.db.set_trace_callback(None)
    return [step[3] for statement in run for step in catalog.db.execute(f"explain query plan {statement}")]


def test_a_query_without_conditions_looks_at_no_image_but_those_it_names(catalog: Catalog) -> None:
    add(catalog, 0, b"/a.png")

    def ask() -> None:
        allowed_rows(catalog, catalog.images.row_count(), Filter(), lambda: 0)
        (
            catalog.images.is_alive(0),
            catalog.paths.first_of(0),
            catalog.memberships.cluster_of(0),
            catalog.paths.known(b"/a.png"),
        )

    found = plans(catalog, ask)
    # The removed and the quarantined images are all read. A greatest row or least path is one look-up, which SQLite
    # calls a search.
    assert [
        step
        for step in found
        if step.startswith("SCAN") and step not in ("SCAN removed", "SCAN quarantined", "SCAN CONSTANT ROW")
    ] == []


def test_sizes_of_clusters_are_read_and_not_counted(catalog: Catalog) -> None:
    found = plans(catalog, lambda: catalog.trees.sizes(1))
    # The memberships of removed images alone, one by one.
    of_memberships = [step for step in found if "memberships" in step]
    assert of_memberships == ["SEARCH memberships USING PRIMARY KEY (clustering=? AND row=?)"]


class Refusing:
    """Makes SQLite refuse the first queries of new connections, as while another closes or recovers the -wal."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, n_times: int) -> None:
        self.left = n_times
        execute = connection.Connection.execute

        def refuse(db: connection.Connection, query: str, *values: object) -> sqlite3.Cursor:
            if query == "pragma user_version" and self.left:
                self.left -= 1
                error = sqlite3.OperationalError("database is locked")
                error.sqlite_errorname = "SQLITE_BUSY"  # type: ignore[misc]
                with connection.translate_sqlite_errors(db.place):
                    raise error
            return execute(db, query, *values)

        monkeypatch.setattr(connection.Connection, "execute", refuse)


def test_a_connection_that_is_refused_for_a_moment_shares_the_catalog(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    Refusing(monkeypatch, 2)
    with closing(Catalog(catalog.path)) as other:
        assert other.db.execute("pragma locking_mode").fetchone() == ("normal",)
        with catalog.writing():
            catalog.failures.record(FileStamp(b"/a", 1, 1), "broken")
        assert other.failures.count() == 1


def test_a_catalog_that_is_refused_for_long_is_in_use(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    Refusing(monkeypatch, 1_000_000)
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.05)
    with pytest.raises(VecstoreError, match="database is locked"):
        Catalog(catalog.path)


@pytest.mark.parametrize("n", [0, 1, 299, 300, 301, 901])
def test_rows_are_inserted_all_of_them_and_in_order_whatever_their_number(n: int) -> None:
    with closing(sqlite3.connect(":memory:", factory=connection.Connection)) as db:
        db.execute("create table seen (id integer primary key, key integer unique, value integer)")
        upsert = (
            "insert into seen (key, value, id) values {rows} on conflict (key) do update set value = excluded.value"
        )
        db.insert_all(upsert, ((number // 2, number, None) for number in range(n)))
        found = db.execute("select key, value from seen order by id").fetchall()
    assert found == [(key, min(2 * key + 1, n - 1)) for key in range((n + 1) // 2)]
