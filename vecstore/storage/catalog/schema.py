"""The schema: a step for each change of the format, appended and never edited.

A store's position in `MIGRATIONS` is its `pragma user_version`; each step and its number commit together.
"""

import sqlite3
import zlib


def m001_the_store(db: sqlite3.Connection) -> None:
    db.execute("""
        create table store (
            id       integer primary key check (id = 1),
            created  text    not null,
            embedder text    not null  -- EmbedderSpec as JSON
        )""")
    # Content and location are separate: one picture under two paths is one vector.
    # An image without a path is a removed one; its row stays, because rows are positions and are never reused.
    db.execute("""
        create table images (
            row    integer primary key,
            sha256 blob    not null unique,
            width  integer not null,
            height integer not null,
            added  text    not null
        )""")
    db.execute("""
        create table paths (
            path     blob    primary key,
            row      integer not null references images,
            size     integer not null,
            mtime_ns integer not null
        ) without rowid""")
    db.execute("create index paths_by_row on paths (row)")
    # size and mtime_ns: the state in which the file failed; it is tried again only in another one, or on request.
    db.execute("""
        create table failures (
            path     blob    primary key,
            size     integer not null,
            mtime_ns integer not null,
            reason   text    not null,
            failed   text    not null
        ) without rowid""")
    # Archives that were looked through to the end: in which state, for which members, and how many came of it.
    db.execute("""
        create table archives (
            path     blob    primary key,
            size     integer not null,
            mtime_ns integer not null,
            asked    text    not null,
            members  integer not null
        ) without rowid""")
    db.execute("""
        create table clusterings (
            id         integer primary key,
            created    text    not null,
            k          integer not null,
            rows       integer not null,
            objective  real    not null,
            seconds    real    not null,
            device     text    not null,
            restarts   integer not null,
            trained_on integer not null,
            options    text    not null,
            horizon    integer not null,  -- the first row that was added after the run
            centroids  blob    not null   -- (k, dim) little-endian float32, in the order of `position`
        )""")
    # A cluster's id is not its position among the centroids: ids are to survive a re-clustering, positions are not.
    db.execute("""
        create table clusters (
            clustering integer not null references clusterings,
            cluster    integer not null,
            position   integer not null,
            name       text,
            primary key (clustering, cluster)
        ) without rowid""")
    db.execute("""
        create table memberships (
            clustering integer not null references clusterings,
            row        integer not null references images,
            cluster    integer not null,
            distance   real    not null,
            primary key (clustering, row)
        ) without rowid""")
    db.execute("create index memberships_by_cluster on memberships (clustering, cluster, distance)")


def m002_index_settings(db: sqlite3.Connection) -> None:
    db.execute("alter table store add column index_settings text not null default '{}'")  # IndexSettings as JSON


def m003_removed_images(db: sqlite3.Connection) -> None:
    # Which images have no path: few, where those that have one can be millions. A query reads these alone.
    db.execute("create table removed (row integer primary key references images)")
    db.execute("""
        insert into removed
        select row from images where not exists (select 1 from paths where paths.row = images.row)""")
    # Kept by the database itself, so that no way of writing a path can forget it.
    db.execute("""
        create trigger an_image_begins_without_a_path after insert on images begin
            insert into removed values (new.row);
        end""")
    db.execute("""
        create trigger a_path_brings_its_image_to_life after insert on paths begin
            delete from removed where row = new.row;
        end""")
    db.execute("""
        create trigger a_path_leads_to_another_image after update of row on paths begin
            delete from removed where row = new.row;
            insert into removed
            select old.row where not exists (select 1 from paths where row = old.row) and old.row <> new.row;
        end""")
    db.execute("""
        create trigger an_image_goes_with_its_last_path after delete on paths begin
            insert into removed
            select old.row where not exists (select 1 from paths where row = old.row);
        end""")


def m004_clusters_live_on(db: sqlite3.Connection) -> None:
    # Which clustering answers. It used to be the last one; now one can go back to an earlier one.
    db.execute("alter table store add column clustering integer references clusterings")
    db.execute("update store set clustering = (select max(id) from clusterings)")
    # What is the same in every clustering that has the cluster. An id stays here for good, so it is never given again.
    db.execute("""
        create table identities (
            cluster integer primary key,
            born    integer not null references clusterings,
            name    text
        )""")
    db.execute("insert into identities select cluster, min(clustering), null from clusters group by cluster")
    # SQLite before 3.35 cannot drop a column; nothing could set the names that were in this one.
    db.execute("""
        create table renewed (
            clustering integer not null references clusterings,
            cluster    integer not null references identities,
            position   integer not null,
            primary key (clustering, cluster)
        ) without rowid""")
    db.execute("insert into renewed select clustering, cluster, position from clusters")
    db.execute("drop table clusters")
    db.execute("alter table renewed rename to clusters")
    # What became of the clusters of the clustering before. Until now each one numbered its clusters anew.
    db.execute("alter table clusterings add column previous integer references clusterings")
    for counted in ("kept", "split", "merged", "born", "gone", "moved"):
        db.execute(f"alter table clusterings add column {counted} integer not null default 0")
    db.execute("update clusterings set born = k")


def m005_checksums(db: sqlite3.Connection) -> None:
    # Of the row's vector and sha256 (`vectors.checksum`). Null: the row has no vector, any more or yet.
    db.execute("alter table images add column checksum integer")
    # The rows below it got theirs from what was there when the store was brought to this format, and not when added.
    db.execute("alter table store add column checksums_from integer not null default 0")
    db.execute("update store set checksums_from = (select coalesce(max(row) + 1, 0) from images)")
    # Images whose vector is damaged and could not be recomputed yet: they are not found.
    db.execute("create table quarantined (row integer primary key references images)")
    db.execute("alter table clusterings add column checksum integer")  # CRC-32 of the centroids
    for number, centroids in db.execute("select id, centroids from clusterings").fetchall():
        db.execute("update clusterings set checksum = ? where id = ?", (zlib.crc32(centroids), number))


def m006_operations(db: sqlite3.Connection) -> None:
    # What can be undone, the last first. clustering: that was current before; cluster, name: what it was called before.
    # Numbers are never given again: paths refer to them.
    db.execute("""
        create table operations (
            id         integer primary key autoincrement,
            kind       text    not null,
            what       text    not null,
            began      text    not null,
            undone     integer not null default 0,
            clustering integer,
            cluster    integer,
            name       text
        )""")
    # The operation that put the path where it is; 0: one that is not on record. So an add writes nothing else.
    db.execute("alter table paths add column since integer not null default 0")
    # What an operation replaced or took away: the path as it was before; row is null where there was none.
    db.execute("""
        create table changes (
            operation integer not null references operations on delete cascade,
            path      blob    not null,
            row       integer,
            size      integer,
            mtime_ns  integer,
            since     integer,
            primary key (operation, path)
        ) without rowid""")
    db.execute("""
        create trigger a_path_remembers_what_it_led_to
        after update of row on paths when new.row <> old.row and new.since > old.since begin
            -- Not `or ignore`: in a trigger the statement that sets it off decides about conflicts.
            insert into changes
            select new.since, old.path, old.row, old.size, old.mtime_ns, old.since
            where  not exists (select 1 from changes where operation = new.since and path = old.path);
        end""")


def m007_engines(db: sqlite3.Connection) -> None:
    # uri: where the vectors are searched, without credentials; null: in this process. uid: tells this store from every
    # other, on an engine that may keep several under names that are used again. built: its index, IndexState as JSON.
    # migrating: of which store and state this is becoming a copy; null: it is complete.
    db.execute("""
        create table engine (
            id        integer primary key check (id = 1),
            uid       text not null,
            uri       text,
            built     text,
            migrating text
        )""")
    db.execute("insert into engine (id, uid) values (1, lower(hex(randomblob(16))))")
    # Rows whose addition or removal that engine has not received.
    db.execute("create table pending (row integer primary key references images)")
    # An image begins among the removed, so its coming and its going are both changes of that table.
    for hidden in ("removed", "quarantined"):
        for change, row in (("insert", "new.row"), ("delete", "old.row")):
            db.execute(f"""
                create trigger an_engine_is_to_be_told_after_{change}_on_{hidden} after {change} on {hidden}
                when (select uri from engine) is not null begin
                    insert into pending select {row} where not exists (select 1 from pending where row = {row});
                end""")


def m008_failures_of_operations(db: sqlite3.Connection) -> None:
    # The failures that an operation moved, as they were before; size is null where there was none.
    db.execute("""
        create table failure_changes (
            operation integer not null references operations on delete cascade,
            path      blob    not null,
            size      integer,
            mtime_ns  integer,
            reason    text,
            failed    text,
            primary key (operation, path)
        ) without rowid""")


def m009_tags(db: sqlite3.Connection) -> None:
    # Many rows in one record (`tags.py`), so that a search by words reads a million images' in few records.
    db.execute("""
        create table tags (
            block    integer primary key,
            classes  blob    not null,
            checksum integer not null  -- CRC-32 of the blob
        )""")
    db.execute("alter table store add column keeps_tags integer not null default 0")
    # What a cluster could be called by its members' words, until a person names it.
    db.execute("alter table identities add column suggested text")


def m010_picture_hashes(db: sqlite3.Connection) -> None:
    # Many rows in one record, as with tags; derived from the pictures (`copies.py`).
    db.execute("""
        create table picture_hashes (
            block    integer primary key,
            hashes   blob    not null,
            checksum integer not null  -- CRC-32 of the blob
        )""")
    # Pairs of images that were compared pixel by pixel, row < other. relation: of the other to the row; '': none.
    db.execute("""
        create table pairs (
            row        integer not null references images,
            other      integer not null references images,
            relation   text    not null,
            confidence real    not null,
            primary key (row, other)
        ) without rowid""")
    db.execute("create index pairs_by_other on pairs (other)")


def m011_decisions_and_acts(db: sqlite3.Connection) -> None:
    # What a person said of two contents (sha256, one <= other), or of the copies of one (one = other). By content, so
    # that it holds wherever their files go. kept: which of the two; path: which of the copies.
    db.execute("""
        create table decisions (
            one     blob not null,
            other   blob not null,
            verdict text not null,  -- different, both or keep
            kept    blob,
            path    blob,
            decided text not null,
            primary key (one, other)
        ) without rowid""")
    # The decisions that an operation replaced, as they were before; verdict is null where there was none.
    db.execute("""
        create table decision_changes (
            operation integer not null references operations on delete cascade,
            one       blob    not null,
            other     blob    not null,
            verdict   text,
            kept      blob,
            path      blob,
            decided   text,
            primary key (operation, one, other)
        ) without rowid""")
    # What was done to files, an act each, written down before and after it. keeper: the file that stays in its stead.
    # size, mtime_ns, since: of the path's record before; mode, modified_ns: of the file itself.
    db.execute("""
        create table acts (
            id          integer primary key autoincrement,
            operation   integer not null references operations on delete cascade,
            act         text    not null,  -- trash, move, hardlink, symlink, delete, copy, link or folder
            state       text    not null,  -- started, done, undoing, undone, redoing or lost
            sha256      blob    not null,
            path        blob    not null,
            keeper      blob,
            target      blob,
            size        integer,
            mtime_ns    integer,
            since       integer,
            mode        integer not null,
            modified_ns integer not null
        )""")
    db.execute("create index acts_by_operation on acts (operation)")
    db.execute("create index unfinished_acts on acts (id) where state in ('started', 'undoing', 'redoing')")


def m012_selections_and_pins(db: sqlite3.Connection) -> None:
    # Named sets of images. A name keeps its number for good, so that an undo finds it; created: null while there is no
    # set of that name.
    db.execute("""
        create table selections (
            id      integer primary key,
            name    text    not null unique,
            created text
        )""")
    db.execute("""
        create table selected (
            selection integer not null references selections,
            row       integer not null references images,
            primary key (selection, row)
        ) without rowid""")
    # What an operation changed, as it was before: whether a set was there, and whether an image was in it.
    db.execute("""
        create table selection_changes (
            operation integer not null references operations on delete cascade,
            selection integer not null references selections,
            created   text,
            primary key (operation, selection)
        ) without rowid""")
    db.execute("""
        create table selected_changes (
            operation integer not null references operations on delete cascade,
            selection integer not null references selections,
            row       integer not null references images,
            was_in    integer not null,
            primary key (operation, selection, row)
        ) without rowid""")
    # An image that a person has put into its cluster, or is to stay there.
    db.execute("alter table memberships add column pinned integer not null default 0")
    db.execute("create index pinned_memberships on memberships (clustering, row) where pinned")
    # The memberships that an operation changed by hand, as they were before.
    db.execute("""
        create table membership_changes (
            operation  integer not null references operations on delete cascade,
            clustering integer not null references clusterings,
            row        integer not null references images,
            cluster    integer not null,
            distance   real    not null,
            pinned     integer not null,
            primary key (operation, clustering, row)
        ) without rowid""")


def m013_facts(db: sqlite3.Connection) -> None:
    # What an image's file and pixels say (`results.Facts`). Width and height are in `images`. keywords: each between
    # line ends, so that one is found as a whole.
    db.execute("""
        create table facts (
            row         integer primary key references images,
            taken       text,
            maker       text,
            camera      text,
            lens        text,
            orientation integer,
            latitude    real,
            longitude   real,
            bytes       integer,
            format      text,
            rating      integer,
            keywords    text,
            caption     text,
            brightness  real,
            contrast    real,
            shadows     real,
            highlights  real,
            sharpness   real,
            entropy     real
        )""")


def m014_trees_and_kept_names(db: sqlite3.Connection) -> None:
    # The nodes of a clustering that is a tree, its leaves (the clusters) among them. level: from 1, the leaves last.
    # parent: null at level 1. typical: the leaf below it that stands for it.
    db.execute("""
        create table tree_nodes (
            clustering integer not null references clusterings,
            cluster    integer not null references identities,
            level      integer not null,
            parent     integer,
            typical    integer not null,
            primary key (clustering, cluster)
        ) without rowid""")
    db.execute("create index tree_nodes_by_level on tree_nodes (clustering, level, parent)")
    # By which leaves are joined, the lowest first: so many mergers less give so many clusters more. Each is
    # two leaves of the parts it joins, as int32.
    db.execute("""
        create table tree_mergers (
            clustering integer primary key references clusterings,
            mergers    blob    not null,
            checksum   integer not null  -- CRC-32 of the blob
        )""")
    # The clustering that was current when a name was given or confirmed, and before an operation changed that.
    db.execute("alter table identities add column named_in integer")
    db.execute("alter table operations add column named_in integer")
    # What part of the images that a cluster was named for it has in a later clustering, as that was made.
    db.execute("""
        create table kept_names (
            clustering integer not null references clusterings,
            cluster    integer not null references identities,
            kept       real    not null,
            primary key (clustering, cluster)
        ) without rowid""")


def m015_versions_of_verdicts(db: sqlite3.Connection) -> None:
    # Which version of the check judged the pair (`likeness/comparison.py`); 0: one from before they were counted.
    db.execute("alter table pairs add column version integer not null default 0")


def m016_cluster_sizes(db: sqlite3.Connection) -> None:
    # How many images each cluster of each clustering has, removed ones too: to count a million of them takes longer
    # than the first look at a tree may. Kept by the database itself, as `removed` is.
    db.execute("""
        create table cluster_sizes (
            clustering integer not null,
            cluster    integer not null,
            images     integer not null,
            primary key (clustering, cluster)
        ) without rowid""")
    db.execute("""
        insert into cluster_sizes
        select clustering, cluster, count(*) from memberships group by clustering, cluster""")
    more = """
        insert into cluster_sizes values (new.clustering, new.cluster, 1)
        on conflict (clustering, cluster) do update set images = images + 1;"""
    less = """
        update cluster_sizes set images = images - 1
        where  clustering = old.clustering and cluster = old.cluster;
        delete from cluster_sizes
        where  clustering = old.clustering and cluster = old.cluster and images = 0;"""
    db.execute(f"create trigger an_image_comes_into_a_cluster after insert on memberships begin {more} end")
    db.execute(f"create trigger an_image_leaves_its_cluster after delete on memberships begin {less} end")
    db.execute(f"""
        create trigger an_image_goes_to_another_cluster after update of cluster on memberships
        when new.cluster <> old.cluster begin {less} {more} end""")


MIGRATIONS = (
    m001_the_store,
    m002_index_settings,
    m003_removed_images,
    m004_clusters_live_on,
    m005_checksums,
    m006_operations,
    m007_engines,
    m008_failures_of_operations,
    m009_tags,
    m010_picture_hashes,
    m011_decisions_and_acts,
    m012_selections_and_pins,
    m013_facts,
    m014_trees_and_kept_names,
    m015_versions_of_verdicts,
    m016_cluster_sizes,
)  # append only
