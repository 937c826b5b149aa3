"""LanceDB's table of the vectors of a .npy; run by `scripts/bench import --lance PYTHON` in that Python.

    python lance_peer.py FOLDER VECTORS.npy PATHS.txt

Prints the number of rows. Imports nothing of vecstore. It needs lancedb, pyarrow and numpy.
"""

import sys
from collections.abc import Iterator

import lancedb
import numpy as np
import pyarrow as pa

BLOCK_ROWS = 8_192


def main() -> None:
    folder, vectors, paths = sys.argv[1:]
    rows = np.load(vectors, mmap_mode="r")
    named = open(paths).read().split()
    schema = pa.schema([pa.field("path", pa.string()), pa.field("vector", pa.list_(pa.float32(), rows.shape[1]))])

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, len(rows), BLOCK_ROWS):
            block = np.ascontiguousarray(rows[start : start + BLOCK_ROWS])
            lists = pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), rows.shape[1])
            yield pa.record_batch([pa.array(named[start : start + BLOCK_ROWS]), lists], schema=schema)

    table = lancedb.connect(folder).create_table("vectors", batches(), schema=schema)
    print(table.count_rows())


if __name__ == "__main__":
    main()
