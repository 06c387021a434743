"""The folders for data sets and caches, both outside the source tree."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return this package's cache folder: `sdd_eval` in `$XDG_CACHE_HOME` or `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "sdd_eval"


def data_root(flag: Path | None = None) -> Path:
    """Return the data root: the flag, else `$SDD_EVAL_DATA`, else `data` in the cache folder."""
    if flag is not None:
        return flag.expanduser()
    variable = os.environ.get("SDD_EVAL_DATA")
    return Path(variable).expanduser() if variable else cache_folder() / "data"
