"""What the store answers with: plain frozen dataclasses, the same for Python, the command line and JSON.

Field names are the keys of `--json`. This module imports nothing heavy, so that the command line can describe
its output without loading NumPy.
"""

from dataclasses import dataclass

# The score from which two images are nearly equal, unless another is asked for. Chosen by measurement: below it are
# pictures of the same thing, above it altered copies and bursts (docs/duplicates.md).
NEAR_SCORE = 0.95


@dataclass(frozen=True)
class AddReport:
    """What an add or a sync did, counted in files: `added + known + updated + failed` is the files seen.

    added: files whose content was not in the store, now embedded. known: unchanged files, and new paths of content
    that the store has (copies, renames). updated: files whose content changed since the last look.
    failed: files that could not be added (see `failures`), the unchanged ones of earlier runs included.
    forgotten: paths dropped because they are gone (sync only). embedded: pictures that went through the network.
    Not among the files seen: excluded: folders and files that are left out by default, a folder counted once. ignored:
    those that a `.vecstoreignore` names. linked_folders: links to folders, which are not followed.
    """

    added: int
    known: int
    updated: int
    failed: int
    forgotten: int
    embedded: int
    seconds: float
    excluded: int = 0
    ignored: int = 0
    linked_folders: int = 0

    @property
    def seen(self) -> int:
        return self.added + self.known + self.updated + self.failed

    @property
    def images_per_second(self) -> float:
        """Pictures embedded each second of the whole run, scanning and committing included."""
        return self.embedded / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Change:
    """What a sync would do about one file.

    action: "add" (new content, to be embedded), "know" (a copy or renamed file of content that the store has),
    "update" (other content than before), "forget" (gone), or "fail" (cannot be read).
    """

    action: str
    path: str


@dataclass(frozen=True)
class RemoveReport:
    """removed: images that left the store. forgotten: paths dropped; an image goes with its last path."""

    removed: int
    forgotten: int


@dataclass(frozen=True)
class MigrateReport:
    """images: that the copy has. rows: vectors in its row file, all compared by checksum with the source's.

    compared: images whose vector was read back from the engine that searches them and is what it was, to the bit.
    """

    destination: str
    images: int
    rows: int
    compared: int
    seconds: float


@dataclass(frozen=True)
class Failure:
    """A file that could not be added, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Neighbour:
    """One result of a search. score: cosine similarity in [-1, 1], higher is nearer. cluster: None without clusters."""

    rank: int
    id: int
    score: float
    path: str
    cluster: int | None


@dataclass(frozen=True)
class Edge:
    """One of the nearest neighbours of the stored image `query`, as `Neighbour` has it."""

    query: int
    rank: int
    id: int
    score: float
    path: str
    cluster: int | None


@dataclass(frozen=True)
class Duplicate:
    """One path of a group of equal and nearly equal images; the first of a group is the one to keep.

    kind: "keep", "copy" (its very content, under another path), or "near" (another image, of this score with it).
    score: cosine similarity with the one to keep, in [-1, 1].
    """

    group: int
    kind: str
    id: int
    path: str
    score: float


@dataclass(frozen=True)
class Clustering:
    """One k-means run. objective: sum over all rows of the squared Euclidean distance to their centroid.

    restarts: how many times k-means was run; the run with the least objective is the one kept.
    trained_on: rows that k-means saw. rows: rows that have a label. device: "cpu", or which GPUs.
    previous: the clustering whose clusters this one's were matched to, None for the first. What became of them:
    kept: clusters that go on under their id. gone: clusters of before whose id does not go on. born: clusters with a
    new id. split: clusters of before that two or more clusters have the most of their images from. merged: clusters
    that hold more than half of each of two or more clusters of before. moved: images whose cluster's id is another.
    empty: clusters of the k that got no image, as where there are fewer different vectors than k.
    created: when, in UTC. current: whether it is the one that answers. k_reason: why k is what it is, where `auto`
    chose it.
    """

    clustering: int
    k: int
    rows: int
    objective: float
    seconds: float
    device: str
    restarts: int
    trained_on: int
    previous: int | None
    kept: int
    split: int
    merged: int
    born: int
    gone: int
    moved: int
    empty: int
    created: str
    current: bool
    k_reason: str | None


@dataclass(frozen=True)
class Cluster:
    """One cluster of the current clustering.

    size: how many images it has. cohesion, drift and representative are None where that is 0: all were removed.
    cohesion: mean cosine similarity of the members to their centroid's direction, in [-1, 1]; higher is tighter.
    separation: Euclidean distance from its centroid to the nearest one of another cluster with images, that of
    `nearest`; None if there is no other. drift: as in `Info`, of this cluster's images. representative: the path of the
    most typical member, the one nearest to the centroid.
    """

    cluster: int
    name: str | None
    size: int
    cohesion: float | None
    separation: float | None
    nearest: int | None
    drift: float | None
    representative: str | None
    representative_id: int | None


@dataclass(frozen=True)
class ElbowPoint:
    """One k of a sweep. loss: mean squared distance of an image to its centroid. silhouette: None where undefined."""

    k: int
    loss: float
    silhouette: float | None


@dataclass(frozen=True)
class Elbow:
    """A sweep over k. k: the one that is chosen, and the reason. knee: where the loss bends most.

    silhouette_k: where the silhouette is highest. images: that there are; sampled: that the sweep was made on.
    """

    k: int
    reason: str
    knee: int
    silhouette_k: int
    images: int
    sampled: int
    curve: tuple[ElbowPoint, ...]


@dataclass(frozen=True)
class Member:
    """One image of a cluster. distance: Euclidean, from the unit vector to the centroid."""

    id: int
    path: str
    distance: float


@dataclass(frozen=True)
class StoredImage:
    """One image of the store. paths: everywhere it was seen; the first is the one shown.

    width, height: in pixels, orientation applied; 0 where nothing was decoded (imported vectors). added: when, in UTC.
    cluster, distance: as in `Membership`; None without clusters.
    """

    id: int
    paths: tuple[str, ...]
    width: int
    height: int
    added: str
    cluster: int | None
    distance: float | None


@dataclass(frozen=True)
class Original:
    """A stored picture as a browser can show it. data: its file's very bytes, or those of a JPEG made of it.

    media_type: what the bytes are, by their content. name: a file name that fits them.
    """

    data: bytes
    media_type: str
    name: str


@dataclass(frozen=True)
class FoldersReport:
    """folders, files: that were made below `folder`. missing: images whose file is gone or is another by now."""

    folder: str
    folders: int
    files: int
    missing: tuple[str, ...]


@dataclass(frozen=True)
class ClassScore:
    """One label. cluster: the one that stands for it, None if there are fewer clusters than labels.

    recall: the part of its images that are in that cluster. precision: the part of that cluster that has the label.
    """

    label: str
    images: int
    cluster: int | None
    recall: float
    precision: float


@dataclass(frozen=True)
class Misplaced:
    """An image in a cluster that does not stand for its label. stands_for: the label that it does stand for, if any."""

    id: int
    path: str
    label: str
    cluster: int
    stands_for: str | None


@dataclass(frozen=True)
class Evaluation:
    """How clusters agree with labels. images: those with a label. k: the clusters that hold them.

    accuracy: the part of the images that are in the cluster of their label, each cluster standing for one label at
    the most, chosen so that this is greatest. ari: adjusted Rand index. nmi: normalised mutual information.
    precision: of an image's `neighbours` nearest other labelled images, the mean part that has its label; None where
    there are not so many.
    """

    images: int
    k: int
    accuracy: float
    ari: float
    nmi: float
    neighbours: int
    precision: float | None
    classes: tuple[ClassScore, ...]
    wrong: tuple[Misplaced, ...]


@dataclass(frozen=True)
class Membership:
    """The cluster that an image belongs to. id: None for a picture that is not in the store."""

    path: str
    id: int | None
    cluster: int
    distance: float


@dataclass(frozen=True)
class IndexReport:
    """The index of a store. index: its kind. recall: of ten neighbours against exact search, measured; exact is 1.

    rows: that a search looks at. index_bytes: what it takes beside the vectors. query_ms: median time of a few
    searches for ten neighbours, in milliseconds. seconds: what bringing it up to date took.
    """

    index: str
    rows: int
    recall: float
    target_recall: float
    index_bytes: int | None
    query_ms: float | None
    seconds: float


@dataclass(frozen=True)
class Info:
    """What a store is. bytes: all its files. recall: of the index's answers against exact search; exact is 1.

    engine: what searches the vectors: `embedded`, or the URI of another. index_bytes: what the index takes beside the
    vectors, None where another engine has it. query_ms: median time of a few searches for ten
    neighbours, in milliseconds.

    precision: of the embedder's network, "float32" or "bf16". runtime: what runs the network on this machine, such as
    "OpenVINO bf16". Both None where there is no network; runtime also before the network has first run here.

    drift: how much farther, as a fraction, the images added since the clustering lie from their centroid than the
    rows it was run on: mean distance / mean distance - 1. None without a clustering or without new images.
    recluster: whether the drift is past the bound from which a new clustering is advised.
    """

    store: str
    images: int
    paths: int
    failures: int
    dim: int
    embedder: str
    weights: str | None
    precision: str | None
    runtime: str | None
    engine: str
    index: str
    recall: float
    index_bytes: int | None
    query_ms: float | None
    clusters: int | None
    drift: float | None
    recluster: bool
    bytes: int
    created: str


# Looking after a store


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a store.

    kind: "catalog", "vector", "quarantined" (an image whose vector is damaged, and which is not found until it is made
    anew), "clustering", "membership", "index", "engine" (what Milvus has is no true copy), "checkpoint", or "file" (a
    picture that is not what was added). where: the file, the image, the clustering, the engine. what: in words, with
    the next step where that is not `check --repair`. repairable: whether `check --repair` can mend it. repaired:
    whether it has just done so.
    """

    kind: str
    where: str
    what: str
    repairable: bool
    repaired: bool = False


@dataclass(frozen=True)
class CompactReport:
    """images: removed ones whose rows were emptied. bytes_before, bytes_after: what the store takes on the disk."""

    images: int
    bytes_before: int
    bytes_after: int
    seconds: float


@dataclass(frozen=True)
class BackupReport:
    """folder: the new store. images, vectors: that it holds, all of which were compared with their checksums."""

    folder: str
    images: int
    vectors: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class ExportReport:
    """file: that was written, and `paths`, the list beside a .npy. images, rows: a row for each path of an image."""

    file: str
    paths: str | None
    images: int
    rows: int
    bytes: int


@dataclass(frozen=True)
class Operation:
    """Something that changed the store and can be undone, or redone.

    operation: its number. kind: "add", "sync", "remove", "import", "retry", "cluster" or "name". what: what it was
    about. began: when, in UTC. undone: whether it is undone by now.
    """

    operation: int
    kind: str
    what: str
    began: str
    undone: bool


@dataclass(frozen=True)
class UndoReport:
    """An operation that was undone or, with undone False, redone.

    forgotten: paths that are not in the store any more. restored: paths that are again, or lead to what they led to
    before. lost: paths that could not be restored, because their images were compacted meanwhile.
    """

    operation: int
    kind: str
    what: str
    began: str
    undone: bool
    forgotten: int
    restored: int
    lost: int


# Looking


@dataclass(frozen=True)
class Drawing:
    """A picture or page that was written. images: that it shows, of so many (`of`)."""

    file: str
    images: int
    of: int


@dataclass(frozen=True)
class MapPoint:
    """Where an image lies on a map. x, y: in units of the map, alike on both axes. cluster: None without clusters."""

    id: int
    x: float
    y: float
    cluster: int | None
    path: str


@dataclass(frozen=True)
class StoreMap:
    """Images on a plane, near where they are alike. images: in the store. sampled: whether some are not on the map."""

    points: tuple[MapPoint, ...]
    images: int
    sampled: bool


# Beyond one machine


@dataclass(frozen=True)
class Rates:
    """What one machine was measured to do. images_per_second: read from memory, decoded and embedded.

    comparisons_per_second: of a vector with a centroid. catalog_bytes_per_image: with a path and a cluster.
    """

    images_per_second: float
    comparisons_per_second: float
    catalog_bytes_per_image: float


@dataclass(frozen=True)
class Plan:
    """What a collection takes, on `machines` like the one whose rates these are.

    vector_bytes, catalog_bytes: of the store's files. index_bytes: the most that the index takes, in memory.
    milvus_memory_bytes: the same collection in Milvus, float32 with an HNSW graph, over all its query nodes.
    embed_hours: for all images, once. cluster_hours: of a k-means into k clusters, trained on a sample and assigned
    to all. Both assume that machines share the work evenly, and that the disks deliver.
    """

    images: int
    machines: int
    dim: int
    k: int
    vector_bytes: int
    catalog_bytes: int
    index_bytes: int
    milvus_memory_bytes: int
    embed_hours: float
    cluster_hours: float
    images_per_second: float
    comparisons_per_second: float
    catalog_bytes_per_image: float
