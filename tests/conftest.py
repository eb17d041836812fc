"""Several processes test at a time, each on a core of its own: more threads than that only wait for one another."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before torch is imported, and for every process that a test starts.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
