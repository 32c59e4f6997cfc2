"""Torch building blocks. Before torch is loaded, its OpenMP threads are told not to spin for long.

By default a thread that waits spins for many milliseconds, which on a machine that is also used by others
keeps the very thread it waits for from running: a training step of 40 ms was seen to take 1300. A setting of
the user's own is left alone.

oneDNN compiles a kernel for every shape of a product, 10 ms each, and keeps the last 1024. Batches of sentences have more.
"""

import os

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "4096")
