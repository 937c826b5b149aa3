"""The store: the public face of the library.

    with Store.open("photos.store", embedder="efficientnet-lite0", create=True) as store:
        store.add("~/Photos")
        for hit in store.similar("cat.jpg", k=5):
            print(hit.score, hit.path)

One directory, one embedder, one writer at a time; readers never wait. Its vectors are searched in this process, or by
the engine that a URI names (`Store.open("milvus://host:19530/photos")`). Each method says what it does and calls one
room with the session of this store; nothing is decided here.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack

import numpy as np
from numpy.typing import NDArray

from vecstore.arguments import (
    Check,
    checked,
    each,
    optional,
    require_callable,
    require_cluster,
    require_count,
    require_event,
    require_flag,
    require_image,
    require_integer,
    require_k,
    require_levels,
    require_number,
    require_offset,
    require_path,
    require_patterns,
    require_score,
    require_seconds,
    require_seed,
    require_text,
    require_weight,
)
from vecstore.clustering import (
    by_hand,
    clusters,
    evaluation,
    explanation,
    kept_names,
    lifecycle,
    trees,
    word_evaluation,
)
from vecstore.clustering.methods import Method
from vecstore.clustering.sklearn_attributes import FittedClustering
from vecstore.curation import acts, decisions, groups, journal, selections, sidecars
from vecstore.defaults import LEAST_KEYWORD, MINUS_WEIGHT, NEAR_SCORE
from vecstore.embedders.embedder import Embedder, EmbedderOptions
from vecstore.embedders.plugin import require_embedder_or_name
from vecstore.errors import BadInput
from vecstore.exchange import exchange
from vecstore.image_ref import ImageRef
from vecstore.ingest import bulk_import, fill_facts, relocate, sync
from vecstore.ingest.sync import OnProgress, Selection
from vecstore.maintenance import backup, check, compact, undo
from vecstore.results import (
    Act,
    ActReport,
    AddReport,
    BackupReport,
    Change,
    Cluster,
    Clustering,
    ClusteringCost,
    CompactReport,
    Compared,
    Cut,
    Decision,
    Drawing,
    Duplicate,
    DuplicateGroup,
    Edge,
    EmbedReport,
    Evaluation,
    Explanation,
    ExportReport,
    Facets,
    FactsReport,
    Failure,
    Finding,
    FoldersReport,
    Found,
    FoundIn,
    Group,
    ImageFacts,
    ImageTags,
    ImportReport,
    IndexReport,
    Info,
    KeptName,
    Member,
    Membership,
    MigrateReport,
    MoveReport,
    Neighbour,
    NewFiles,
    Oddity,
    Operation,
    Original,
    Page,
    Pin,
    RelocateReport,
    RemoveReport,
    Selected,
    SelectionExport,
    SelectionInfo,
    SelectReport,
    SidecarReport,
    StoredImage,
    ThumbnailReport,
    TreeNode,
    UndoReport,
    WordEvaluation,
)
from vecstore.search import (
    arrays,
    between,
    browsing,
    facts,
    index,
    info,
    members,
    neighbour_graph,
    oddities,
    query,
    stored_images,
)
from vecstore.search import duplicates as search_duplicates
from vecstore.search import nearest as search_nearest
from vecstore.search.conditions import parse
from vecstore.search.copies import OnCompared
from vecstore.search.filters import Conditions, Filter, require_filter
from vecstore.search.nearest import Images, Nearest, require_images
from vecstore.search.words import WordSearch
from vecstore.session import OpenedAs, Session
from vecstore.sources.paths import AnyPath, absolute, is_address
from vecstore.sources.scan import ALL_FILES, Patterns
from vecstore.tables import Results
from vecstore.views import contact_sheets, inline, map_arrays, map_layout, originals, report, thumbnails
from vecstore.words import own_words, tagging
from vecstore.words.text_tower import require_no_prompts

T = TypeVar("T")

# Checks of arguments that several methods take.
GROWING: dict[str, Check] = {
    "paths": each(require_path),
    "listed": each(require_path),
    "patterns": require_patterns,
    "on_progress": optional(require_callable),
}
CONDITIONS: dict[str, Check] = {
    "k": require_count,
    "min_score": optional(require_score),
    "sort": optional(require_text),
}
FOUND: dict[str, Check] = {**CONDITIONS, "exact": require_flag}
DUPLICATES: dict[str, Check] = {
    "min_score": require_score,
    "exact": require_flag,
    "keep_by": each(require_text),
    "conditions": require_filter,
}


class Store:
    """A store of vectors that grows with a folder of pictures. Open one with `Store.open`.

    session: what it is made of, for the rooms of the library.
    """

    def __init__(self, session: Session) -> None:
        """Use `Store.open`."""
        self.session = session
        self.session.before_writing = journal.recover
        self._thumbnails = thumbnails.Thumbnails()
        self._word_search = WordSearch(session)
        self._listings = browsing.Listings()
        self._trees = trees.Trees()

    @classmethod
    @checked(
        path=require_path,
        embedder=optional(require_embedder_or_name),
        weights=optional(require_path),
        device=require_text,
        create=require_flag,
        quiet=require_flag,
        wait=optional(require_seconds),
        precision=optional(require_text),
    )
    def open(
        cls,
        path: AnyPath,
        *,
        embedder: str | Embedder | None = None,
        weights: AnyPath | None = None,
        device: str = "auto",
        create: bool = False,
        quiet: bool = True,
        wait: float | None = None,
        precision: str | None = None,
    ) -> "Store":
        """Open a store.

        Parameters
        ----------
        path: a folder, or a URI such as `milvus://HOST:PORT/NAME` (docs/scaling.md).
        embedder, weights: what a new store's vectors are made by (default resnet50 with torchvision's weights); for an
            existing store they may be left out, and are checked if given. embedder: a name, or an object of your own
            (docs/embedders.md), which an existing store needs too before it can embed.
        device: "auto", "cpu", "cuda", or "cuda:N" for one GPU of several.
        create: let the first `add` make the store; nothing is on disk before it.
        quiet: show no progress of a download.
        wait: how many seconds writing waits for another writer before it raises StoreBusy; None for a minute.
        precision: of a new store's network, "float32", "bf16" or "auto" (docs/quality.md); as `embedder` for others.

        Raises
        ------
        NotFound: there is no store, without `create`.
        BadInput: something else is at that place.
        WrongEmbedder, StoreDamaged
        """
        weights_file = Path(os.fsdecode(weights)) if weights is not None else None
        options = EmbedderOptions(weights_file, {}, device, quiet, precision or "auto")
        return cls(Session.open(path, embedder, options, create=create, wait=wait))

    def reopen(self) -> "Store":
        """Open the same store once more, for another thread or a process that was forked; close that one too.

        A store that is open is used in the thread that opened it. The embedder, where it is loaded, is the same object.
        Raises what `open` does.
        """
        return type(self)(self.session.reopen())

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle to the store's place: what is unpickled has opened it anew, in that thread and process."""
        return _reopened, (self.session.opened_as,)

    def close(self) -> None:
        """Let go of the store's files, and of its engine. Using it afterwards raises BadInput."""
        self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    @property
    def path(self) -> Path:
        """The folder of the store, or the companion folder of an engine elsewhere."""
        return self.session.path

    # As arrays, and as a collection of images

    @property
    def vectors(self) -> arrays.StoredVectors:
        """The vectors of all images, (n, dim) float16 of length 1, mapped and read-only.

        Row i is of the image `ids[i]`, and so are `paths[i]` and `labels[i]`; ids of removed images are in none of
        them. Each is of the moment when it is asked for, and stays as it is: `store.vectors.ids` are those of one
        moment with the vectors.
        """
        return arrays.vectors(self.session)

    @property
    def ids(self) -> NDArray[np.int64]:
        """The ids of all images, ascending, (n,) int64, without those whose vector is damaged."""
        return arrays.ids(self.session)

    @property
    def paths(self) -> list[str]:
        """The path shown for each of `ids`."""
        return arrays.paths(self.session)

    @property
    def labels(self) -> NDArray[np.int64]:
        """The id of the cluster of each of `ids`, -1 for an image without one, (n,) int64."""
        return arrays.labels(self.session)

    @checked(what=require_text)
    def table(self, what: str = "images") -> "Results[Any]":
        """Return all images, facts or clusters as a list that is a table, by id or largest cluster first.

        what: "images" (`StoredImage`), "facts" (`ImageFacts`) or "clusters" (`Cluster`); BadInput for another.
        """
        tables: dict[str, tuple[type, Callable[[], Iterable[Any]]]] = {
            "images": (StoredImage, lambda: self),
            "facts": (ImageFacts, self.all_facts),
            "clusters": (Cluster, self.clusters),
        }
        if what not in tables:
            raise BadInput(f"there is no table of {what!r}; name one of {', '.join(tables)}")
        kind, items = tables[what]
        return self._results(kind, items())

    @checked(what=require_text)
    def to_pandas(self, what: str = "images") -> Any:
        """Return what `table` does as a `pandas.DataFrame`. Raises BadInput without pandas."""
        return self.table(what).to_pandas()

    @checked(what=require_text)
    def to_polars(self, what: str = "images") -> Any:
        """Return what `table` does as a `polars.DataFrame`. Raises BadInput without polars."""
        return self.table(what).to_polars()

    @checked(what=require_text)
    def to_arrow(self, what: str = "images") -> Any:
        """Return what `table` does as a `pyarrow.Table`. Raises BadInput without pyarrow."""
        return self.table(what).to_arrow()

    def _results(self, kind: type[T], items: Iterable[T]) -> Results[T]:
        return Results(items, kind, self.thumbnail)

    def __len__(self) -> int:
        """Return how many images there are, as many as `ids`; 0 for a store that no add has made yet."""
        return len(self.ids) if self.session.exists else 0

    def __bool__(self) -> bool:
        """Return True, also for a store without images."""
        return True

    def __iter__(self) -> Iterator[StoredImage]:
        """Yield what the store knows of each image, by id; without those that are removed meanwhile."""
        return arrays.every_image(self.session)

    def __contains__(self, ref: object) -> bool:
        """Say whether an image is stored, named as for `similar`; a file of the same content counts.

        Raises BadInput for what names no image, such as a vector.
        """
        return arrays.has(self.session, require_image("the image", ref))

    # Growing

    @checked(**GROWING, ray=optional(require_text), tags=require_flag)
    def add(
        self,
        *paths: AnyPath,
        listed: Iterable[AnyPath] = (),
        patterns: Patterns = ALL_FILES,
        ray: str | None = None,
        tags: bool = False,
        on_progress: OnProgress | None = None,
    ) -> AddReport:
        """Add pictures and folders of them; what the store has already is neither read nor embedded again.

        Files that cannot be added are in `failures` and are tried again when they change.

        Parameters
        ----------
        paths: pictures, archives and folders.
        listed: more paths, from a list; one that is gone by now is a failure and not an error.
        patterns: which files of the folders to take.
        ray: the address of a Ray cluster to embed on (docs/scaling.md).
        tags: record the best classes of every image too, from now on with each add (see `tag_all`).
        on_progress: called with a `Progress` while it runs.

        Raises
        ------
        NotFound: a path is missing, or there is no picture in any.
        NothingAdded: every file failed.
        Interrupted: after Ctrl-C; what was embedded by then is committed.
        StoreBusy
        """
        return sync.add(
            self.session, Selection.of(paths, listed, patterns), ray=ray, tags=tags, on_progress=on_progress
        )

    @checked(**GROWING, ray=optional(require_text), tags=require_flag)
    def sync(
        self,
        *paths: AnyPath,
        listed: Iterable[AnyPath] = (),
        patterns: Patterns = ALL_FILES,
        ray: str | None = None,
        tags: bool = False,
        on_progress: OnProgress | None = None,
    ) -> AddReport:
        """Add what is new, embed again what changed, and forget what is gone, so that the store equals the folders.

        Takes and raises what `add` does. A folder that is missing or has no pictures at all is refused, not taken for
        a deletion of all that was in it (it may be an unplugged disk): `remove` says so expressly. What the patterns
        leave out but is there is not forgotten.
        """
        selection = Selection.of(paths, listed, patterns)
        return sync.add(self.session, selection, forget=True, ray=ray, tags=tags, on_progress=on_progress)

    @checked(**GROWING)
    def preview(
        self, *paths: AnyPath, listed: Iterable[AnyPath] = (), patterns: Patterns = ALL_FILES
    ) -> Iterator[Change]:
        """Yield what `sync` would do, and do nothing: read and hash the files that look new or changed, embed none.

        Files that are as they were are left out. Whether a picture can be decoded is not tried. Takes what `sync`
        does, and raises what it does before it starts.
        """
        return sync.preview(self.session, Selection.of(paths, listed, patterns))

    @checked(**GROWING, seconds=optional(require_seconds))
    def count_new(
        self,
        *paths: AnyPath,
        listed: Iterable[AnyPath] = (),
        patterns: Patterns = ALL_FILES,
        seconds: float | None = None,
    ) -> NewFiles:
        """Return how many files `add` would look at, and how many of them are new or changed; nothing is read or added.

        A file that is new here may hold a picture that the store has, or none at all: `preview` reads it to know.

        Parameters
        ----------
        seconds: after which to return what was counted by then.

        Raises what `add` does before it starts.
        """
        return sync.count_new(self.session, Selection.of(paths, listed, patterns), seconds)

    @checked(**GROWING, stop=optional(require_event))
    def follow(
        self,
        *paths: AnyPath,
        patterns: Patterns = ALL_FILES,
        on_progress: OnProgress | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[AddReport]:
        """Sync, then keep following the folders as they change; yield the report of each sync that did something.

        The first report is that of the first sync, and always comes. Ends when `stop` is set. The store is free for
        other writers in between; while one of them holds it, following waits. Raises what `sync` does but StoreBusy,
        and NotFound when a folder goes away or is emptied as a whole: nothing is forgotten then.
        """
        return sync.follow(self.session, Selection.of(paths, (), patterns), on_progress, stop)

    @checked(vectors=require_path, paths=optional(require_path), on_progress=optional(require_callable))
    def import_vectors(
        self, vectors: AnyPath, paths: AnyPath | None = None, on_progress: OnProgress | None = None
    ) -> AddReport:
        """Take ready-made vectors into the store, one a path.

        A file that is there is known by its content, like an added one; a path without a file is known by its name. A
        new store gets the vectors' dim, and an embedder that can embed nothing, unless it was opened with the name of
        the one that made them. What `export` wrote as Parquet comes with its embedder, its contents, and, into a store
        without clusters, its clusters and names.

        Parameters
        ----------
        vectors: a .npy of shape (n, dim), or Parquet with columns `vector` and `path`; of any length but 0, they are
            scaled to 1.
        paths: a text file of n paths.
        on_progress: called with a `Progress` while it runs.

        Raises
        ------
        BadInput: the files don't fit; nothing is imported.
        WrongEmbedder: the store's vectors have another dim, or are of another embedder.
        """
        source, listed = Path(os.fsdecode(vectors)), Path(os.fsdecode(paths)) if paths is not None else None
        return bulk_import.import_vectors(self.session, source, listed, on_progress)

    @checked(
        source=require_path,
        format=optional(require_text),
        pictures=optional(require_path),
        paths=optional(require_path),
        on_progress=optional(require_callable),
    )
    def import_from(
        self,
        source: AnyPath,
        format: str | None = None,
        *,
        pictures: AnyPath | None = None,
        paths: AnyPath | None = None,
        on_progress: OnProgress | None = None,
    ) -> ImportReport:
        """Take what another program wrote: pictures, ready-made vectors, or labels as selections (docs/exchange.md).

        Parameters
        ----------
        source: a file or folder; or an address such as `s3://bucket/photos`, whose pictures are added.
        format: one of `vecstore.exchange.formats.IMPORTS`; None: recognised by what is there, or a file that
            `import_vectors` takes.
        pictures: the folder that relative paths in the source are below; the folder of the source unless said.
        paths: a text file of paths, for ready-made vectors as in `import_vectors`; of an index of usearch or hnswlib,
            number N, from 0, is the path of key N.
        on_progress: called with a `Progress` while pictures or vectors are taken.

        Raises
        ------
        NotFound: nothing is at that place, or the store has none of the labelled pictures.
        BadInput: the source is not of that format, or of none.
        WrongEmbedder: as for `import_vectors`.
        """
        folder = Path(os.fsdecode(absolute(pictures))) if pictures is not None else None
        listed = Path(os.fsdecode(paths)) if paths is not None else None
        if is_address(absolute(source)) and format is None and folder is None and listed is None:
            return exchange.import_remote(self.session, os.fsdecode(source), on_progress)
        place = Path(os.fsdecode(absolute(source)))
        return exchange.import_from(self.session, place, format, folder, listed, on_progress)

    @checked(on_progress=optional(require_callable))
    def retry_failures(self, on_progress: OnProgress | None = None) -> AddReport:
        """Try every file in `failures` again, also the unchanged ones; those that are gone are dropped from it."""
        return sync.retry_failures(self.session, on_progress)

    @checked(refs=each(require_image))
    def remove(self, *refs: ImageRef) -> RemoveReport:
        """Forget images: by id with all their paths, by path or folder those paths; an image goes with its last path.

        Nothing is removed if one of them is not in the store: raises NotFound. The files stay where they are.
        """
        return sync.remove(self.session, refs)

    @checked(old=require_path, new=require_path, dry_run=require_flag)
    def relocate(self, old: AnyPath, new: AnyPath, *, dry_run: bool = False) -> RelocateReport:
        """Let the paths under a folder, archive or file that was moved lead to where it is now; nothing is embedded.

        A path moves if its file is gone from the old place and one of the same content is at the new: by size and
        time or, where these differ, by the content itself. The others stay as they are, and are in the report. All
        moves are one transaction, which `undo` takes back.

        Parameters
        ----------
        old: where the paths are by the store's record. A file or archive that went into another folder may be followed
            by that folder in `new`; an archive by the folder that it was unpacked to, and the other way round.
        new: where the files are now.
        dry_run: only return the report.

        Raises
        ------
        NotFound: nothing under `old` is in the store, nothing is at `new`, or no path can be moved.
        BadInput: both are one place, or one is an address.
        StoreBusy
        """
        return relocate.relocate(self.session, old, new, dry_run)

    def failures(self) -> Results[Failure]:
        """Return the files that could not be added, and why, by path."""
        return self._results(Failure, self.session.catalog.failures.all())

    # Asking

    @checked(
        refs=each(require_image),
        minus=each(require_image),
        words=each(require_text),
        minus_words=each(require_text),
        minus_weight=require_weight,
        prompts=each(require_text),
        **FOUND,
    )
    def similar(
        self,
        *refs: ImageRef,
        k: int = 10,
        minus: Sequence[ImageRef] = (),
        words: Sequence[str] = (),
        minus_words: Sequence[str] = (),
        minus_weight: float = MINUS_WEIGHT,
        prompts: Sequence[str] = (),
        min_score: float | None = None,
        exact: bool = False,
        sort: str | None = None,
        **conditions: Unpack[Conditions],
    ) -> Results[Neighbour]:
        """Return the k stored images nearest to a mean of examples, less a part of that of others, nearest first.

        Examples are images and words alike. An image that is stored finds itself first, with score 1; other equal
        scores come in the order of ids. Fewer than k come back only where fewer fit.

        Parameters
        ----------
        refs, minus: images to look for, and to look away from: files, ids such as 12 or "@12", the bytes of a file
            (`vecstore.Encoded`, or `bytes` that begin like a picture), Pillow images, pixels as an array of (height,
            width, 3) uint8, and vectors, NumPy's or torch's, of the store's dim and any length but 0.
        k: how many.
        words, minus_words: words to look for, and to look away from: any text for an embedder that reads text, else
            names as in `find`. A word counts as much as an image.
        minus_weight: what is looked away from counts so much, beside 1 of what is looked for, from 0 to 1.
        prompts: templates for the words, as in `find`.
        conditions: which images may be found, the fields of `filters.Filter`. cluster, not_cluster: images in, or not
            in, that cluster of the current clustering, by its id or name. in_selection, not_in_selection: the same of a
            selection (`select`). path: images of which a path fits this pattern, or any of several
            (`filters.path_test`). added_after: images that were added then or later, a date, a datetime or text
            (`filters.moment`). taken_after, taken_before: taken then or later, or before, on the camera's clock.
            camera: of which the camera or its maker contains this, in any case. near: taken within so many kilometres:
            "LATITUDE,LONGITUDE,KM", or three numbers. where: a condition on their facts holds (docs/facts.md).
        min_score: only scores of at least this, in [-1, 1].
        exact: never use an approximate index.
        sort: of those that are found, "taken", "size" or "path" instead of "score"; `rank` stays that of the score.

        Raises
        ------
        NotFound: an image or cluster is not there.
        BadInput: a picture cannot be read, a word is not known, or a condition cannot be.
        """
        examples = query.Examples(refs, minus, words, minus_words, minus_weight, prompts)
        found = query.similar(self.session, examples, Filter.of(**conditions), k, min_score, exact)
        return self._results(Neighbour, facts.ordered(self.session, found, sort))

    @checked(queries=require_images, k=require_count, exact=require_flag)
    def nearest(
        self, queries: Images, k: int = 10, *, exact: bool = False, **conditions: Unpack[Conditions]
    ) -> Nearest:
        """Return the ids and scores of the k stored images nearest to each query, as two arrays.

        One search for all of them; `ids, scores = store.nearest(vectors, 5)`.

        Parameters
        ----------
        queries: an array or tensor of vectors, (q, dim), of any length but 0; or a list of what `similar` takes.
        k: how many for each.
        exact, conditions: as in `similar`.

        Returns
        -------
        `ids` (q, m) int64 and `scores` (q, m) float32, the nearest first; m is k, or how many images can be found.

        Raises what `similar` does, and BadInput for vectors of another dim than the store's.
        """
        return search_nearest.nearest(self.session, queries, Filter.of(**conditions), k, exact)

    @checked(queries=require_images, k=require_count, min_score=optional(require_score), exact=require_flag)
    def similar_to_each(
        self,
        queries: Images,
        k: int = 10,
        *,
        min_score: float | None = None,
        exact: bool = False,
        **conditions: Unpack[Conditions],
    ) -> list[Results[Neighbour]]:
        """Return for each of several queries what `similar` returns for one; one search for all of them.

        Takes and raises what `nearest` does. min_score: as in `similar`.
        """
        each_found = search_nearest.similar_to_each(self.session, queries, Filter.of(**conditions), k, min_score, exact)
        return [self._results(Neighbour, found) for found in each_found]

    @checked(images=require_images)
    def embed(self, images: Images) -> NDArray[np.float32]:
        """Return the vectors of images, (n, dim) float32 of length 1, as a store keeps them; nothing is added.

        images: a list of what `similar` takes. The vector of one that is stored is read, others are embedded.

        Raises NotFound, also for a store that does not exist yet, BadInput.
        """
        return search_nearest.embed(self.session, images)

    @checked(text=require_text, prompts=each(require_text), **CONDITIONS)
    def find(
        self,
        text: str,
        *,
        prompts: Sequence[str] = (),
        k: int = 10,
        min_score: float | None = None,
        sort: str | None = None,
        **conditions: Unpack[Conditions],
    ) -> Results[Found]:
        """Return the k images that most probably show what words say, the most probable first.

        The words are names of ImageNet's 1,000 classes and of what these are kinds of (dog, bird, vehicle, food), in
        the singular or plural. An image's score is the sum of the probabilities of their classes among its five best;
        of several names that of the least. Only images with a score above 0 are found; equal scores come in the order
        of ids. Where tags are recorded (`tag_all`) they are read, else they are made from the vectors.

        An embedder that reads text (open_clip) takes any words, and finds the images nearest to them. The score is the
        model's probability of a match where it has one (SigLIP), else the cosine similarity.

        Parameters
        ----------
        text: one or more names, or any words for an embedder that reads text.
        prompts: for an embedder that reads text, templates such as "a photo of a {}"; the text is put into each of
            them, and their mean is looked for. None: the text as it is.
        k: how many.
        conditions: as in `similar`.
        min_score: only scores of at least this, in [0, 1].
        sort: as in `similar`.

        Raises
        ------
        BadInput: the embedder knows no words, or not this one; the message has near spellings.
        NotFound: a cluster is not there.
        """
        found = self._word_search.find(text, prompts, Filter.of(**conditions), k, min_score)
        return self._results(Found, facts.ordered(self.session, found, sort))

    @checked(texts=each(require_text), prompts=each(require_text), **CONDITIONS)
    def find_each(
        self,
        texts: Sequence[str],
        *,
        prompts: Sequence[str] = (),
        k: int = 10,
        min_score: float | None = None,
        sort: str | None = None,
        **conditions: Unpack[Conditions],
    ) -> list[Results[Found]]:
        """Return what `find` does for each of several texts, a list for each. Takes and raises what it does."""
        return [self.find(text, prompts=prompts, k=k, min_score=min_score, sort=sort, **conditions) for text in texts]

    @checked(refs=each(require_image), words=optional(each(require_text)), prompts=each(require_text))
    def tag(
        self, *refs: ImageRef, words: Sequence[str] | None = None, prompts: Sequence[str] = ()
    ) -> Results[ImageTags]:
        """Return the five best classes of each image with their probabilities; of a new picture too, without adding it.

        Parameters
        ----------
        refs: images, as in `similar`.
        words: take the best of these instead of the embedder's classes. An embedder that reads text takes any, and the
            probability is the model's that it chooses this one of them (a softmax at its temperature), or that it
            matches (a sigmoid) where the model says so; others take names, as in `find`, each by itself.
        prompts: templates for the words, as in `find`.

        Raises BadInput if the embedder knows no words, or not these, and what `similar` does.
        """
        if words is None:
            require_no_prompts(prompts)
            return self._results(ImageTags, tagging.tags_of(self.session, refs))
        return self._results(ImageTags, own_words.words_of(self.session, refs, words, prompts))

    def tag_all(self) -> int:
        """Record the best classes of all images, and from now on with each add; return of how many images.

        20 bytes an image. Images that have theirs are passed over. Raises BadInput if the embedder knows no words,
        StoreBusy.
        """
        return tagging.tag_all(self.session)

    @checked(words=optional(each(require_text)), prompts=each(require_text))
    def tags(self, *, words: Sequence[str] | None = None, prompts: Sequence[str] = ()) -> Iterator[ImageTags]:
        """Yield the recorded best classes of all images, by id; or the best of some words, as in `tag`.

        Raises NotFound if none are recorded, without words; else what `tag` does, before the first step.
        """
        if words is None:
            require_no_prompts(prompts)
            return tagging.every_images_tags(self.session)
        return own_words.every_images_words(self.session, words, prompts)

    @checked(**FOUND)
    def neighbours(
        self,
        *,
        k: int = 10,
        min_score: float | None = None,
        exact: bool = False,
        **conditions: Unpack[Conditions],
    ) -> Iterator[Edge]:
        """Yield the k nearest of every image, by id and then nearest first: the k-NN graph of the store.

        An image is not among its own neighbours. The conditions are those of `similar`, and hold for the images that
        are asked for as for those found: with `cluster`, the graph of that cluster. Memory does not grow with the
        graph. It is that of the store as it is now; images removed while it is read are left out. Raises what
        `similar` does, before the first step.
        """
        return neighbour_graph.edges(self.session, Filter.of(**conditions), k, min_score, exact)

    @checked(series=require_flag, sort=optional(require_text), **DUPLICATES)
    def duplicates(
        self,
        *,
        min_score: float = NEAR_SCORE,
        exact: bool = False,
        series: bool = False,
        keep_by: Sequence[str] = (),
        conditions: Filter | None = None,
        sort: str | None = None,
    ) -> Iterator[Duplicate]:
        """Return the groups of equal images and altered copies, a path at a time, each group's representative first.

        The representative has a file that can be read, if any image of the group has, of those no bars around it, and
        of those the most pixels (of equals, the least id). Every other image of the group is an altered copy of it, as
        comparing their pixels found: scaled, re-encoded, turned, mirrored, without colours, cropped, with bars around
        it, or edited.
        Deleting every path of the kind "copy" leaves a file of each content that can be read: the paths of groups are
        looked at, and what is called a copy is read and compared. Groups are numbered from 1 by their representatives'
        ids.

        What was compared is remembered, so that the next call compares new images alone. Pictures that have no hash
        yet, as those of older stores and of imported vectors, are read once.

        What was decided (`decide`) is not asked again: images that are no duplicates, or are to be kept both, are in
        no group together, and what was decided to be kept comes first.

        Parameters
        ----------
        min_score: in [-1, 1]; BadInput for another. From this score on two images are taken for copies if one cannot be
            read, and for a series.
        exact: only the same content under several paths; no vector is read.
        series: after these groups also those of images whose vectors are nearly the same, and whose pixels are not:
            other shots of the same thing. Every pair is compared, each time.
        keep_by: rules that choose the file to keep instead, of those that can be read, one after the other while
            several are left: "pixels", "bytes", "oldest", "newest", "not-link", "sharpness", "format:png,jpeg",
            "folder:/a,/b", "path:GLOB". `Duplicate.why` says which decided. Of every other image in the group the best
            file is "near" then, and its others are "copy". BadInput for what is no rule.
        conditions: only among images that these hold of.
        sort: groups by their first file: "taken", "size" or "path", as in `similar`; or by "score", those first whose
            farthest image is nearest to it.
        """
        return groups.duplicates(self.session, min_score, exact, keep_by, series, conditions or Filter(), sort)

    @checked(**DUPLICATES, known=require_flag, sort=optional(require_text))
    def duplicate_groups(
        self,
        *,
        min_score: float = NEAR_SCORE,
        exact: bool = False,
        keep_by: Sequence[str] = (),
        conditions: Filter | None = None,
        known: bool = False,
        sort: str | None = None,
    ) -> Iterator[DuplicateGroup]:
        """Return what `duplicates` does, a group at a time, with the sizes of images and files.

        known: only what comparing found before, without the copies of images added since (`compared_duplicates`).
        """
        return groups.described(self.session, min_score, exact, keep_by, conditions or Filter(), known, sort)

    @checked(min_score=require_score, on_progress=optional(require_callable))
    def compare_duplicates(self, *, min_score: float = NEAR_SCORE, on_progress: OnCompared | None = None) -> Compared:
        """Compare the images that were not compared yet with all others, as `duplicates` does first, and remember it.

        on_progress: called with what is gone through ("pictures", to be hashed, then "pairs"), how many of them were,
        and of how many.
        """
        return search_duplicates.compare(self.session, min_score, on_progress)

    def compared_duplicates(self) -> Compared:
        """Return how many images were compared with each other before; nothing is compared."""
        return search_duplicates.compared(self.session)

    @checked(one=require_path, other=require_path, min_score=require_score, exact=require_flag)
    def between(
        self, one: AnyPath, other: AnyPath, *, min_score: float = NEAR_SCORE, exact: bool = False
    ) -> Iterator[FoundIn]:
        """Return the pictures of one place that are in another, equal or altered, by path; each with the surest match.

        A place is a folder, archive or file whose images are in this store, the folder of a store with the same
        embedder, or the name of a selection, where there is no such folder. Raises BadInput if a place has no images
        or is in the other one, WrongEmbedder.

        Parameters
        ----------
        min_score, exact: as for `duplicates`.
        """
        return between.between(self.session, one, other, min_score, exact)

    @checked(k=require_count, conditions=require_filter)
    def outliers(self, k: int = 10, *, conditions: Filter | None = None) -> Results[Member]:
        """Return the k images that are farthest from their centroid, these first; only those that conditions hold of.

        Raises NotFound before the first clustering.
        """
        return self._results(Member, members.outliers(self.session, k, conditions or Filter()))

    @checked(ref=require_image)
    def image(self, ref: ImageRef) -> StoredImage:
        """Return what the store knows of an image. Raises NotFound for one that is not stored."""
        return stored_images.image(self.session, ref)

    @checked(refs=each(require_image))
    def facts(self, *refs: ImageRef) -> Results[ImageFacts]:
        """Return what is known of each image: what its file says of it, what its pixels say, where it is.

        Raises NotFound for one that is not stored.
        """
        return self._results(ImageFacts, facts.facts(self.session, refs))

    @checked(conditions=require_filter, sort=optional(require_text), k=optional(require_count))
    def all_facts(
        self, conditions: Filter | None = None, *, sort: str | None = None, k: int | None = None
    ) -> Iterator[ImageFacts]:
        """Yield what is known of all images that conditions hold of, by id or as `sort` says, at most k.

        sort: "taken", "size" or "path". Images that are removed while it is read are left out. Raises BadInput for what
        is no condition, NotFound for no such cluster, before the first step.
        """
        return facts.facts_of_all(self.session, conditions or Filter(), sort, k)

    @checked(on_progress=optional(require_callable))
    def fill_facts(self, on_progress: OnProgress | None = None) -> FactsReport:
        """Record the facts of the images without: of stores from before facts were kept, and of imported ones.

        Their files are read, as far as they still have the same content; nothing is embedded. What was recorded stays,
        so the same call resumes after an interruption. Raises StoreBusy.
        """
        return fill_facts.fill_facts(self.session, on_progress)

    @checked(by=require_text, conditions=require_filter)
    def count_by(self, by: str, conditions: Filter | None = None) -> Results[Group]:
        """Return how many images there are of each folder, day, month, camera, place or cluster.

        Days and months come in their order, the others by how many images they have; what says none is last. Raises
        BadInput for another `by`, and for places without the extra that has their names; NotFound for clusters before
        the first clustering.
        """
        return self._results(Group, facts.counted(self.session, by, conditions or Filter()))

    @checked(kinds=each(require_text), conditions=require_filter)
    def oddities(self, *kinds: str, conditions: Filter | None = None) -> Iterator[Oddity]:
        """Return the images that are dark, bright, blurred, blank, tiny or of an odd shape, the oddest of a kind first.

        An image that is odd in several ways comes once for each. Images without facts are none (`fill_facts`).

        Parameters
        ----------
        kinds: only of these kinds.
        conditions: only images that these hold of.
        """
        return oddities.oddities(self.session, kinds, conditions or Filter())

    @checked(k=require_count, before=optional(require_integer))
    def images(self, k: int = 100, *, before: int | None = None) -> Results[StoredImage]:
        """Return the k images that were added last, the newest first.

        before: only those of lower ids than this one, to read on where an earlier call ended.
        """
        return self._results(StoredImage, stored_images.newest(self.session, k, before))

    @checked(
        start=require_offset,
        k=require_count,
        order=require_text,
        group=optional(require_text),
        word=optional(require_text),
    )
    def browse(
        self,
        start: int = 0,
        k: int = 100,
        *,
        order: str = "newest",
        group: str | None = None,
        word: str | None = None,
        **conditions: Unpack[Conditions],
    ) -> Page:
        """Return at most k images, from position `start` on, of a list of all or of those that the conditions allow.

        Any part of a list of a million images is there in milliseconds, one under conditions from the second time on.

        Parameters
        ----------
        order: "newest" or "oldest", by when they were added; "taken", the last first, and those that do not say at
            the end; "size", the largest file first; "path"; "typical" or "odd", by the distance to their centroid.
        group: "day", "month", "folder", "camera", "place" or "cluster": those of one group come together, in that order
            within it. The last day or month comes first, but with "oldest"; those of none at the end. See `sections`.
        conditions: as in `similar`.
        word: only images whose best class has this name, where words are recorded (`tag_all`).

        Raises BadInput, and NotFound for a cluster that is not there.
        """
        listing = browsing.Listing(Filter.of(**conditions), word, order, group)
        return browsing.browse(self.session, self._listings, listing, start, k)

    @checked(order=require_text, group=optional(require_text), word=optional(require_text))
    def sections(
        self,
        group: str | None,
        *,
        order: str = "newest",
        word: str | None = None,
        **conditions: Unpack[Conditions],
    ) -> Results[Group]:
        """Return the groups of a list, in the order in which `browse` has them, with how many images each has.

        So a group begins where those before it end. Takes and raises what `browse` does.
        """
        listing = browsing.Listing(Filter.of(**conditions), word, order, group)
        return self._results(Group, browsing.sections(self.session, self._listings, listing))

    @checked(under=optional(require_path), word=optional(require_text))
    def facets(
        self,
        *,
        under: AnyPath | None = None,
        word: str | None = None,
        **conditions: Unpack[Conditions],
    ) -> Facets:
        """Return the folders, clusters, words, months, cameras and places of what the conditions allow, with counts.

        Parameters
        ----------
        under: the folder whose folders are counted; by default the deepest one that has all images.
        word, conditions: as in `browse`.

        Raises what `browse` does.
        """
        listing = browsing.Listing(Filter.of(**conditions), word)
        folder = None if under is None else os.fsdecode(absolute(under))
        return browsing.facets(self.session, self._listings, listing, folder)

    @checked(ids=each(require_integer))
    def count_without_file(self, ids: Iterable[int]) -> int:
        """Return how many of these images have no file left at any of their paths: moved or deleted since.

        Images that were imported without a file are not counted. An archive that is there counts for its members.
        """
        return stored_images.count_without_file(self.session, ids)

    @checked(refs=each(require_image))
    def which(self, *refs: ImageRef) -> Results[Membership]:
        """Return the cluster of each image; one that is not in the store is embedded and assigned, not added."""
        return self._results(Membership, clusters.which(self.session, refs))

    # Looking

    @checked(ref=require_image, size=require_text)
    def thumbnail(self, ref: ImageRef, size: str = "small") -> bytes:
        """Return the thumbnail of a stored image, upright: a WebP of at most 320 pixels on the longer side.

        It is made once and kept in the cache folder, and served from there also when the file is gone. Raises NotFound
        for an image or a file that is not there, BadInput for a file that cannot be read or is another picture by now.

        size: "small", or "large" for at most 960 pixels.
        """
        return thumbnails.thumbnail(self.session, ref, self._thumbnails, size)

    @checked(refs=each(require_image), sizes=each(require_text), on_progress=optional(require_callable))
    def make_thumbnails(
        self,
        *refs: ImageRef,
        sizes: Sequence[str] = ("small", "large"),
        on_progress: OnProgress | None = None,
    ) -> ThumbnailReport:
        """Make the thumbnails of these images ahead, of all images where none is named, the newest first.

        Those that are there are passed over, so the same call resumes after an interruption. It ends when the room for
        thumbnails (`$VECSTORE_THUMBNAILS_MB`) is full of what it has made or found. Raises NotFound, BadInput.

        sizes: "small", "large", or both, which are made from one decoding.
        """
        return thumbnails.make_thumbnails(self.session, refs, self._thumbnails, sizes, on_progress)

    @checked(ref=require_image)
    def original(self, ref: ImageRef) -> Original:
        """Return a stored picture as a browser can show it: its file's bytes, or a JPEG of the formats that none shows.

        Raises NotFound for an image that is not stored, or whose file is gone or another picture by now; BadInput for
        one that cannot be shown.
        """
        return originals.original(*thumbnails.paths_and_content(self.session, ref))

    @checked(
        rebuild=require_flag,
        seed=optional(require_seed),
        level=optional(require_count),
        cut=optional(require_count),
        everything=require_flag,
        on_placed=optional(require_callable),
    )
    def map(
        self,
        *,
        rebuild: bool = False,
        seed: int | None = None,
        level: int | None = None,
        cut: int | None = None,
        everything: bool = False,
        on_placed: Callable[[int, int], object] | None = None,
    ) -> inline.ShownMap:
        """Return a position on a plane for every image, near where images are alike; of a large store, for a sample.

        The map is kept in the store, and grows: mapping again places the images added since and moves no other, until
        there are four times as many as it was made for. While another process writes, or where the store cannot be
        written to, the answer is the same and nothing is kept. Images that were removed are not on it.

        Parameters
        ----------
        rebuild: discard the map that is kept.
        seed: of a new map, 0 unless said; a map of another seed is rebuilt.
        level, cut: of a tree, the clusters of this level, or of a cut into so many, are those of the points.
        everything: place every image of a large store, and not the sample of 20,000 alone that is the answer. The map
            that is kept has them all, and `map_positions` returns it. What is called off loses little.
        on_placed: told how many images have a place, and of how many, again and again.
        """
        grouping = self._grouping(level, cut)
        found = map_layout.store_map(self.session, rebuild, seed, everything, on_placed)
        if grouping is None:
            return inline.ShownMap.of(found, self.clusters, self.thumbnail)
        return inline.ShownMap.of(
            map_layout.grouped(found, grouping.group_of), lambda: grouping.clusters, self.thumbnail
        )

    def _grouping(self, level: int | None, cut: int | None) -> trees.Grouping | None:
        if level is None and cut is None:
            return None
        return trees.grouping(self.session, self._trees, level, cut)

    def map_positions(self) -> map_arrays.MapPositions:
        """Return where the images lie that have a place on the map that the store keeps, as arrays.

        In the order of a shuffle, so that any number of the first is a fair sample. Raises NotFound before the first
        map.
        """
        return map_arrays.positions(self.session, self._listings)

    @checked(by=require_text, level=optional(require_count), cut=optional(require_count))
    def map_values(self, by: str, *, level: int | None = None, cut: int | None = None) -> map_arrays.MapValues:
        """Return a value of each image of `map_positions`, in the same order, to colour it by.

        by: "cluster", "selection", "folder", "word", "month" or "year" in which it was taken, "camera", "lens",
        "maker", "format", "orientation", "rating", "place"; or a number: "taken", "added", "brightness", "contrast",
        "sharpness", "entropy", "shadows", "highlights", "bytes", "pixels", "aspect".
        level, cut: of a tree, "cluster" is the node of this level, or the cluster of a cut into so many, by the id of
        its largest node.

        Raises BadInput for anything else, and NotFound before the first map, or for a level or cut without a tree.
        """
        return self.map_positions_and_values(by, level=level, cut=cut)[1]

    @checked(by=require_text, level=optional(require_count), cut=optional(require_count))
    def map_positions_and_values(
        self, by: str, *, level: int | None = None, cut: int | None = None
    ) -> tuple[map_arrays.MapPositions, map_arrays.MapValues]:
        """Return `map_positions` and `map_values` of one moment, whatever is changed meanwhile. Raises as these do."""
        asked = map_arrays.Colouring(by, level, cut)
        return map_arrays.positions_and_values(self.session, self._listings, self._trees, asked)

    def map_colours(self) -> tuple[str, ...]:
        """Return what `map_values` can be asked for and at least one image has: "cluster", say."""
        return map_arrays.offered(self.session)

    @checked(
        cluster=optional(require_cluster),
        similar=optional(require_image),
        representatives=require_flag,
        k=optional(require_count),
        farthest=require_flag,
        in_selection=optional(require_text),
        not_in_selection=optional(require_text),
    )
    def sheet(
        self,
        cluster: int | str | None = None,
        *,
        similar: ImageRef | None = None,
        representatives: bool = False,
        k: int | None = None,
        farthest: bool = False,
        in_selection: str | None = None,
        not_in_selection: str | None = None,
    ) -> inline.ShownSheet:
        """Return what a contact sheet shows, for `contact_sheets.write_sheet` to draw.

        Parameters
        ----------
        cluster: k (60) of its images, most typical first, or farthest first.
        similar: an image, with the k (30) nearest to it.
        representatives: the most typical image of every cluster. Without any of these: k (6) images of every cluster.
        in_selection, not_in_selection: of these, only images in, or not in, that selection; with `in_selection` alone,
            k (60) images of the selection.

        Raises what `members` and `similar` do, NotFound where no image is left to show, and BadInput for more than one
        of them.
        """
        chosen = Filter(in_selection=in_selection, not_in_selection=not_in_selection)
        found = contact_sheets.sheet(self.session, cluster, similar, representatives, k, farthest, chosen)
        return inline.ShownSheet.of_sheet(found, self.thumbnail)

    @checked(
        file=require_path,
        since=optional(require_text),
        conditions=require_filter,
        level=optional(require_count),
        keep_by=each(require_text),
    )
    def report(
        self,
        file: AnyPath,
        *,
        since: str | None = None,
        conditions: Filter | None = None,
        level: int | None = None,
        keep_by: Sequence[str] = (),
    ) -> Drawing:
        """Write a report on the store as one page: numbers, map, clusters, choice of k, duplicates, odd
        pictures, failures.

        The page is whole in itself: thumbnails are in it, bounded in bytes together; it loads nothing.

        Parameters
        ----------
        file: of a name that ends in .html; BadInput for another.
        since: also what is new, moved, born and gone since a moment (`filters.moment`) or a clustering, by its number.
        conditions: about the images alone that these hold of.
        level: of a tree, with the clusters of this level.
        keep_by: rules that choose which file of duplicates to keep, as for `duplicates`.

        Raises BadInput for what is not a moment, no such level or rule, NotFound for no such clustering, OSError.
        """
        asked = report.Asked(
            since,
            conditions or Filter(),
            self._grouping(level, None),
            lambda min_score, exact: groups.described(self.session, min_score, exact, keep_by, conditions or Filter()),
            tuple(keep_by),
        )
        return report.write_report(self.session, Path(os.fsdecode(file)), asked)

    # Clusters

    @checked(
        k=optional(require_k),
        seed=require_seed,
        iterations=require_count,
        restarts=optional(require_count),
        spherical=require_flag,
        init=require_text,
        warm_start=require_flag,
        within=optional(require_cluster),
        full_iterations=require_offset,
        ray=optional(require_text),
        segments=optional(require_text),
        where=optional(require_text),
        name_by_words=require_flag,
        words=optional(each(require_text)),
        method=require_text,
        min_size=optional(require_count),
        resolution=optional(require_number),
        bandwidth=optional(require_number),
        whiten=require_flag,
        pca=optional(require_count),
        graph=require_flag,
        on_cost=optional(require_callable),
        tree=optional(require_levels),
        on_progress=optional(require_callable),
    )
    def cluster(
        self,
        k: int | Literal["auto"] | None = None,
        *,
        seed: int = 0,
        iterations: int = 25,
        restarts: int | None = None,
        spherical: bool = False,
        init: str = "random",
        warm_start: bool = False,
        within: int | str | None = None,
        full_iterations: int = 0,
        ray: str | None = None,
        segments: str | None = None,
        where: str | None = None,
        name_by_words: bool = False,
        words: Sequence[str] | None = None,
        method: str = "kmeans",
        min_size: int | None = None,
        resolution: float | None = None,
        bandwidth: float | None = None,
        whiten: bool = False,
        pca: int | None = None,
        graph: bool = False,
        on_cost: Callable[[ClusteringCost], None] | None = None,
        tree: Sequence[int] | Literal["auto"] | None = None,
        on_progress: lifecycle.OnClusterProgress | None = None,
    ) -> FittedClustering:
        """Cluster all images, by k-means or another method, and make it the current clustering.

        Clusters keep the ids and names of those of the clustering before that they share their images with. The result
        depends on the images, k, these options and, where it starts from them, the current clusters alone (on a CPU);
        a run that was killed is resumed when the same is asked for.

        Parameters
        ----------
        k: how many clusters, or "auto" (`elbow`).
        restarts: how many times to run; the run with the least objective is kept. None: 30, or as many as pay on a
            store of this size.
        init: "random" or "kmeans++".
        warm_start: one run from the current centroids, k being theirs.
        within: split this cluster into k, and leave the others as they are.
        full_iterations: at the most so many iterations over all images after those on a sample.
        ray: the address of a Ray cluster that goes through all images.
        segments: a path or URI that its machines read the vectors from, kept up to date; None: they see the store's
            folder.
        where: look for the clusters in the images alone of which this condition holds (docs/facts.md); every other
            image gets the nearest of them.
        name_by_words: suggest names for the clusters too, as `suggest_names` does.
        words: names of your own that these are chosen from, in place of the embedder's.
        method: "kmeans", "hdbscan", "agglomerative", "meanshift" or "leiden" (docs/commands.md, "Clusters"). Only
            k-means and agglomerative take a k.
        min_size: of hdbscan, meanshift and leiden: what is in no cluster of so many images is noise. None: 5.
        resolution: of leiden: higher makes more clusters. None: 1.
        bandwidth: of meanshift: the distance within which images are near. None: scikit-learn's estimate.
        whiten: scale the principal components of the vectors to the same variance.
        pca: work in so many principal components.
        graph: of kmeans and agglomerative: cluster the images by the leading eigenvectors of the graph of their ten
            nearest neighbours (spectral clustering).
        on_cost: called with what the method, or the tree, is about to take, before it begins; not for plain k-means.
        tree: make a tree instead, of so many nodes in each level, such as (20, 400): each node is split into clusters
            of the next level by its own images. The last level's are the clusters. "auto": by the number of images.

        Raises BadInput if k is more than the images, NotFound if there is no such cluster, StoreBusy.
        """
        from indexes.kmeans import KMeansOptions

        options = KMeansOptions(seed, iterations, restarts, spherical, init)
        among = clusters.Among(where, parse(where)) if where is not None else None
        names = tuple(words) if words is not None else None
        levels = tree if tree is None or isinstance(tree, str) else tuple(tree)
        by = Method(method, min_size, resolution, bandwidth, whiten, pca, graph)
        order = clusters.ClusterOrder(
            k, options, warm_start, within, full_iterations, ray, segments, among, name_by_words, names, levels, by
        )
        return clusters.cluster(self.session, order, on_progress, on_cost=on_cost)

    @checked(
        k=optional(require_k),
        method=require_text,
        whiten=require_flag,
        pca=optional(require_count),
        graph=require_flag,
        tree=optional(require_levels),
    )
    def cluster_cost(
        self,
        k: int | Literal["auto"] | None = None,
        *,
        method: str = "kmeans",
        whiten: bool = False,
        pca: int | None = None,
        graph: bool = False,
        tree: Sequence[int] | Literal["auto"] | None = None,
    ) -> ClusteringCost:
        """Return about what `cluster` would take with these options, on two cores; nothing is clustered.

        Of k-means with k "auto", or without one, it is the most that any k takes that may be chosen. Raises BadInput
        for what `cluster` would refuse: options that contradict each other, too few images, too little memory.
        """
        from indexes.kmeans import KMeansOptions

        levels = tree if tree is None or isinstance(tree, str) else tuple(tree)
        by = Method(method, whiten=whiten, pca=pca, graph=graph)
        return clusters.cost(self.session, clusters.ClusterOrder(k, KMeansOptions(), tree=levels, method=by))

    @checked(number=require_integer)
    def use_clustering(self, number: int) -> tuple[FittedClustering, int]:
        """Go back to an earlier clustering: it is the current one from now on, and what is clustered next is matched
        to it.

        Returns it, and how many images had been added since and are assigned to it. Raises NotFound, StoreBusy.
        """
        return clusters.use(self.session, number)

    def clusterings(self) -> Results[Clustering]:
        """Return all clusterings that were made, oldest first."""
        return self._results(Clustering, self.session.catalog.clusterings.all())

    def clusters(self) -> Results[Cluster]:
        """Return the clusters of the current clustering that have images, largest first.

        Raises NotFound before the first clustering.
        """
        return self._results(Cluster, clusters.clusters(self.session))

    @checked(cluster=require_cluster, name=require_text)
    def name_cluster(self, cluster: int | str, name: str) -> Cluster | TreeNode:
        """Name a cluster, or a node of the tree above clusters, and return it. An empty name takes it away.

        It keeps the name as long as it keeps its id. Raises NotFound for no such cluster, BadInput for a name with
        control characters, or that another cluster has.
        """
        return self._cluster_or_node(clusters.name_cluster(self.session, cluster, name))

    @checked(cluster=require_cluster)
    def confirm_name(self, cluster: int | str) -> Cluster | TreeNode:
        """Say that the name of a cluster, or of a node, is true of the images that it has now, and return it.

        It is no longer doubtful, and what the next clusterings leave of it is compared with these images. Raises
        NotFound for no such cluster, BadInput for one without a name.
        """
        return self._cluster_or_node(clusters.confirm_name(self.session, cluster))

    def _cluster_or_node(self, found: Cluster | int) -> Cluster | TreeNode:
        return trees.node_of(self.session, self._trees, found) if isinstance(found, int) else found

    def kept_names(self) -> Results[KeptName]:
        """Return what the current clustering left of each name that was given or confirmed before it, by cluster."""
        with self.session.catalog.reading():
            return self._results(KeptName, kept_names.kept_names(self.session.catalog))

    @checked(level=optional(require_count), below=optional(require_cluster), depth=require_count)
    def tree(self, level: int | None = None, *, below: int | str | None = None, depth: int = 1) -> Results[TreeNode]:
        """Return nodes of the current clustering's tree that have images.

        Parameters
        ----------
        level: all nodes of this level, from 1, the largest first.
        below: only what is below this node, given by its id or name.
        depth: without a level, so many levels, from the top or from `below` on.

        Raises NotFound for no such node, or if the current clustering is not a tree, BadInput for no such level.
        """
        return self._results(TreeNode, trees.walk(self.session, self._trees, level, below, depth))

    def tree_levels(self) -> tuple[int, ...]:
        """Return how many nodes with images each level of the tree has, the top first; none if there is no tree."""
        return trees.levels(self.session, self._trees)

    @checked(cluster=require_cluster)
    def tree_path(self, cluster: int | str) -> Results[TreeNode]:
        """Return the way from the top of the tree down to a cluster or node, which is the last. Raises as `tree`."""
        return self._results(TreeNode, trees.way_up(self.session, self._trees, cluster))

    @checked(k=require_count)
    def cut_tree(self, k: int) -> Results[Cut]:
        """Return the k clusters that the tree is cut into, largest first; nothing is trained, and nothing changes.

        Those are joined first that raise the sum of squared distances least (Ward), within one node of the tree before
        beyond it. Raises NotFound if the current clustering is not a tree, BadInput for more than it has clusters.
        """
        return self._results(Cut, trees.cut(self.session, self._trees, k))

    @checked(cluster=require_cluster, images=require_offset, samples=require_offset, seed=require_seed)
    def explain(self, cluster: int | str, *, images: int = 5, samples: int = 10, seed: int = 0) -> Explanation:
        """Return what separates a cluster from its nearest neighbours, how firm it is, and which images may leave it.

        Parameters
        ----------
        images: at the most so many at the boundary to each neighbour, the nearest to that one's centroid first.
        samples: how often the cluster and its three nearest neighbours are trained again, from their centroids, each
            time on half of at most 5,000 images of each. 0: not at all, and `stability` is None.
        seed: of the samples.

        Noise is nobody's neighbour. Raises NotFound if there is no such cluster, BadInput for one without images, and
        for noise.
        """
        return explanation.explain(self.session, cluster, images, samples, seed)

    @checked(refs=each(require_image), to=require_cluster)
    def move(self, *refs: ImageRef, to: int | str) -> MoveReport:
        """Move images to another cluster, or to a new one, and pin them there (see `pin`).

        Centroids stay where they are until the next clustering, which begins from the pinned images. A new cluster is
        of a clustering of its own, and its centroid is the mean of its images.

        Parameters
        ----------
        refs: stored images.
        to: a cluster's id or name, or "new" (unless a cluster is called so).

        Raises NotFound for an image or cluster that is not there, StoreBusy.
        """
        return by_hand.move(self.session, refs, to)

    @checked(clusters=each(require_cluster))
    def merge_clusters(self, *clusters: int | str) -> FittedClustering:
        """Make one cluster of several, in a clustering of its own. The first keeps its id and its name.

        Raises NotFound if there is no such cluster, BadInput for a cluster with itself, StoreBusy.
        """
        return by_hand.merge(self.session, clusters)

    @checked(cluster=require_cluster, k=require_count, seed=require_seed)
    def split_cluster(self, cluster: int | str, k: int = 2, *, seed: int = 0) -> FittedClustering:
        """Split a cluster into k by k-means, as `cluster(k, within=cluster)` does; the others keep their images.

        The part with its pinned images, else the largest, keeps the id. Raises NotFound if there is no such cluster,
        BadInput if it has fewer than k images, StoreBusy.
        """
        from indexes.kmeans import KMeansOptions

        return by_hand.split(self.session, cluster, k, KMeansOptions(seed))

    @checked(refs=each(require_image))
    def pin(self, *refs: ImageRef) -> Results[Pin]:
        """Let images stay in the cluster that they are in, also through new clusterings; return them.

        A clustering is made around pinned images: each of their clusters begins as their mean, and they belong to it in
        every step. Raises NotFound for an image that is not stored, or before the first clustering, StoreBusy.
        """
        return self._results(Pin, by_hand.pin(self.session, refs))

    @checked(refs=each(require_image))
    def unpin(self, *refs: ImageRef) -> Results[Pin]:
        """Let the next clustering decide about images again; return those of them that were pinned.

        They stay where they are until then. Raises what `pin` does.
        """
        return self._results(Pin, by_hand.unpin(self.session, refs))

    def pins(self) -> Results[Pin]:
        """Return the pinned images of the current clustering, by id. Raises NotFound before the first clustering."""
        return self._results(Pin, by_hand.pins(self.session))

    @checked(words=optional(each(require_text)))
    def suggest_names(self, words: Sequence[str] | None = None) -> Results[Cluster]:
        """Return the clusters, largest first, with the names that their images' words suggest, recorded from now on.

        words: names to choose from; any at all with a text tower, else such as the embedder knows. None: all it knows.

        A suggestion stands in `Cluster.suggested` until the cluster is given a name. Raises NotFound before the first
        clustering, BadInput if the embedder knows no words, StoreBusy.
        """
        return self._results(Cluster, clusters.suggest_names(self.session, words))

    def recluster_advised(self) -> bool:
        """Say whether the drift is past the bound from which a new clustering is advised (docs/design.md, Drift)."""
        return lifecycle.is_past_bound(clusters.drift(self.session))

    @checked(
        cluster=require_cluster,
        k=optional(require_count),
        farthest=require_flag,
        start=require_offset,
        conditions=require_filter,
        sort=optional(require_text),
    )
    def members(
        self,
        cluster: int | str,
        k: int | None = None,
        *,
        farthest: bool = False,
        start: int = 0,
        conditions: Filter | None = None,
        sort: str | None = None,
    ) -> Results[Member]:
        """Return a cluster's images, most typical first, or farthest from the centroid first; at most k.

        Parameters
        ----------
        cluster: its id or its name. An id wins; a name may differ in upper and lower case where that is clear.
        start: how many to pass over, to read on where an earlier call ended.
        conditions: only images that these hold of.
        sort: of those that are returned, as in `similar`.

        Raises NotFound if there is no such cluster or selection, BadInput for a name that may be of several clusters.
        """
        return self._results(
            Member, members.members(self.session, cluster, k, farthest, start, conditions or Filter(), sort)
        )

    @checked(
        target=require_path,
        cluster=optional(require_cluster),
        link=require_flag,
        k=optional(require_count),
        farthest=require_flag,
    )
    def make_folders(
        self,
        target: AnyPath,
        cluster: int | str | None = None,
        *,
        link: bool = False,
        k: int | None = None,
        farthest: bool = False,
    ) -> FoldersReport:
        """Copy the pictures of a cluster, or of all, into a folder per cluster below `target`.

        A picture of several paths comes once; two files of one name get different ones. Originals are not touched and
        nothing is overwritten. Done with the journal of `collect`; `undo` takes it back.

        Parameters
        ----------
        link: make symbolic links instead of copies.
        k, farthest: which members, as in `members`.

        Raises
        ------
        BadInput: a cluster's folder is there and not empty, or a link would lead into an archive; nothing is made.
        NotFound: there is no such cluster.
        StoreBusy
        """
        folder = Path(os.fsdecode(absolute(target)))
        return acts.make_folders(self.session, folder, cluster, link=link, k=k, farthest=farthest)

    @checked(seed=require_seed, max_k=optional(require_integer), within=optional(require_cluster))
    def elbow(self, *, seed: int = 0, max_k: int | None = None, within: int | str | None = None) -> inline.ShownElbow:
        """Return loss and silhouette against k, on a sample, and the k that `cluster("auto")` takes, with its reason.

        Parameters
        ----------
        max_k: 100, or a tenth of the images if that is less.
        within: only this cluster's images.

        Raises BadInput on too few images or a max_k that cannot be, NotFound if there is no such cluster.
        """
        return inline.ShownElbow.of(clusters.elbow(self.session, seed, max_k, within))

    @checked(labels=optional(require_path), neighbours=require_count)
    def evaluate(self, *, labels: AnyPath | None = None, neighbours: int = 10) -> Evaluation:
        """Return how well the current clusters, and nearest neighbours, agree with labels.

        Parameters
        ----------
        labels: a CSV of path,label; without one, the label is the name of the folder that an image's path is in (that
            of the first path, if there are several). Images without a label are left out.
        neighbours: how many to judge of each image.

        Raises NotFound without clusters or without labelled images, BadInput on what is not such a table.
        """
        return evaluation.evaluate(self.session, labels, neighbours)

    @checked(words=each(require_text), prompts=each(require_text), labels=optional(require_path))
    def evaluate_words(
        self, words: Sequence[str], *, prompts: Sequence[str] = (), labels: AnyPath | None = None
    ) -> WordEvaluation:
        """Return how often the most probable of some words (`tag`) is an image's label.

        Parameters
        ----------
        words: each stands for the label of its name, in any case, in the singular or plural.
        prompts: templates for the words, as in `find`.
        labels: as in `evaluate`.

        Raises NotFound if no image's label is one of the words, BadInput as `tag` and `evaluate` do.
        """
        return word_evaluation.evaluate_words(self.session, words, prompts, labels)

    # Deciding and acting

    @checked(refs=each(require_image), verdict=require_text, keep=optional(require_path))
    def decide(self, *refs: ImageRef, verdict: str, keep: AnyPath | None = None) -> Results[Decision]:
        """Record what is decided of images, for good: by content, wherever their files go. `undo` takes it back.

        Parameters
        ----------
        refs: two images or more, or one with several paths.
        verdict: "different" (they are no duplicates), "both" (they are, and all are to be kept), or "keep".
        keep: of "keep", the file to keep over the other images, and over the other copies of its own.

        Returns
        -------
        The decisions, one for each two images, in the place of earlier ones of the same two.

        Raises
        ------
        NotFound: an image is not stored.
        BadInput: fewer than two images without copies, another verdict, or a file that is of none of them.
        StoreBusy
        """
        return self._results(Decision, decisions.decide(self.session, verdict, refs, keep))

    def decisions(self) -> Results[Decision]:
        """Return what was decided of images, the latest first."""
        return self._results(Decision, decisions.decisions(self.session))

    @checked(
        act=require_text,
        **DUPLICATES,
        near=require_flag,
        images=optional(each(require_integer)),
        dry_run=require_flag,
        on_act=optional(require_callable),
    )
    def act_on_duplicates(
        self,
        act: str,
        *,
        keep_by: Sequence[str] = (),
        near: bool = False,
        min_score: float = NEAR_SCORE,
        exact: bool = False,
        conditions: Filter | None = None,
        images: Iterable[int] | None = None,
        dry_run: bool = True,
        on_act: Callable[[Act], None] | None = None,
    ) -> ActReport:
        """Clear duplicates away as was decided (`decide`), or as rules say; only plan it, unless dry_run is False.

        Just before each act, the file and the one that stays in its stead are read and compared with what the store
        knows. Each is in a journal before it is begun: what a kill interrupts, the next writer completes or takes
        back. No content is ever left without a file that can be read. The store's paths are kept in step, and `undo`
        puts files back, but for "delete". What cannot be done is refused with a reason, and the others are done.

        Parameters
        ----------
        act: "trash"; "move:DIR"; "hardlink" or "symlink", in the place of a copy; "delete".
        keep_by: as for `duplicates`. Without rules, only what was decided is acted on.
        near: act on near images too, by the rules: "trash" and "move:DIR" only.
        min_score, exact, conditions: which groups, as for `duplicates`.
        images: only groups with one of these ids.
        on_act: called with each `Act`.

        Raises
        ------
        BadInput: no such act or rule, or one that would lose a picture.
        StoreBusy
        """
        order = acts.DuplicateOrder.of(act, keep_by, near, min_score, exact, conditions or Filter(), images)
        return acts.act_on_duplicates(self.session, order, dry_run, on_act)

    @checked(
        refs=each(require_image),
        target=require_path,
        act=require_text,
        dry_run=require_flag,
        on_act=optional(require_callable),
    )
    def collect(
        self,
        *refs: ImageRef,
        target: AnyPath,
        act: str = "copy",
        dry_run: bool = False,
        on_act: Callable[[Act], None] | None = None,
    ) -> ActReport:
        """Copy, link or move a file of each image into a folder; nothing is overwritten, and `undo` takes it back.

        Done with the journal of `act_on_duplicates`. Two files of one name get different ones. The store follows files
        that are moved; copies and links are not added to it. Pictures in archives are copied out also where "move" is
        asked for, and cannot be linked to.

        Parameters
        ----------
        refs: the images.
        target: the folder, made if it is not there.
        act: "copy", "link" (symbolic) or "move".
        dry_run: only return the report.
        on_act: called with each `Act`.

        Raises NotFound for an image that is not stored, BadInput for a target that cannot be, StoreBusy.
        """
        folder = Path(os.fsdecode(absolute(target)))
        return acts.collect(self.session, refs, folder, act, dry_run, on_act)

    # Selections

    @checked(
        name=require_text,
        refs=each(require_image),
        remove=require_flag,
        union=each(require_text),
        intersect=each(require_text),
        minus=each(require_text),
    )
    def select(
        self,
        name: str,
        *refs: ImageRef,
        remove: bool = False,
        union: Iterable[str] = (),
        intersect: Iterable[str] = (),
        minus: Iterable[str] = (),
    ) -> SelectReport:
        """Put images into a selection, a named set of images, which is made if there is none of that name.

        All of it is one operation, which `undo` takes back.

        Parameters
        ----------
        refs: stored images. Images that are in it already stay.
        remove: take them out instead.
        union, intersect, minus: other selections. First the images of `union` are put into it, then only those stay
            that are in each of `intersect`, then those of `minus` are taken out.

        Raises
        ------
        NotFound: an image is not stored, or there is no such selection.
        BadInput: a name that cannot be, or nothing to do.
        StoreBusy
        """
        others = {"union": tuple(union), "intersect": tuple(intersect), "minus": tuple(minus)}
        return selections.select(self.session, name, refs, remove=remove, **others)

    def selections(self) -> Results[SelectionInfo]:
        """Return the selections, by name, and how many images are in each."""
        return self._results(SelectionInfo, self.session.catalog.selections.all())

    @checked(name=require_text, k=optional(require_count), start=require_offset)
    def selected(self, name: str, k: int | None = None, *, start: int = 0) -> Results[Selected]:
        """Return the images of a selection, by id; at most k. Images that were removed are not shown.

        start: how many to pass over. Raises NotFound, with near spellings, if there is no such selection.
        """
        return self._results(Selected, selections.images(self.session, name, k, start))

    @checked(name=require_text)
    def delete_selection(self, name: str) -> SelectReport:
        """Delete a selection; its images stay in the store, and `undo` brings it back. Raises NotFound, StoreBusy."""
        return selections.delete(self.session, name)

    @checked(name=require_text, target=require_path, link=require_flag)
    def export_selection(self, name: str, target: AnyPath, *, link: bool = False) -> SelectionExport:
        """Write a selection: as a list (.txt), a table (.csv, .parquet), or, for any other name, as a folder of copies.

        link: make symbolic links instead of copies. Originals are not touched and nothing is overwritten. Raises
        NotFound for no such selection, BadInput if something is there already.
        """
        return selections.export(self.session, name, Path(os.fsdecode(absolute(target))), link)

    @checked(name=require_text)
    def write_selection_xmp(self, name: str) -> SidecarReport:
        """Write the name of a selection as a keyword into the XMP sidecars of its images, never into the pictures.

        `photo.jpg.xmp` or `photo.xmp`, whichever is there, gets the keyword (dc:subject) and keeps everything else;
        where there is none, `photo.jpg.xmp` is made. Each is replaced as a whole or not at all. `undo` knows none of
        them. Raises NotFound if there is no such selection.
        """
        return sidecars.write_selection(self.session, name)

    @checked(refs=each(require_image), min_probability=require_number)
    def write_tags_xmp(self, *refs: ImageRef, min_probability: float = LEAST_KEYWORD) -> SidecarReport:
        """Write the best classes of images as keywords into their XMP sidecars, as `write_selection_xmp` does.

        Parameters
        ----------
        refs: stored images; none for all whose classes are recorded (`tag_all`).
        min_probability: only classes of at least this.

        Raises what `tag` does, NotFound if none are recorded.
        """
        return sidecars.write_tags(self.session, refs, min_probability)

    # Looking after it

    def info(self) -> Info:
        """Return what the store is: sizes, embedder, index, clusters and drift."""
        return info.info(self.session)

    @checked(
        kind=optional(require_text),
        target_recall=optional(require_number),
        memory_budget=optional(require_integer),
        rebuild=require_flag,
    )
    def index(
        self,
        *,
        kind: str | None = None,
        target_recall: float | None = None,
        memory_budget: int | None = None,
        rebuild: bool = False,
    ) -> IndexReport:
        """Bring the index up to date with every image, and measure it; adding does so by itself when it is due.

        What is said of it is recorded, and holds for later adds.

        Parameters
        ----------
        kind: "auto" (by the number of images), "exact" (none), "rabitq" or "pq"; in Milvus "ivf_sq8" or "hnsw".
        target_recall: of ten neighbours, in (0, 1]; 0.99 unless said.
        memory_budget: bytes that it may take here; 0: no bound.
        rebuild: discard the index that is there.

        Raises BadInput, StoreBusy.
        """
        return index.build_index(self.session, kind, target_recall, memory_budget, rebuild)

    @checked(files=require_flag, repair=require_flag)
    def check(self, *, files: bool = False, repair: bool = False) -> Results[Finding]:
        """Return what is wrong with the store, each file against what the catalog says of it; nothing if it is whole.

        Parameters
        ----------
        files: read every picture too, and compare its content with what was added.
        repair: mend what can be mended; see `Finding.repaired`. Images whose vector is damaged are not found from then
            on, and are embedded again from their files if those have the same content and the embedder can be opened.

        Raises StoreBusy for a repair.
        """
        return self._results(Finding, check.repair(self.session, files) if repair else check.check(self.session, files))

    def damage(self) -> str | None:
        """Return in words the first thing that is wrong with the store, None if it is whole."""
        try:
            found = self.check()
        except Exception as error:
            return f"it cannot be checked ({error})"
        return f"{found[0].where}: {found[0].what}" if found else None

    @checked(keep_clusterings=optional(require_count))
    def compact(self, *, keep_clusterings: int | None = None) -> CompactReport:
        """Give the room of removed images back to the disk; every other image keeps its id.

        A content that comes back later is a new image, embedded again, and undo cannot bring it back. Can be killed at
        any moment; the next one resumes.

        keep_clusterings: forget the labels of all but so many clusterings, the last ones, and the current one; going
        back to one assigns its labels again. Raises StoreBusy, also for a reader in the middle of a long answer.
        """
        return compact.compact(self.session, keep_clusterings)

    @checked(target=require_path, index=require_flag)
    def backup(self, target: AnyPath, *, index: bool = True) -> BackupReport:
        """Copy the store as it is now to a new folder, which is a store; others may write meanwhile.

        Everything is compared with its checksums before the folder appears, whole or not at all. index: copy the index
        too, if there is one. Raises BadInput if something is there already, StoreDamaged for what should not be copied.
        """
        return backup.backup(self.session.catalog, Path(os.fsdecode(absolute(target))), with_index=index)

    @checked(file=require_path, paths=optional(require_path))
    def export(self, file: AnyPath, paths: AnyPath | None = None) -> ExportReport:
        """Write all images to a file that `import_vectors` takes back, vectors bit for bit.

        Images are in the order of their ids, one that has several paths comes once for each. Ids are not taken back:
        rows without an image are left out.

        Parameters
        ----------
        file: Parquet, with contents, clusters and names; or .npy, with a list of the paths beside it.
        paths: that list; the same name with .txt unless said.

        Raises BadInput if a file is there already.
        """
        from vecstore.maintenance.export import export

        target = Path(os.fsdecode(absolute(file)))
        listed = Path(os.fsdecode(absolute(paths))) if paths is not None else None
        return export(self.session, target, listed)

    @checked(target=require_path, format=require_text)
    def export_as(self, target: AnyPath, format: str) -> ExportReport:
        """Write the store for another program (docs/exchange.md); the file or folder appears whole or not at all.

        format: one of `vecstore.exchange.formats.EXPORTS`. Raises BadInput if something is at that place already,
        NotFound if the store has nothing to write.
        """
        return exchange.export_as(self.session, Path(os.fsdecode(absolute(target))), format)

    def operations(self) -> Results[Operation]:
        """Return what was done and can be undone, or redone, newest first; `OPERATIONS_KEPT` at the most."""
        return self._results(Operation, self.session.catalog.operations.all())

    @checked(redo=require_flag)
    def undo(self, *, redo: bool = False) -> UndoReport:
        """Undo the last operation of those that `operations` lists; again, the one before. redo: take that back.

        Again, the one before. Vectors stay, so that adding the same again embeds nothing. Files are put back as they
        were, after a look at what is there now; see `UndoReport.refused`. Raises NotFound if there is nothing to undo.

        redo: take the last undo back.
        """
        return undo.undo(self.session, redo)

    @checked(destination=require_path, compare_all=require_flag, on_progress=optional(require_callable))
    def migrate(
        self, destination: AnyPath, *, compare_all: bool = False, on_progress: OnProgress | None = None
    ) -> MigrateReport:
        """Copy the store to another folder or engine, named as for `open`, and verify the copy; this one stays.

        Ids, paths, clusterings and names are the same there. All rows are compared by checksum, and of an engine that
        keeps vectors of its own a sample, or with compare_all every one. After a kill, the same call resumes. Raises
        BadInput if anything else is at the destination, StoreBusy, and what the engine does.
        """
        from vecstore.maintenance.migrate import migrate

        return migrate(self.session, destination, compare_all, on_progress or (lambda _progress: None))

    @checked(
        destination=require_path,
        embedder=require_text,
        weights=optional(require_path),
        precision=optional(require_text),
        on_progress=optional(require_callable),
    )
    def embed_into(
        self,
        destination: AnyPath,
        *,
        embedder: str,
        weights: AnyPath | None = None,
        precision: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> EmbedReport:
        """Make a store of another embedder from this store's pictures; this one stays as it is.

        The files are those that this store knows: no folder is scanned, and nothing that was left out or removed comes
        in. Where this store has clusters, the new one is clustered into as many, and a cluster that has most of the
        same images gets its name. The same call resumes after an interruption, and brings in what came since.

        Parameters
        ----------
        destination: a folder or URI, named as for `open`; a store there must be of the same new embedder.
        embedder, weights, precision: as for `open`.
        on_progress: called with a `Progress` while it runs.

        Raises
        ------
        BadInput: the destination is this store, or the embedder is the one that it has.
        NotFound: this store has no images.
        NothingAdded: every file failed.
        WrongEmbedder, StoreBusy, Interrupted
        """
        from vecstore.maintenance.embed import embed

        weights_file = Path(os.fsdecode(weights)) if weights is not None else None
        options = replace(self.session.options, weights=weights_file, precision=precision or "auto")
        return embed(self.session, destination, embedder, options, on_progress)


def _reopened(how: OpenedAs) -> Store:
    return Store(Session.open(how.place, how.embedder, how.options, create=how.create, wait=how.wait))
