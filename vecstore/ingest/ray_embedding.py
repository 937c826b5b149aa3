"""Embedding on many machines: a pool of Ray Data actors reads, hashes, decodes and embeds; the caller commits.

What an actor makes of a file depends on the file and on the embedder alone, and the catalog takes a content once. So a
batch that is done again, because the machine that had it died, changes nothing. Workers find the files by their paths,
which lead to the same files on every machine (a shared disk). This module knows no catalog and writes nothing.
"""

import pickle
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecstore.embedders import calling
from vecstore.embedders.embedder import EmbedderOptions, EmbedderSpec
from vecstore.embedders.registry import open_embedder
from vecstore.engines.ray_cluster import connected
from vecstore.errors import WrongEmbedder
from vecstore.ingest import pipeline
from vecstore.ingest.pipeline import Picture
from vecstore.sources.file_stamp import FileStamp

# One data set of Ray's is made of so many files, or of so many bytes of members of archives, which travel with it.
CHUNK_FILES = 20_000
CHUNK_BYTES = 1 << 28
# Files of one task: it is what is done again when a worker dies.
BATCH_FILES = {"cpu": 16, "cuda": 256}

Known = NDArray[np.bytes_]


@dataclass(frozen=True)
class RayEmbedding:
    """Embeds on the Ray cluster at `address`, one actor for each GPU there or, without any, for each core.

    spec: what the vectors are to be made by; a worker with other weights is refused. options: how workers open it; a
    weight file's path leads to it on every machine.
    """

    address: str
    spec: EmbedderSpec
    options: EmbedderOptions

    def embedded(self, files: Iterable[FileStamp | Picture], known: Iterable[bytes]) -> Iterator[Picture]:
        """Yield what became of each file, in their order, with the vectors of those whose content is new.

        known: the sha256 of every content that needs no vector. Raises what `connected` does, and WrongEmbedder.
        """
        with connected(self.address, self.options.device) as ray:
            contents = ray.put(np.sort(np.array(list(known), "S32")))
            for chunk in _chunks(files):
                yield from self._chunk(ray, chunk, contents)

    def _chunk(self, ray: Any, chunk: list[FileStamp | Picture], contents: Any) -> Iterator[Picture]:
        resources = ray.cluster_resources()
        n_gpus = 0 if self.options.device == "cpu" else int(resources.get("GPU", 0))
        n_actors = n_gpus or int(resources.get("CPU", 1))
        batch = BATCH_FILES["cuda" if n_gpus else "cpu"]
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = True  # rows are numbered in the order of the scan, as always
        files = ray.data.from_items(
            [{"file": pickle.dumps(file)} for file in chunk], override_num_blocks=-(-len(chunk) // batch)
        )
        done = files.map_batches(
            _Worker,
            fn_constructor_args=(self.spec, replace(self.options, quiet=True), contents),
            batch_size=batch,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=n_actors),
            num_cpus=1,
            num_gpus=1 if n_gpus else 0,
        )
        for row in done.iter_rows():
            yield pickle.loads(row["picture"])


class _Worker:
    """An actor: one core, or one GPU with the cores that feed it, with the network loaded."""

    def __init__(self, spec: EmbedderSpec, options: EmbedderOptions, contents: Any) -> None:
        import ray

        options = replace(options, expected=spec.weights, recorded=spec.precisions, described=spec.preprocessings)
        self._embedder = open_embedder(spec.name, options)
        if self._embedder.spec != spec:
            raise WrongEmbedder(
                f"a worker's {spec.name} is not the store's; install the same vecstore and weights there"
            )
        calling.load(self._embedder)
        self._known: Known = ray.get(contents)
        self._decoders = ThreadPoolExecutor(2 if ray.get_gpu_ids() else 1)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        read = [self._marked(pipeline.read(pickle.loads(file))) for file in batch["file"]]
        decoded = list(self._decoders.map(partial(pipeline.decode, embedder=self._embedder), read))
        return {"picture": [pickle.dumps(p) for p in pipeline.embed(decoded, self._embedder)]}

    def _marked(self, picture: Picture) -> Picture:
        """Mark a picture whose content is to be embedded, and let the others' bytes go."""
        sha256 = np.bytes_(picture.sha256 or b"")
        place = int(np.searchsorted(self._known, sha256))
        is_known = place < len(self._known) and self._known[place] == sha256
        new = picture.sha256 is not None and not is_known
        return replace(picture, new=new, data=picture.data if new else b"")


def _chunks(files: Iterable[FileStamp | Picture]) -> Iterator[list[FileStamp | Picture]]:
    chunk: list[FileStamp | Picture] = []
    n_bytes = 0
    for file in files:
        chunk.append(file)
        n_bytes += len(file.data) if isinstance(file, Picture) else 0
        if len(chunk) >= CHUNK_FILES or n_bytes >= CHUNK_BYTES:
            yield chunk
            chunk, n_bytes = [], 0
    if chunk:
        yield chunk
