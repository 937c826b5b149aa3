"""Benchmarks: each runs vecstore and what it is compared with side by side, in turns, in one run, and prints ratios.

The machines are shared and noisy: believe the ratios, not the seconds.
"""

import indexes  # noqa: F401  # before FAISS: it settles which kernels FAISS runs on
