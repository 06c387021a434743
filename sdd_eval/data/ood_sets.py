"""Default out-of-distribution (OOD) sets of each test set, and the groups they are averaged in.

`near`: photographs of objects of other classes; `far`: digits, textures and scenes; `paper`: the
four sets of the paper's Table 7. Test sets that are not listed have no groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sdd_eval.errors import InputError

PAPER = ("lsun_resize", "isun", "dtd", "svhn")
_FAR = ("svhn", "dtd", "lsun_crop")

#: Test set → group → OOD sets. Near and far follow Yang et al. (2022), "OpenOOD", where the
#: catalogue has their sets: TinyImageNet as resized by ODIN's authors, scenes from LSUN's crops.
GROUPS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "cifar10": {"near": ("cifar100", "imagenet_resize"), "far": _FAR, "paper": PAPER},
    "cifar100": {"near": ("cifar10", "imagenet_resize"), "far": _FAR, "paper": PAPER},
}

#: Sets whose images were downsampled without an antialiasing filter before publication.
RESIZED = ("lsun_resize", "isun", "imagenet_resize")
RESIZED_NOTE = (
    "scaled down without a filter by their publisher: a detector may see the resizing artefacts "
    "and not the content (Tack et al. 2020)"
)

DEFAULTS = {
    "cifar10": PAPER,
    "cifar100": PAPER,
    "digits": ("photo_patches", "uniform", "gaussian"),
}


def default_ood_sets(dataset: str) -> tuple[str, ...]:
    """Return the default OOD sets: the paper's for CIFAR, others that need no download."""
    return DEFAULTS.get(dataset, ("uniform", "gaussian"))


def ood_groups(dataset: str) -> Mapping[str, tuple[str, ...]]:
    """Return the groups of OOD sets for a test set, by name."""
    return GROUPS.get(dataset, {})


def expand_groups(names: Iterable[str], dataset: str) -> tuple[str, ...]:
    """Replace the names of groups with their sets; a set in two groups appears once.

    >>> expand_groups(["far", "isun"], "cifar10")
    ('svhn', 'dtd', 'lsun_crop', 'isun')
    """
    requested, groups, expanded = tuple(names), ood_groups(dataset), list[str]()
    for name in requested:
        if name not in groups:
            expanded.append(name)
        else:
            expanded += [m for m in groups[name] if m not in expanded and m not in requested]
    return tuple(expanded)


def averages(names: Iterable[str], dataset: str) -> dict[str, tuple[str, ...]]:
    """Return the averages over OOD sets that are meaningful, each with its sets.

    "average" is over all sets, unless near sets are mixed with others; "average:GROUP" is over
    each complete group.

    >>> averages(["svhn", "dtd", "lsun_crop", "cifar10"], "cifar100")
    {'average:far': ('svhn', 'dtd', 'lsun_crop')}
    """
    named, groups = tuple(names), ood_groups(dataset)
    complete = {f"average:{g}": sets for g, sets in groups.items() if set(sets) <= set(named)}
    near = set(groups.get("near", ())) & set(named)
    return complete if near and near < set(named) else {"average": named, **complete}


def require_no_average(names: Iterable[str]) -> None:
    """Raise InputError for a set with the name of an average, for which it would be mistaken."""
    for name in names:
        if name.startswith("average"):
            raise InputError(
                f"--outliers has {name!r}, as means over OOD sets are called; rename the set"
            )


def resizing_warning(names: Iterable[str]) -> str:
    """Return a warning about sets downsampled without a filter; empty if there are none."""
    resized = [name for name in names if name in RESIZED]
    return f"{', '.join(resized)}: {RESIZED_NOTE}" if resized else ""
