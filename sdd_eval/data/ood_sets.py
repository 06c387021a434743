"""Sets of outliers in groups: a mean over unlike sets hides what each of them says.

`near`: photographs of objects, of other classes; `far`: digits, textures and scenes; `paper`: the
four sets of the paper's Table 7. A test set without groups here has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

PAPER = ("lsun_resize", "isun", "dtd", "svhn")
_FAR = ("svhn", "dtd", "lsun_crop")

#: Test set → group → its sets. Near and far are those of Yang et al. (2022), "OpenOOD", as far as
#: the catalogue has them: TinyImageNet as ODIN's authors scaled it, scenes from LSUN's crops.
GROUPS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "cifar10": {"near": ("cifar100", "imagenet_resize"), "far": _FAR, "paper": PAPER},
    "cifar100": {"near": ("cifar10", "imagenet_resize"), "far": _FAR, "paper": PAPER},
}

#: Sets whose images were scaled down without a filter before they were published.
RESIZED = ("lsun_resize", "isun", "imagenet_resize")
RESIZED_NOTE = (
    "scaled down without a filter by their publisher: a detector may see the resizing artefacts "
    "and not the content (Tack et al. 2020)"
)


def ood_groups(dataset: str) -> Mapping[str, tuple[str, ...]]:
    """The groups of outlier sets for a data set, by name."""
    return GROUPS.get(dataset, {})


def expand_groups(names: Iterable[str], dataset: str) -> tuple[str, ...]:
    """Names with each group's in place of the group; a set that two groups share stands once.

    >>> without_groups(["far", "isun"], "cifar10")
    ('svhn', 'dtd', 'lsun_crop', 'isun')
    """
    asked, groups, found = tuple(names), ood_groups(dataset), list[str]()
    for name in asked:
        members = groups.get(name)
        new = (each for each in members or () if each not in found and each not in asked)
        found += [name] if members is None else new
    return tuple(found)


def averages(names: Iterable[str], dataset: str) -> dict[str, tuple[str, ...]]:
    """The means that may be formed over sets of outliers: what each is called, and its sets.

    "average" is over all of them, unless near ones stand beside others; "average:GROUP" is over
    each group that is complete.

    >>> averages(["svhn", "dtd", "lsun_crop", "cifar10"], "cifar100")
    {'average:far': ('svhn', 'dtd', 'lsun_crop')}
    """
    named, groups = tuple(names), ood_groups(dataset)
    whole = {f"average:{g}": sets for g, sets in groups.items() if set(sets) <= set(named)}
    near = set(groups.get("near", ())) & set(named)
    return whole if near and near < set(named) else {"average": named, **whole}


def resizing_warning(names: Iterable[str]) -> str:
    """A warning where sets are scaled down badly; empty where none is."""
    resized = [name for name in names if name in RESIZED]
    return f"{', '.join(resized)}: {RESIZED_NOTE}" if resized else ""


DEFAULTS = {
    "cifar10": PAPER,
    "cifar100": PAPER,
    "digits": ("photo_patches", "uniform", "gaussian"),
}


def default_ood_sets(dataset_name: str) -> tuple[str, ...]:
    """The outlier sets for a test set: the paper's for CIFAR, what needs no download for others."""
    return DEFAULTS.get(dataset_name, ("uniform", "gaussian"))
