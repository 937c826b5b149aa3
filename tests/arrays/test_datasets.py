"""A store as a dataset of torch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from vecstore import StoreDataset
from vecstore.errors import NotFound
from vecstore.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")


def as_tensor(picture: Image.Image) -> Any:
    return torch.from_numpy(np.array(picture))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 2])
def test_pictures_come_in_the_order_of_ids_with_their_clusters(
    workers: int, open_store: Callable[..., Store], pictures: Path
) -> None:
    with open_store() as store:
        store.add(pictures)
        store.cluster(2, restarts=1)
        store.remove(4)
        dataset = StoreDataset(store, as_tensor)
        labels, paths = store.labels, store.paths
    found = list(DataLoader(dataset, batch_size=4, num_workers=workers))
    assert len(dataset) == 9
    np.testing.assert_array_equal(torch.cat([label for _, label in found]), labels)
    np.testing.assert_array_equal(
        torch.cat([picture for picture, _ in found]), [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    )
    (pictures / "0.png").unlink()
    with pytest.raises(NotFound, match="^the picture @0 cannot be read from .*0.png"):
        dataset[0]
