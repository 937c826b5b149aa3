"""The tags: the best classes of each image with their probabilities, as `vecstore/words` makes them."""

from vecstore.storage.catalog.row_records import BLOCK_ROWS as BLOCK_ROWS
from vecstore.storage.catalog.row_records import RowRecords

ROW_BYTES = 20


class Tags(RowRecords):
    """The tags of the images, and whether an add records them."""

    table, column, row_bytes, what = "tags", "classes", ROW_BYTES, "tags"

    def are_kept(self) -> bool:
        """Say whether tags were asked for, so that every add records those of its images."""
        return bool(self._value("select keeps_tags from store"))

    def keep(self) -> None:
        self.db.execute("update store set keeps_tags = 1")
