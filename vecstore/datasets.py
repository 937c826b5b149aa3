"""A store's pictures as a dataset of torch, for a `DataLoader` with any number of workers."""

import os
from collections.abc import Callable
from typing import Any

from torch.utils.data import Dataset

from vecstore.errors import NotFound
from vecstore.sources import archives, decoding
from vecstore.sources.paths import shown
from vecstore.sources.unreadable import Unreadable
from vecstore.store import Store


class StoreDataset(Dataset[tuple[Any, int]]):
    """The pictures of a store with the ids of their clusters: item i is of the image `ids[i]`.

    An item is (picture, label): a Pillow image, RGB and upright, or what `transform` makes of it; and the id of its
    cluster, -1 without one. Ids, paths and labels are those of the moment when the dataset was made. It holds no open
    file, so it can be pickled, and used in workers that are forked or spawned.
    """

    def __init__(self, store: Store, transform: Callable[[Any], Any] | None = None) -> None:
        """Make a dataset of an open store, which may be closed afterwards.

        transform: called with each picture, such as one of `torchvision.transforms`.
        """
        self.ids = store.ids
        self.paths = store.paths
        self.labels = store.labels
        self._transform = transform

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """Return a picture and its label. Raises NotFound where its file is gone or cannot be read any more."""
        path = os.fsencode(self.paths[index])
        try:
            picture = decoding.decode(archives.read_path(path).data, name=path)
        except (OSError, Unreadable) as error:
            raise NotFound(
                f"the picture @{self.ids[index]} cannot be read from {shown(path)} ({error}); `vecstore sync` forgets "
                "files that are gone"
            ) from error
        return (picture if self._transform is None else self._transform(picture)), int(self.labels[index])
