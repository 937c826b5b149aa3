"""Ways to cluster beside plain k-means: density, hierarchy, modes and communities, and vectors that are prepared first.

Rows in, labels out; -1 is noise. Each method is a library's own, on vectors in their principal directions. Where its
time or memory grows with the square of the rows, it works on representatives of them, the centroids of a k-means with
many clusters, and every row gets the label of its own. This module knows no catalog: `by_method.py` is the life of
what is found here.
"""

import importlib.util
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from indexes.devices import Device
from indexes.rows import in_blocks, release_pages, rows_per_block, to_float32
from vecstore.errors import BadInput
from vecstore.storage.vector_file import Float16, Float32

if TYPE_CHECKING:
    from indexes.kmeans import KMeansOptions

Int64 = NDArray[np.int64]
OnStep = Callable[[str], None]

KMEANS, HDBSCAN, AGGLOMERATIVE, MEANSHIFT, LEIDEN = "kmeans", "hdbscan", "agglomerative", "meanshift", "leiden"
METHODS = (KMEANS, HDBSCAN, AGGLOMERATIVE, MEANSHIFT, LEIDEN)
# Which options each takes beside those of every method (the seed, and how vectors are prepared).
TAKES = {
    KMEANS: ("k", "graph"),
    HDBSCAN: ("min_size",),
    AGGLOMERATIVE: ("k", "graph"),
    MEANSHIFT: ("bandwidth", "min_size"),
    LEIDEN: ("resolution", "min_size"),
}
# Those that leave images over, and what is a cluster there unless it is said.
LEAVE_NOISE, MIN_SIZE = (HDBSCAN, MEANSHIFT, LEIDEN), 5

# More rows than that are clustered by representatives, so many of them: what a minute on a core is enough for.
REPRESENTATIVES = {HDBSCAN: 20_000, AGGLOMERATIVE: 10_000, MEANSHIFT: 2_000}
REPRESENTATIVE_ITERATIONS = 10
# Principal directions that methods work in unless `pca` says how many, and the rows that these are found from.
DIRECTIONS, PCA_ROWS, PCA_STEPS = 64, 4_096, 4
# Leiden's graph; and the graph whose eigenvectors are asked for, found in so many directions.
NEIGHBOURS = 15
SPECTRAL_NEIGHBOURS, GRAPH_DIRECTIONS = 10, 256
# scikit-learn's estimate of a bandwidth: the mean distance to so large a part of so many rows.
BANDWIDTH_QUANTILE, BANDWIDTH_ROWS = 0.1, 1_000
# Rows of length 1 that are no farther apart than that do not differ.
ALIKE = 1e-6


@dataclass(frozen=True)
class Method:
    """How to cluster; the fields are the parameters of `Store.cluster`."""

    name: str = KMEANS
    min_size: int | None = None
    resolution: float | None = None
    bandwidth: float | None = None
    whiten: bool = False
    pca: int | None = None
    graph: bool = False

    @classmethod
    def of(cls, options: dict[str, Any]) -> Self:
        """Return what a clustering was made by. options: as the catalog has them."""
        return cls(**options.get("by", {}))

    @property
    def is_plain(self) -> bool:
        """Whether this is k-means on the vectors as they are, which has a life of its own."""
        return self == type(self)()

    def to_json(self) -> dict[str, Any]:
        """Return it as the options of a clustering have it."""
        return asdict(self)

    def require_sound(self, k: int | str | None) -> None:
        """Raise BadInput for an unknown method, one that is not installed, and an option that is not its own."""
        if self.name not in METHODS:
            raise BadInput(f"no method is called {self.name!r}; choose one of {', '.join(METHODS)}")
        given = {"k": k, "min_size": self.min_size, "resolution": self.resolution, "bandwidth": self.bandwidth}
        given["graph"] = self.graph or None
        for option, value in given.items():
            if value is not None and option not in TAKES[self.name]:
                *others, last = (name for name in METHODS if option in TAKES[name])
                holders = f"{', '.join(others)} and {last}" if others else last
                takes = " and ".join(TAKES[self.name])
                raise BadInput(f"{option} is for {holders}; {self.name} takes {takes}: leave it out")
        for option in ("resolution", "bandwidth"):
            value = getattr(self, option)
            if value is not None and not 0 < value < float("inf"):
                raise BadInput(f"{option} is {value:g}; a number above 0 is wanted")
        if self.name == HDBSCAN and self.min_size is not None and self.min_size < 2:
            raise BadInput(f"min_size is {self.min_size}; hdbscan knows clusters of 2 images or more")
        if self.name == AGGLOMERATIVE and k is None:
            raise BadInput("the number of clusters is missing; give -k N or -k auto")
        if self.name == LEIDEN and importlib.util.find_spec("igraph") is None:
            raise BadInput("the method leiden needs igraph; `pip install 'vecstore[leiden]'` brings it")


def require_enough(method: Method, n_rows: int, dim: int, holder: str) -> None:
    """Raise BadInput where a method has too few images to work on, or vectors of too few numbers.

    holder: what the images are those of, in words.
    """
    least = max(method.min_size or MIN_SIZE, 2) if method.name == HDBSCAN else 2
    if n_rows < least:
        images = f"{n_rows} image{'s' * (n_rows != 1)}"
        step = "add some first" if n_rows < 2 else f"choose a --min-size from 2 to {n_rows}, or add some first"
        raise BadInput(f"{method.name} needs at least {least} images, and {holder} has {images}; {step}")
    most = min(n_rows, dim)
    if method.pca is not None and method.pca > max(most, 1):
        raise BadInput(
            f"pca is {method.pca}, but {n_rows} images with vectors of {dim} numbers have at most {most} principal "
            "components; ask for no more"
        )


def find(
    vectors: Float16,
    rows: Int64,
    method: Method,
    k: int | None,
    options: "KMeansOptions",
    device: Device,
    on_step: OnStep,
) -> tuple[Int64, int]:
    """Return the label of each row, from 0 and -1 for noise, and how many rows or representatives the method saw.

    vectors: (rows, dim) float16, mapped. rows: ascending, (n,). k: where the method takes one. on_step: told what is
    begun. Raises BadInput where the method finds no cluster. What `require_enough` asks for has to be there.
    """
    min_size = method.min_size or MIN_SIZE
    if method.name == LEIDEN and not (method.whiten or method.pca):
        on_step("nearest neighbours")
        labels = leiden(*neighbour_graph(vectors, rows, NEIGHBOURS), len(rows), method.resolution or 1.0, options.seed)
        return _without_small(labels, min_size, method.name), len(rows)
    prepared = prepare(vectors, rows, method, k, options.seed, on_step)
    few, of_row = prepared, None
    if len(rows) > (most := REPRESENTATIVES.get(method.name, len(rows))):
        on_step(f"{most} representatives")
        few, of_row = _representatives(prepared, most, options.seed, device)
        min_size = max(2, round(min_size * len(few) / len(rows)))
    on_step(method.name)
    labels = _labels(few, method, k, options, device, min_size)
    labels = _without_small(labels, min_size, method.name) if method.name in LEAVE_NOISE else labels
    return (labels if of_row is None else labels[of_row]), len(few)


def _labels(
    x: Float32, method: Method, k: int | None, options: "KMeansOptions", device: Device, min_size: int
) -> Int64:
    from indexes import kmeans

    if method.name == KMEANS:
        trained = kmeans.train(x, k or 1, options, device)
        return kmeans.assign(x, trained.centroids, device).labels
    if method.name == HDBSCAN:
        return _aside(lambda: hdbscan(x, min_size))
    if method.name == AGGLOMERATIVE:
        return _aside(lambda: agglomerative(x, k or 1))
    if method.name == MEANSHIFT:
        return _aside(lambda: mean_shift(x, method.bandwidth, options.seed))
    at = np.arange(len(x))
    graph = neighbour_graph(x.astype(np.float16), at, NEIGHBOURS)
    return leiden(*graph, len(x), method.resolution or 1.0, options.seed)


def hdbscan(x: Float32, min_size: int) -> Int64:
    """Return the labels of scikit-learn's HDBSCAN."""
    from sklearn.cluster import HDBSCAN as Hdbscan

    if np.ptp(x, axis=0).max() < ALIKE:
        raise BadInput("hdbscan finds no cluster, as the images are all alike, and none are denser than the others")
    return np.asarray(Hdbscan(min_cluster_size=min_size, copy=True).fit_predict(x), np.int64)


def agglomerative(x: Float32, k: int) -> Int64:
    """Return the labels of scikit-learn's agglomerative clustering, by Ward's linkage."""
    from sklearn.cluster import AgglomerativeClustering

    return np.asarray(AgglomerativeClustering(min(k, len(x))).fit_predict(x), np.int64)


def mean_shift(x: Float32, bandwidth: float | None, seed: int) -> Int64:
    """Return the labels of scikit-learn's mean shift. bandwidth: None: scikit-learn's estimate."""
    from sklearn.cluster import MeanShift, estimate_bandwidth

    if bandwidth is None:
        some = min(BANDWIDTH_ROWS, len(x))
        # Of few rows that part would be the row itself, which is at no distance: as many as a cluster has, then.
        quantile = min(max(BANDWIDTH_QUANTILE, (MIN_SIZE + 0.5) / some), 1.0)
        found = estimate_bandwidth(x, quantile=quantile, n_samples=some, random_state=seed % 2**32)
        bandwidth = float(found)
    if bandwidth < ALIKE:
        raise BadInput("meanshift finds no bandwidth, as the images are all alike; give --bandwidth, such as 0.5")
    return np.asarray(MeanShift(bandwidth=bandwidth, cluster_all=False).fit_predict(x), np.int64)


def leiden(ones: Int64, others: Int64, scores: Float32, n: int, resolution: float, seed: int) -> Int64:
    """Return the communities of a graph by igraph's Leiden. ones, others, scores: edges; a score is its weight.

    Traag, Waltman and van Eck, "From Louvain to Leiden", https://arxiv.org/abs/1810.08473, by modularity.
    """
    import random

    import igraph

    low, high = np.minimum(ones, others), np.maximum(ones, others)
    _, first = np.unique(low * n + high, return_index=True)
    graph = igraph.Graph(n, np.stack([low[first], high[first]], axis=1))
    igraph.set_random_number_generator(random.Random(seed))
    try:
        found = graph.community_leiden(
            objective_function="modularity",
            weights=np.maximum(scores[first], 0).tolist(),
            resolution=resolution,
            n_iterations=-1,
        )
    finally:
        igraph.set_random_number_generator(random)
    return np.array(found.membership, np.int64)


def neighbour_graph(vectors: Float16, rows: Int64, k: int) -> tuple[Int64, Int64, Float32]:
    """Return the edges from each row to its k nearest, as positions in `rows`, and their scores."""
    from indexes.nearest_rows import nearest_rows

    ones, others, scores = nearest_rows(vectors, rows, vectors, rows, k, -np.inf)
    return np.searchsorted(rows, ones), np.searchsorted(rows, others), scores


def prepare(vectors: Float16, rows: Int64, method: Method, k: int | None, seed: int, on_step: OnStep) -> Float32:
    """Return what a method works on: the rows in principal directions, (n, m) float32, or their graph's eigenvectors.

    With `whiten`, `pca` or `graph` they are those of the covariance, and rows have length 1 again; else they go through
    the origin, so that distances are those of the vectors.
    """
    on_step("principal directions")
    centred = method.whiten or method.pca is not None or method.graph
    width = method.pca or (GRAPH_DIRECTIONS if method.graph else DIRECTIONS)
    x = _reduced(vectors, rows, width, centred, seed)
    if method.whiten:
        x /= np.maximum(x.std(axis=0), 1e-6)
    if centred:
        x = _unit(x)
    if method.graph:
        on_step("eigenvectors of the nearest neighbours' graph")
        codes = x.astype(np.float16)
        ones, others, scores = neighbour_graph(codes, np.arange(len(x)), SPECTRAL_NEIGHBOURS)
        x = spectral(ones, others, scores, len(x), min(k or 1, len(x)), seed)
    return x


def spectral(ones: Int64, others: Int64, scores: Float32, n: int, width: int, seed: int) -> Float32:
    """Return where a graph's rows lie in the leading eigenvectors of its normalised adjacency, (n, width), at length 1.

    An edge weighs its score, one both ways twice that, and each row is its own neighbour with a score of 1. Ng, Jordan
    and Weiss, "On Spectral Clustering", NIPS 2001.
    """
    from scipy.sparse import csr_array, diags_array, eye_array
    from scipy.sparse.linalg import eigsh

    one_way = csr_array((np.maximum(scores, 0).astype(np.float64), (ones, others)), shape=(n, n))
    graph = (one_way + one_way.T) / 2 + eye_array(n)
    scale = diags_array(1 / np.sqrt(graph.sum(axis=1)))
    normalised = scale @ graph @ scale
    if width >= n - 1:  # as many as only a dense matrix gives
        vectors = np.linalg.eigh(normalised.toarray())[1][:, -width:]
    else:
        start = np.random.default_rng(seed).uniform(0.5, 1, n)
        vectors = eigsh(normalised, k=width, which="LA", v0=start)[1]
    return _unit(np.asarray(vectors, np.float32))


def _reduced(vectors: Float16, rows: Int64, width: int, centred: bool, seed: int) -> Float32:
    from indexes.principal_directions import principal_directions

    random = np.random.default_rng(seed)
    some = rows if len(rows) <= PCA_ROWS else np.sort(random.choice(rows, PCA_ROWS, replace=False))
    sample = to_float32(vectors[some])
    mean = sample.mean(axis=0) if centred else np.zeros(vectors.shape[1], np.float32)
    directions = principal_directions(sample - mean, min(width, vectors.shape[1]), PCA_STEPS, random)
    # Turned so that the directions are the axes of the sample: whitening scales them one by one.
    directions = directions @ np.linalg.svd((sample - mean) @ directions, full_matrices=False)[2].T
    found = np.empty((len(rows), directions.shape[1]), np.float32)
    start = 0
    for block in in_blocks(rows, rows_per_block(vectors.shape[1], np.float32)):
        found[start : start + len(block)] = (to_float32(vectors[block]) - mean) @ directions
        start += len(block)
    release_pages(vectors)
    return found


def _representatives(x: Float32, most: int, seed: int, device: Device) -> tuple[Float32, Int64]:
    """Return the centroids of a k-means with many clusters, and the position of that of each row."""
    from indexes import kmeans

    options = kmeans.KMeansOptions(seed, REPRESENTATIVE_ITERATIONS, restarts=1)
    trained = kmeans.train(x, most, options, device)
    labels = kmeans.assign(x, trained.centroids, device).labels
    used, of_row = np.unique(labels, return_inverse=True)
    return trained.centroids[used], of_row


def _without_small(labels: Int64, least: int, method: str) -> Int64:
    """Return the labels with -1 for the rows of clusters that are too small; raise BadInput if none is left."""
    sizes = np.bincount(labels[labels >= 0], minlength=1)
    small = labels >= 0
    small[small] = sizes[labels[small]] < least
    labels = np.where(small, -1, labels)
    if not (labels >= 0).any():
        step = "choose a lower --min-size, or another method" if least > 2 else "choose another method"
        raise BadInput(f"{method} finds no cluster of at least {least}; {step}")
    return labels


def _aside(work: Callable[[], Int64]) -> Int64:
    """Return what work returns. It runs in a thread, so that Ctrl-C is not held up until a long call ends."""
    found: list[Int64] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
    if failed:
        raise failed[0]
    return found[0]


def _unit(x: Float32) -> Float32:
    lengths: Float32 = np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)
    return np.asarray(x / lengths, np.float32)
