"""The results of the store's methods: plain frozen dataclasses, the same for Python, the command line and JSON.

Field names are the keys of `--json`. This module imports nothing heavy, so that the command line can describe
its output without loading NumPy.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class MovedRoot:
    """A folder or archive whose files are gone, while an add found their contents under the same names elsewhere.

    paths: how many of those looked at, which are a thousand at the most.
    """

    old: str
    new: str
    paths: int


@dataclass(frozen=True)
class AddReport:
    """What an add or a sync did, counted in files: `added + known + updated + failed` is the files seen.

    Attributes
    ----------
    added : files with new content, which was embedded.
    known : unchanged files, and new paths of content that the store has (copies, renames).
    updated : files whose content changed since the last run.
    failed : files that could not be added (see `failures`), including unchanged ones of earlier runs.
    forgotten : paths dropped because their files are gone (sync only).
    embedded : pictures that went through the network.
    seconds : duration of the whole run.
    excluded : folders and files skipped by default, not counted as seen; a folder counts once.
    ignored : folders and files that a `.vecstoreignore` names, not counted as seen.
    linked_folders : links to folders, which are not followed, not counted as seen.
    moved : where most of the known pictures that came under a new path were before, if they are gone from there.
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
    moved: MovedRoot | None = None

    @property
    def seen(self) -> int:
        return self.added + self.known + self.updated + self.failed

    @property
    def images_per_second(self) -> float:
        """Pictures embedded per second of the whole run, including scanning and committing."""
        return self.embedded / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Change:
    """What a sync would do about one file.

    action: "add" (new content, to be embedded), "know" (a copy or renamed file of content that the store has),
    "update" (its content changed), "forget" (the file is gone), or "fail" (it cannot be read).
    """

    action: str
    path: str


@dataclass(frozen=True)
class RelocateReport:
    """What became of the paths under `old`, or what would; `relocated + failures + missing + left` is all of them.

    old, new: the places, as they are spelt in the store and on the disk. relocated: paths of images that lead to `new`
    now, `merged` of which were known there already. missing: paths whose file is neither at the old nor at the new
    place, or has other content there; they stay as they are, and `missing_paths` has them. left: paths whose file is
    still at the old place, or cannot be looked at there. failures: files that could not be added, which go along.
    examples: a few of the moves, each the old and the new path.
    """

    old: str
    new: str
    relocated: int
    merged: int
    failures: int
    missing: int
    left: int
    missing_paths: tuple[str, ...]
    examples: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class RemoveReport:
    """removed: images removed from the store. forgotten: paths dropped; an image is removed with its last path."""

    removed: int
    forgotten: int


@dataclass(frozen=True)
class MigrateReport:
    """images: number in the copy. rows: vectors in its row file, all compared with the source by checksum.

    compared: images whose vector was read back from the engine and is identical, bit for bit.
    """

    destination: str
    images: int
    rows: int
    compared: int
    seconds: float


@dataclass(frozen=True)
class EmbedReport:
    """A store of another embedder, made from a store's pictures.

    Attributes
    ----------
    added, known, updated, failed : files, as in `AddReport`.
    clusters : of the new store that have images.
    names_kept : clusters' names of the store it was made from that are in the new one.
    names_lost : those that are not, as no cluster there has most of the same images.
    """

    destination: str
    embedder: str
    added: int
    known: int
    updated: int
    failed: int
    clusters: int
    names_kept: int
    names_lost: int
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
class Found:
    """One image found by words.

    score: probability that the image shows what was asked for, summed over the classes that the words stand for, in
    [0, 1]; of several words that of the least. words: names of those classes that are among the image's best.
    """

    rank: int
    id: int
    score: float
    path: str
    cluster: int | None
    words: tuple[str, ...]


@dataclass(frozen=True)
class Tag:
    """A class, by its name, and the probability that an image shows it, in [0, 1]."""

    word: str
    probability: float


@dataclass(frozen=True)
class ImageTags:
    """The best classes of an image, the best first. id: None for a picture that is not in the store."""

    id: int | None
    path: str
    tags: tuple[Tag, ...]


@dataclass(frozen=True)
class Edge:
    """One of the nearest neighbours of the stored image `query`; the other fields are those of `Neighbour`."""

    query: int
    rank: int
    id: int
    score: float
    path: str
    cluster: int | None


@dataclass(frozen=True)
class Duplicate:
    """One path in a group of equal images and altered copies; the first is of the one to keep, the representative.

    Attributes
    ----------
    group : its number, from 1.
    kind : "keep"; "copy" (a file of its own with the very same content, as reading it found), "near" (a file of another
        image, an altered copy), or "series" (of another shot of the same thing; none of these is to be deleted). Other
        paths of these images free nothing when they are deleted: "link" (a symbolic link), "same file" (another name
        of a file of that image), "archived" (in an archive), "missing" (gone, or something else by now) and
        "unreadable". A group has no "keep" if none of its paths can be read here.
    relation : what the image is to the representative: "same bytes", "same pixels", "re-encoded", "resized", "grey",
        "mirrored", "flipped" (upside down), "turned 90" (degrees, clockwise), "mirrored, turned 90", "cropped",
        "letterboxed", "edited", "series"; or "unverified", where one cannot be read and the vectors alone are near.
        Empty for the path to keep.
    confidence : of the relation, from 0 to 1.
    score : cosine similarity of the image with the representative, in [-1, 1].
    keep : whether this is the path to keep.
    pixels, bytes : of the picture, 0 where it is not known; of the file, of a member of an archive its own.
    why : of a file that rules or a decision chose to keep, what spoke for it (`Store.duplicates`); None for others.
    """

    group: int
    kind: str
    relation: str
    confidence: float
    score: float
    id: int
    path: str
    keep: bool
    pixels: int
    bytes: int
    why: str | None = None


@dataclass(frozen=True)
class FoundIn:
    """A picture of one place that is in another, as it is or altered.

    id, path : of the picture, in the first place.
    other_id, other_path : of what it was found as, in the second place; an id of that one's store.
    relation, confidence, score : what the first is to the second, as in `Duplicate`.
    """

    id: int
    path: str
    other_id: int
    other_path: str
    relation: str
    confidence: float
    score: float


@dataclass(frozen=True)
class Clustering:
    """One run of k-means or another method, and how its clusters follow from those of the previous clustering.

    Attributes
    ----------
    k : number of clusters; noise is none.
    rows : rows that have a label.
    objective : sum over all rows of the squared Euclidean distance to their centroid.
    device : "cpu", or which GPUs.
    restarts : how often k-means was run; the run with the lowest objective is kept.
    trained_on : rows that k-means was trained on.
    previous : the clustering that the clusters were matched to; None for the first.
    kept : clusters that continue under their id.
    split : previous clusters from which two or more clusters have most of their images.
    merged : clusters that hold more than half of each of two or more previous clusters.
    born : clusters with a new id.
    gone : previous clusters whose id is no longer used.
    moved : images whose cluster id changed.
    empty : clusters of the k without an image, as where there are fewer different vectors than k.
    created : time of the run, in UTC.
    current : whether queries use this clustering.
    k_reason : why `auto` chose this k; None if k was given.
    method : what made it, as `Store.cluster` takes it.
    noise : the id of the images that are in no cluster; None where every image is in one.
    bound : a new image that is farther from every centroid becomes noise; None: it gets the nearest cluster.
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
    method: str = "kmeans"
    noise: int | None = None
    bound: float | None = None


@dataclass(frozen=True)
class ClusteringCost:
    """About what a method takes on two cores, estimated from how many images there are.

    images: how many. worked_on: rows that the method sees, fewer where representatives stand for the images. seconds:
    of time. bytes: of memory beside the vectors' file.
    """

    method: str
    images: int
    worked_on: int
    seconds: float
    bytes: int


@dataclass(frozen=True)
class Cluster:
    """One cluster of the current clustering.

    size: how many images it has. cohesion, drift and representative are None where that is 0: all were removed.
    cohesion: mean cosine similarity of the members to their centroid's direction, in [-1, 1]; higher is tighter.
    separation: Euclidean distance from its centroid to that of `nearest`, the nearest other cluster with images; None
    if there is none. drift: as in `Info`, for this cluster's images. representative: the path of the most typical
    member, the one nearest to the centroid. suggested: a name that its images' words suggest, while it has none. kept:
    what part of the images that it was named for it had when the clustering was made; None without a name, or where
    that was given or confirmed since. doubtful: less than half, so that the name may no longer be true.
    noise: these are the images that are in no cluster; they are listed last.
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
    suggested: str | None = None
    noise: bool = False
    kept: float | None = None
    doubtful: bool = False


@dataclass(frozen=True)
class KeptName:
    """What a clustering left of a name: which part of the living images that the cluster was named for it still has.

    doubtful: less than half of them, until the name is confirmed or given again.
    """

    cluster: int
    name: str
    kept: float
    doubtful: bool


@dataclass(frozen=True)
class TreeNode:
    """One node of a tree of clusters; those of the last level are the clusters themselves.

    Attributes
    ----------
    level : from 1, the top.
    parent : the node above it; None at level 1.
    children : how many nodes it has below it that have images; 0 at the last level.
    size : images.
    representative, representative_id : the most typical image of the cluster below it that is nearest to its middle.
    suggested, kept, doubtful : as of a cluster.
    """

    cluster: int
    name: str | None
    level: int
    parent: int | None
    children: int
    size: int
    representative: str | None
    representative_id: int | None
    suggested: str | None = None
    kept: float | None = None
    doubtful: bool = False


@dataclass(frozen=True)
class Cut:
    """One of the k clusters that a tree is cut into.

    nodes : the largest nodes of the tree that it is made of, all of one parent, the largest first. size, representative
    and representative_id are as of a node. name, suggested, kept, doubtful : of the one node; several have no name
    together, and what is suggested is what the largest of them are called, or could be.
    """

    nodes: tuple[int, ...]
    name: str | None
    size: int
    representative: str | None
    representative_id: int | None
    suggested: str | None = None
    kept: float | None = None
    doubtful: bool = False


@dataclass(frozen=True)
class BoundaryImage:
    """An image of a cluster that is nearly as near to another one. margin: how much farther that centroid is."""

    id: int
    path: str
    margin: float


@dataclass(frozen=True)
class Rival:
    """A neighbour of a cluster, and what separates the two.

    distance : between their centroids. words, their_words : what much more probably shows in the images of the one than
    in those of the other; none where the embedder knows no words. boundary : the images nearest to the neighbour.
    """

    cluster: int
    name: str | None
    distance: float
    words: tuple[str, ...]
    their_words: tuple[str, ...]
    boundary: tuple[BoundaryImage, ...]


@dataclass(frozen=True)
class Leaver:
    """An image that left its cluster when it was trained again on samples. share: of the samples; to: mostly where."""

    id: int
    path: str
    share: float
    to: int


@dataclass(frozen=True)
class Explanation:
    """What a cluster is, beside its nearest neighbours, and how firm it is.

    stability : how far it is found again when it and its neighbours are trained on samples of their images, in [0, 1]:
    the mean Jaccard similarity of its images (Hennig, "Cluster-wise assessment of cluster stability", 2007). None
    without a neighbour. samples : how many. leaving : the images that left it in any of them, the most often first.
    """

    cluster: int
    name: str | None
    size: int
    stability: float | None
    samples: int
    neighbours: tuple[Rival, ...]
    leaving: tuple[Leaver, ...]


@dataclass(frozen=True)
class ElbowPoint:
    """One k of a sweep. loss: mean squared distance of images to their centroid. silhouette: None where undefined."""

    k: int
    loss: float
    silhouette: float | None


@dataclass(frozen=True)
class Elbow:
    """A sweep over k. k: the chosen one, and the reason. knee: the k where the loss curve bends most.

    silhouette_k: the k with the highest silhouette. images: number in the store. sampled: number that the sweep used.
    stability: how far clusterings into k of random halves of them agree, as their mean adjusted Rand index; 1: they are
    the same, 0: no more alike than by chance. None: there are too few images.
    """

    k: int
    reason: str
    knee: int
    silhouette_k: int
    images: int
    sampled: int
    curve: tuple[ElbowPoint, ...]
    stability: float | None


@dataclass(frozen=True)
class Member:
    """One image of a cluster. distance: Euclidean, from the unit vector to the centroid."""

    id: int
    path: str
    distance: float


@dataclass(frozen=True)
class SelectionInfo:
    """A named set of images. images: how many are in it, without those that were removed. created: time, in UTC."""

    name: str
    images: int
    created: str


@dataclass(frozen=True)
class SelectReport:
    """What a change made of a selection. added, removed: images put in and taken out. images: in it now."""

    name: str
    added: int
    removed: int
    images: int


@dataclass(frozen=True)
class Selected:
    """One image of a selection; path is the one shown."""

    id: int
    path: str


@dataclass(frozen=True)
class SelectionExport:
    """A selection that was written. files: lines of a list or table, or pictures in a folder.

    missing: paths of images whose file is gone or has changed, and which the folder is without.
    """

    name: str
    file: str
    files: int
    missing: tuple[str, ...]


@dataclass(frozen=True)
class SidecarReport:
    """What became of the sidecars of images. written: new and changed ones. unchanged: those that had the keywords.

    archived: pictures in archives, which get none. missing: pictures whose file is gone or another by now. failed:
    those whose sidecar cannot be read or written, each its path and the reason.
    """

    written: int
    unchanged: int
    archived: int
    missing: int
    failed: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Pin:
    """An image that a person has put into its cluster, or is to stay there."""

    id: int
    cluster: int
    path: str


@dataclass(frozen=True)
class MoveReport:
    """Images that were moved by hand. clustering: the current one. moved: images that were in another cluster before.

    pinned: images that were named; all of them stay in this cluster from now on.
    """

    clustering: int
    cluster: int
    moved: int
    pinned: int


@dataclass(frozen=True)
class Facts:
    """What a picture's file says of it, and what its pixels say; None where it says nothing that can be.

    Attributes
    ----------
    taken : when, as `2024-05-31T18:30:05+02:00`; without an offset it is the local time of the camera's clock, whose
        time zone is not known; without a time, the file says the day alone.
    maker, camera, lens : of the camera, its model, and its lens, as the camera writes them.
    orientation : how the stored pixels are to be turned, 1 to 8 as in Exif; `width` and `height` are as shown.
    latitude, longitude : in degrees, north and east positive.
    width, height : in pixels, of the whole picture, upright; 0 where unknown.
    bytes : size of the file.
    format : the kind of file by its content, such as JPEG, HEIF or NEF.
    rating : stars from 1 to 5, or -1 for rejected.
    keywords, caption : as a person or program wrote them into the file.
    brightness, contrast : mean and standard deviation of the grey levels, in [0, 1].
    shadows, highlights : the level below which 5 and 99 in a hundred pixels are, in [0, 1].
    sharpness : variance of the Laplacian of the grey levels (0 to 255), at 256 pixels on the longer side.
    entropy : of the grey levels, in bits, 0 to 8.
    """

    taken: str | None = None
    maker: str | None = None
    camera: str | None = None
    lens: str | None = None
    orientation: int | None = None
    latitude: float | None = None
    longitude: float | None = None
    width: int = 0
    height: int = 0
    bytes: int | None = None
    format: str | None = None
    rating: int | None = None
    keywords: tuple[str, ...] = ()
    caption: str | None = None
    brightness: float | None = None
    contrast: float | None = None
    shadows: float | None = None
    highlights: float | None = None
    sharpness: float | None = None
    entropy: float | None = None


@dataclass(frozen=True)
class StoredImage:
    """One image of the store. paths: all of its paths; the first is the one shown.

    width, height: in pixels, after applying the orientation; 0 for imported vectors. added: time, in UTC.
    cluster, distance: as in `Membership`; None without clusters. facts: None where none were recorded yet.
    """

    id: int
    paths: tuple[str, ...]
    width: int
    height: int
    added: str
    cluster: int | None
    distance: float | None
    facts: Facts | None = None


@dataclass(frozen=True)
class StoredPath:
    """A stored image and its path that is shown."""

    id: int
    path: str


@dataclass(frozen=True)
class ImageFacts(Facts, StoredPath):
    """What is known of a stored image; the other fields are those of `Facts`.

    paths: all of its paths. added: time, in UTC. cluster: None without clusters. place: the nearest town and its
    country, where the file says where it was taken and the extra `places` is installed. country: its two letters.
    """

    paths: tuple[str, ...] = ()
    added: str = ""
    cluster: int | None = None
    place: str | None = None
    country: str | None = None


@dataclass(frozen=True)
class FactsReport:
    """What became of the images that had no facts.

    filled: images that have facts now. missing: images none of whose files could be read, or still have the content.
    """

    filled: int
    missing: int
    seconds: float


@dataclass(frozen=True)
class ThumbnailReport:
    """What became of the thumbnails that were to be made ahead.

    images: how many were looked at, each in so many sizes as were asked for. made, kept: thumbnails that were made, and
    that were there. failed: images of which one could not be made, as no file of them can be read. left: images that
    were not looked at, as the room for thumbnails was full (is_full). bytes: of all that was made or there.
    """

    images: int
    made: int
    kept: int
    failed: int
    left: int
    bytes: int
    is_full: bool
    seconds: float


@dataclass(frozen=True)
class Group:
    """How many images have the same folder, day, month, camera, place or cluster; group: None of those of none."""

    group: str | None
    images: int


@dataclass(frozen=True)
class Oddity:
    """An image with a measure beyond its bound.

    kind: "dark", "bright", "blurred", "blank", "tiny" or "odd shape". measure: the name of what was measured, as in a
    condition. value: of this image. bound: values beyond it are odd.
    """

    kind: str
    id: int
    path: str
    measure: str
    value: float
    bound: float


@dataclass(frozen=True)
class Page:
    """A part of a list of images. total: how many there are in all of it."""

    total: int
    images: tuple[StoredImage, ...]


@dataclass(frozen=True)
class FolderCount:
    """A folder or archive, and how many images are in it or below it."""

    path: str
    images: int


@dataclass(frozen=True)
class ClusterCount:
    """A cluster of the current clustering, and how many images are in it."""

    cluster: int
    name: str | None
    suggested: str | None
    images: int


@dataclass(frozen=True)
class WordCount:
    """A class, by its name, and how many images it is the best one of."""

    word: str
    images: int


@dataclass(frozen=True)
class Facets:
    """What the images of a list have in common, with counts; each part counts as if it had no condition itself.

    total: how many images the conditions allow. under: the folder that `folders` are in, the deepest that has all of
    them. words: the most frequent first; empty where no words are recorded. months: the last first. cameras, places:
    those with most images first; no places without the extra that has their names.
    """

    total: int
    under: str
    folders: tuple[FolderCount, ...]
    clusters: tuple[ClusterCount, ...]
    words: tuple[WordCount, ...]
    months: tuple["Group", ...] = ()
    cameras: tuple["Group", ...] = ()
    places: tuple["Group", ...] = ()


@dataclass(frozen=True)
class NewFiles:
    """What an add would look at. seen: files that are, or may be, pictures. new: those that are not known as they are.

    is_complete: whether all were looked at in the time that was given.
    """

    seen: int
    new: int
    is_complete: bool


@dataclass(frozen=True)
class Original:
    """A stored picture as a browser can show it. data: the bytes of its file, or of a JPEG made from it.

    media_type: the type of the bytes, by their content. name: a file name with the right suffix.
    """

    data: bytes
    media_type: str
    name: str


@dataclass(frozen=True)
class FoldersReport:
    """folders, files: how many were made below `folder`. missing: images whose file is gone or has changed."""

    folder: str
    folders: int
    files: int
    missing: tuple[str, ...]


@dataclass(frozen=True)
class ClassScore:
    """One label. cluster: the one assigned to it; None if there are fewer clusters than labels.

    recall: fraction of its images that are in that cluster. precision: fraction of that cluster that has the label.
    """

    label: str
    images: int
    cluster: int | None
    recall: float
    precision: float


@dataclass(frozen=True)
class Misplaced:
    """An image whose cluster is not the one of its label. stands_for: the label assigned to its cluster, if any."""

    id: int
    path: str
    label: str
    cluster: int
    stands_for: str | None


@dataclass(frozen=True)
class Evaluation:
    """How clusters agree with labels. images: number with a label. k: number of clusters that hold them.

    accuracy: fraction of images in the cluster of their label, under the one-to-one assignment of clusters to labels
    that maximises it. ari: adjusted Rand index. nmi: normalised mutual information. precision: mean fraction of an
    image's `neighbours` nearest labelled images that share its label; None with fewer images.
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
class WordScore:
    """How well images of a label are told by its word.

    recall: fraction of the label's images of which it is the most probable word. precision: fraction of the images with
    that word that have the label; 0 where there is none.
    """

    label: str
    word: str
    images: int
    recall: float
    precision: float


@dataclass(frozen=True)
class Confusion:
    """How many images of a label have another word as the most probable one."""

    label: str
    word: str
    images: int


@dataclass(frozen=True)
class WordEvaluation:
    """How often the most probable of some words is an image's label.

    images: number whose label is one of the words. left_out: number with another label. accuracy: fraction of `images`
    that have their label's word. prompts: the templates that the words were put into. confusions: most images first.
    """

    images: int
    left_out: int
    accuracy: float
    prompts: tuple[str, ...]
    labels: tuple[WordScore, ...]
    confusions: tuple[Confusion, ...]


@dataclass(frozen=True)
class Membership:
    """The cluster that an image belongs to. id: None for a picture that is not in the store."""

    path: str
    id: int | None
    cluster: int
    distance: float


@dataclass(frozen=True)
class IndexReport:
    """The index of a store. index: its kind. recall: measured recall@10 against exact search; exact search has 1.

    rows: number that a search covers. index_bytes: its size, without the vectors. query_ms: median time of a few
    searches for ten neighbours, in milliseconds. seconds: time that the update took.
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
    """The state of a store.

    Attributes
    ----------
    bytes : size of all its files.
    engine : what searches the vectors: `embedded`, or the URI of a server.
    recall : measured recall@10 of the index against exact search; exact search has 1.
    precision : of the embedder's network, "float32" or "bf16"; None where there is no network.
    runtime : what runs the network on this machine, such as "OpenVINO bf16"; None where there is no network, or before
        it has first run here.
    index_bytes : size of the index, without the vectors; None if a server has it.
    query_ms : median time of a few searches for ten neighbours, in milliseconds.
    drift : (mean distance of images added since the clustering to their centroid) / (the same mean of the rows that
        were clustered) - 1; None without a clustering or without new images.
    recluster : whether the drift is above the bound from which a new clustering is advised.
    created : time, in UTC.
    paths_sampled : images, spread over the store, whose shown path was looked at; those imported without a file are not
        among them.
    paths_missing : those of them that have no file there.
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
    paths_sampled: int
    paths_missing: int


# Maintenance


@dataclass(frozen=True)
class Finding:
    """A fault found in a store.

    kind: "catalog", "vector", "quarantined" (an image with a damaged vector, hidden from searches until the vector is
    recomputed), "clustering", "membership", "facts", "index", "engine" (Milvus has different vectors), "checkpoint", or
    "file" (its picture has changed since it was added). where: the file, image, clustering or engine. what: a
    description, with the next step if that is not `check --repair`. repairable: whether `check --repair` can repair it.
    repaired: whether it was repaired just now.
    """

    kind: str
    where: str
    what: str
    repairable: bool
    repaired: bool = False


@dataclass(frozen=True)
class CompactReport:
    """images: removed images whose rows were emptied. bytes_before, bytes_after: the store's size on disk."""

    images: int
    bytes_before: int
    bytes_after: int
    seconds: float


@dataclass(frozen=True)
class BackupReport:
    """folder: the new store. images, vectors: number in it; every vector was verified by its checksum."""

    folder: str
    images: int
    vectors: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class LabelsReport:
    """Labels that became selections. images: that have one. added: how often an image was put into a selection.

    selections: their names. missing: labelled pictures that the store does not have, and examples of them.
    """

    source: str
    selections: tuple[str, ...]
    images: int
    added: int
    missing: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class ImportReport:
    """What came from another program's files. format: None for ready-made vectors.

    added: what became of pictures or vectors; None where only labels were taken. labels: None where there were none.
    """

    source: str
    format: str | None
    added: AddReport | None
    labels: LabelsReport | None


@dataclass(frozen=True)
class ExportReport:
    """file: the file written. paths: the list written beside a .npy. rows: one for each path of each image."""

    file: str
    paths: str | None
    images: int
    rows: int
    bytes: int


@dataclass(frozen=True)
class Operation:
    """A change of the store that can be undone or redone.

    operation: its number. kind: "add", "sync", "relocate", "remove", "import", "retry", "cluster", "name", "reassign",
    "merge", "split", "pin", "unpin", "select", "decide", or an act on files: "trash", "move", "hardlink", "symlink",
    "delete", "copy" or "link".
    what: its subject, such as a folder. began: time, in UTC. undone: whether it is currently undone.
    """

    operation: int
    kind: str
    what: str
    began: str
    undone: bool


@dataclass(frozen=True)
class UndoReport:
    """An operation that was undone or, with undone False, redone.

    forgotten: paths that left the store. restored: paths that came back, or that lead to their earlier image again.
    lost: paths that could not be restored: their images were compacted meanwhile, or their files cannot come back.
    files: how many files were put back, or acted on again. refused: why others were not, a line each; the operation
    stays as it is then, and undoing again goes on with those.
    """

    operation: int
    kind: str
    what: str
    began: str
    undone: bool
    forgotten: int
    restored: int
    lost: int
    files: int = 0
    refused: tuple[str, ...] = ()


# Decisions and acts


@dataclass(frozen=True)
class DuplicateFile:
    """A path of a group, as in `Duplicate`. width, height: of the image in pixels. bytes: of the file, None if gone."""

    kind: str
    relation: str
    confidence: float
    id: int
    path: str
    score: float
    why: str | None
    width: int
    height: int
    bytes: int | None


@dataclass(frozen=True)
class DuplicateGroup:
    """The paths of one group, the one to keep first. bytes: of the files called copies, which deleting them frees.

    is_decided: a keeper was chosen by hand.
    """

    group: int
    files: tuple[DuplicateFile, ...]
    bytes: int
    is_decided: bool


@dataclass(frozen=True)
class Compared:
    """How far the images of a store were compared with each other for altered copies.

    images: how many there are. compared: those that were; others are newer, or their files could not be read. until:
    when the newest compared one was added, in UTC; None if none was compared. pairs: compared pixel by pixel just now.
    """

    images: int
    compared: int
    until: str | None
    pairs: int


@dataclass(frozen=True)
class Decision:
    """What was decided of two images, or of the copies of one where both are the same.

    verdict: "different" (not duplicates), "both" (all to be kept) or "keep". one, other: their ids, None for a content
    that the store does not have now. one_path, other_path: the paths shown for them, None without. one_sha256,
    other_sha256: of the contents, in hexadecimal. kept: the id of the image to keep, kept_path: of its copies the file
    to keep. decided: when, in UTC.
    """

    verdict: str
    one: int | None
    other: int | None
    one_path: str | None
    other_path: str | None
    one_sha256: str
    other_sha256: str
    kept: int | None
    kept_path: str | None
    decided: str


@dataclass(frozen=True)
class Act:
    """What was done to a file, or would be.

    act: "trash", "move", "hardlink", "symlink", "delete", "copy" or "link". id: of its image. path: the file. keeper:
    the file that stays in its stead, None where nothing is given up. target: where it went, or what was made; None
    where that is not known yet. bytes: of the file, 0 if it has other names that keep the room. state: "planned",
    "done" or "refused". reason: why it was refused, else None.
    """

    act: str
    id: int
    path: str
    keeper: str | None
    target: str | None
    bytes: int
    state: str
    reason: str | None = None


@dataclass(frozen=True)
class ActReport:
    """What was done to files, or would be: `acts`, in order. operation: its number for undo, None if nothing was done.

    done, refused: how many acts were done (or are planned), and were not. bytes: of the files of those done. freed:
    whether that room is free now; what is in the trash, or was moved, is not.
    """

    act: str
    operation: int | None
    done: int
    refused: int
    bytes: int
    freed: bool
    acts: tuple[Act, ...]


# Views


@dataclass(frozen=True)
class Drawing:
    """A picture or page that was written. images: number of images shown. of: number of images in the store."""

    file: str
    images: int
    of: int


@dataclass(frozen=True)
class MapPoint:
    """The position of an image on a map. x, y: same unit on both axes. cluster: None without clusters."""

    id: int
    x: float
    y: float
    cluster: int | None
    path: str


@dataclass(frozen=True)
class StoreMap:
    """Images on a plane, similar ones close together. images: in the store. sampled: whether some have no point."""

    points: tuple[MapPoint, ...]
    images: int
    sampled: bool


# Beyond one machine


@dataclass(frozen=True)
class Rates:
    """The measured rates of one machine. images_per_second: read from memory, decoded and embedded.

    comparisons_per_second: of a vector with a centroid. catalog_bytes_per_image: with one path and a cluster.
    """

    images_per_second: float
    comparisons_per_second: float
    catalog_bytes_per_image: float


@dataclass(frozen=True)
class Plan:
    """The resources that a collection needs, on `machines` with the given rates.

    vector_bytes, catalog_bytes: size of the store's files. index_bytes: upper bound of the index, in memory.
    milvus_memory_bytes: the same collection in Milvus, float32 with an HNSW graph, over all its query nodes.
    embed_hours: time to embed all images once. cluster_hours: time of a k-means into k clusters, trained on a sample
    and assigned to all images. Both assume that the machines share the work evenly and that the disks keep up.
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
