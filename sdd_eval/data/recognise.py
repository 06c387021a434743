"""Whether what lies below a root is the set it should be."""

from __future__ import annotations

from pathlib import Path

from sdd_eval.data.dataset import Dataset, Status
from sdd_eval.data.origin import missing
from sdd_eval.errors import InputError


def recognised(dataset: Dataset, root: Path) -> Status:
    """Load a set, so that every file is read and hashed, and say what it is.

    Raises:
        InputError: it is not there, or broken (the file is named).
    """
    if not dataset.status(root).present:
        raise missing(dataset.name, root, bool(dataset.archives))
    kinds = ("load_corrupted", "load_objects")
    load = next((getattr(dataset, k) for k in kinds if hasattr(dataset, k)), dataset.load)
    broken = getattr(load(root), "broken", {})
    if broken:  # an evaluation goes on without such files; a set that is being added does not
        raise InputError("; ".join(broken.values()))
    return dataset.status(root)
