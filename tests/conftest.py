"""Every test process works with one thread, and keeps nothing outside its own folders."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch; several must not share cores
os.environ["SDD_EVAL_CACHE"] = "off"  # no test leaves anything in the user's folders
