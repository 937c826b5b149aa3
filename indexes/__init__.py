"""Arrays in, arrays out: FAISS and nothing else. Knows no SQL, no picture and no store.

Importing this package first chooses the kernels of FAISS's matrix products, and how its threads wait.
"""

import os
from pathlib import Path

# What OpenBLAS's kernels need, the fastest first.
KERNELS = {
    "SkylakeX": {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"},
    "Haswell": {"avx2", "fma"},
}


def _choose_kernels(cpuinfo: Path = Path("/proc/cpuinfo")) -> None:
    """Tell OpenBLAS which kernels fit this CPU, unless the user has set them.

    The faiss-gpu wheels (1.15) bring OpenBLAS 0.3.15, which treats an unknown newer CPU as one of 2004 (Prescott,
    without AVX). `scripts/bench cluster` runs with this choice; docs/design.md, "Clusters".
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
# By default FAISS's threads spin while they wait for each other, which slows down everything on a busy machine: there,
# a query of 30,000 x 1280 rows took 26 to 48 ms with spinning and 5 to 7 ms without. k-means is as fast without.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
