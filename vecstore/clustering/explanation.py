"""Why a cluster is one: what separates it from its nearest neighbours, and how firm it is.

How firm is asked of the cluster and its neighbours alone: they are trained again, from the centroids that there are, on
samples of their images, and what the cluster's images then belong to is compared.
"""

import os
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from indexes.rows import as_float32, in_blocks, rows_per_block
from vecstore.clustering.clusters import current_clusters
from vecstore.errors import BadInput
from vecstore.results import BoundaryImage, Explanation, Leaver, Rival
from vecstore.session import Session
from vecstore.storage.checksums import require_rows
from vecstore.storage.layout import HEAD
from vecstore.storage.vector_file import Float16, Float32
from vecstore.words.stored_head import read_head, stored_head
from vecstore.words.suggestions import separating_words

Int64 = NDArray[np.int64]

NEIGHBOURS = 3
# Images of each cluster that samples are drawn from, and the part that each sample has of them.
MOST_ROWS, SAMPLE_PART = 5_000, 0.5
ITERATIONS = 10
MOST_SAMPLES = 1_000


def explain(
    session: Session, cluster: int | str, images: int, samples: int, seed: int, *, make_head: bool = True
) -> Explanation:
    """Return what separates a cluster from its neighbours, and how firm it is; see `Store.explain`.

    make_head: where the store has not kept what words need, make it; otherwise there are no words.
    """
    if samples > MOST_SAMPLES:
        raise BadInput(f"{samples} samples would take too long; ask for at most {MOST_SAMPLES}")
    has_head = read_head(session.path / HEAD, session.spec.to_json()) is not None
    knows_words = has_head or (
        make_head and _knows_words(session)
    )  # before the transaction: the head may have to be made
    with session.catalog.reading():
        current = current_clusters(session)
        number = session.catalog.clusterings.require_cluster(current.clustering, cluster)
        sizes = {found.cluster: found for found in session.catalog.clusterings.cluster_sizes(current.clustering)}
        own = sizes[number]
        if own.noise:
            raise BadInput(
                f"cluster {number} is the noise: what is in no cluster has nothing in common to explain; "
                f"`vecstore members {number}` lists it"
            )
        if not own.size:
            raise BadInput(f"cluster {number} has no images left to explain; `vecstore clusters` lists those that have")
        others = [other for other, at in sizes.items() if other != number and at.size and not at.noise]
        centroids = dict(zip(current.ids, current.centroids, strict=True))
        away = {other: float(np.linalg.norm(centroids[other] - centroids[number])) for other in others}
        near = sorted(others, key=lambda other: (away[other], other))[:NEIGHBOURS]
        rows = _rows(session, current.clustering, number)
        vectors = session.vectors()
        require_rows(session.catalog, vectors, rows)
        words = separating_words(session, current.clustering, number, near) if near and knows_words else {}
        margins = _margins(vectors, rows, centroids[number], [centroids[other] for other in near])
        rivals = []
        for place, other in enumerate(near):
            order = np.argsort(margins[:, place], kind="stable")[:images]
            boundary = [
                BoundaryImage(int(rows[at]), _path(session, int(rows[at])), float(margins[at, place])) for at in order
            ]
            own_words, their_words = words.get(other, ((), ()))
            rivals.append(Rival(other, sizes[other].name, away[other], own_words, their_words, tuple(boundary)))
        stability, leaving = None, list[Leaver]()
        if near and samples:
            stability, leaving = _resampled(session, current.clustering, [number, *near], centroids, samples, seed)
        return Explanation(number, own.name, own.size, stability, samples, tuple(rivals), tuple(leaving))


def _knows_words(session: Session) -> bool:
    try:
        stored_head(session)
    except BadInput:  # an embedder without words; a head that cannot be made now is an error like any other
        return False
    return True


def _rows(session: Session, clustering: int, cluster: int) -> Int64:
    removed = {*session.catalog.images.removed_rows()}
    return np.array(sorted({*session.catalog.memberships.member_rows(clustering, cluster)} - removed), np.int64)


def _path(session: Session, row: int) -> str:
    return os.fsdecode(session.catalog.paths.first_of(row) or b"")


def _margins(vectors: Float16, rows: Int64, own: Float32, others: list[Float32]) -> NDArray[np.float64]:
    """Return how much farther each of the other centroids is from each row, (n, others)."""
    found = [np.empty((0, len(others)))]
    for block in in_blocks(rows, rows_per_block(vectors.shape[1], np.float32)):
        some = np.asarray(vectors[block], np.float32)
        to_own = np.linalg.norm(some - own, axis=1)
        found.append(
            np.stack([np.linalg.norm(some - other, axis=1) - to_own for other in others], axis=1)
            if others
            else np.empty((len(some), 0))
        )
    return np.concatenate(found).astype(np.float64)


def _resampled(
    session: Session, clustering: int, clusters: list[int], centroids: dict[int, Float32], samples: int, seed: int
) -> tuple[float, list[Leaver]]:
    """Return how far the first of the clusters is found again in samples of them all, and which images left it."""
    from indexes import kmeans
    from indexes.kmeans import KMeansOptions

    random = np.random.default_rng(seed)
    drawn = [_some(_rows(session, clustering, cluster), random) for cluster in clusters]
    rows = np.concatenate(drawn)
    is_own = np.repeat(np.arange(len(clusters)), [len(some) for some in drawn]) == 0
    order = np.argsort(rows)
    rows, is_own = rows[order], is_own[order]
    require_rows(session.catalog, session.vectors(), rows)
    vectors = as_float32(session.vectors(), rows)
    start = np.stack([centroids[cluster] for cluster in clusters])
    spherical = bool(session.catalog.clusterings.options(clustering).get("spherical"))
    options = KMeansOptions(seed, ITERATIONS, 1, spherical)
    similar, went = [], [Counter[int]() for _ in range(len(rows))]
    n_sample = max(len(clusters), round(SAMPLE_PART * len(rows)))
    for _ in range(samples):
        sample = np.sort(random.choice(len(rows), n_sample, replace=False))
        trained = kmeans.train(vectors[sample], len(start), options, session.device, start=start)
        labels = kmeans.assign(vectors, trained.centroids, session.device).labels
        again = labels == 0
        similar.append(float((again & is_own).sum() / max((again | is_own).sum(), 1)))
        for at in np.flatnonzero(is_own & ~again).tolist():
            went[at][clusters[int(labels[at])]] += 1
    leavers = [
        Leaver(int(rows[at]), _path(session, int(rows[at])), found.total() / samples, found.most_common(1)[0][0])
        for at, found in enumerate(went)
        if found
    ]
    return float(np.mean(similar)), sorted(leavers, key=lambda leaver: (-leaver.share, leaver.id))


def _some(rows: Int64, random: np.random.Generator) -> Int64:
    return rows if len(rows) <= MOST_ROWS else np.sort(random.choice(rows, MOST_ROWS, replace=False))
