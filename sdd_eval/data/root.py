"""Where data live: outside the tree, in one folder that a flag or the environment names."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The user's cache folder of this package; `$XDG_CACHE_HOME` or `~/.cache`, then `sdd_eval`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "sdd_eval"


def data_root(flag: Path | None = None) -> Path:
    """The folder of all data sets: the flag, else `$SDD_EVAL_DATA`, else in the cache folder."""
    if flag is not None:
        return flag.expanduser()
    variable = os.environ.get("SDD_EVAL_DATA")
    return Path(variable).expanduser() if variable else cache_folder() / "data"
