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
    """

    added: int
    known: int
    updated: int
    failed: int
    forgotten: int
    embedded: int
    seconds: float

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

    kind: "keep", "copy" (the keeper's very content, under another path), or "near" (another image, of this score with
    the keeper). score: cosine similarity with the keeper, in [-1, 1].
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
    """

    clustering: int
    k: int
    rows: int
    objective: float
    seconds: float
    device: str
    restarts: int
    trained_on: int


@dataclass(frozen=True)
class Cluster:
    """One cluster of the current clustering.

    cohesion: mean cosine similarity of the members to their centroid's direction, in [-1, 1]; higher is tighter.
    representative: the path of the most typical member, the one nearest to the centroid.
    """

    cluster: int
    name: str | None
    size: int
    cohesion: float
    representative: str
    representative_id: int


@dataclass(frozen=True)
class Member:
    """One image of a cluster. distance: Euclidean, from the unit vector to the centroid."""

    id: int
    path: str
    distance: float


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
    index_bytes: int
    query_ms: float | None
    seconds: float


@dataclass(frozen=True)
class Info:
    """What a store is. bytes: all its files. recall: of the index's answers against exact search; exact is 1.

    index_bytes: what the index takes beside the vectors. query_ms: median time of a few searches for ten
    neighbours, in milliseconds.

    drift: how much farther, as a fraction, the images added since the clustering lie from their centroid than the
    rows it was run on: mean distance / mean distance - 1. None without a clustering or without new images.
    """

    store: str
    images: int
    paths: int
    failures: int
    dim: int
    embedder: str
    weights: str | None
    index: str
    recall: float
    index_bytes: int
    query_ms: float | None
    clusters: int | None
    drift: float | None
    bytes: int
    created: str
