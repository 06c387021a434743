"""Every test process works with one thread: several beside each other must not share cores."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch
