"""Arrays in, arrays out: FAISS and nothing else. Knows no SQL, no picture and no store.

Importing anything of this package first settles which kernels FAISS's matrix products run on, and how its threads wait.
"""

import os
from pathlib import Path

# What OpenBLAS's kernels need, the fastest first.
KERNELS = {
    "SkylakeX": {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"},
    "Haswell": {"avx2", "fma"},
}


def _choose_kernels(cpuinfo: Path = Path("/proc/cpuinfo")) -> None:
    """Name this CPU's kernels to OpenBLAS, unless the user has named some.

    The faiss-gpu wheels (1.15) bring OpenBLAS 0.3.15, which takes a CPU that is newer than itself for one of 2004
    (Prescott, without AVX). `scripts/bench cluster` runs with what is chosen here; docs/design.md, "Clusters".
    """
    if "OPENBLAS_CORETYPE" in os.environ or not cpuinfo.is_file():
        return
    flags: set[str] = set()
    with open(cpuinfo, encoding="ascii", errors="replace") as lines:
        for line in lines:
            if line.startswith("flags"):
                flags.update(line.partition(":")[2].split())
                break
    for kernels, needed in KERNELS.items():
        if needed <= flags:
            os.environ["OPENBLAS_CORETYPE"] = kernels
            return


_choose_kernels()
# FAISS's threads spin while they wait for each other, and on a machine with other work take the time that others need:
# seen there, with 30,000 x 1280 rows, 26 to 48 ms a query, and 5 to 7 ms without. k-means is no slower without.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
