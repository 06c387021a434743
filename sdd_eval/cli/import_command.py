"""`sdd-eval import NAME --arch ARCH --weights FILE --dataset SET`: weights from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro

from sdd_eval.cli.flags import Work, parse, prepared
from sdd_eval.cli.progress_bar import Bar
from sdd_eval.data.root import data_root
from sdd_eval.errors import InputError

DESCRIPTION = "Make a checkpoint of weights from elsewhere, and measure its accuracy."

#: Points of accuracy by which --expect may be missed.
TOLERANCE = 0.5


@dataclass(frozen=True)
class Network:
    """Whose network it is."""

    arch: str = ""
    """A built-in name, torchvision:NAME, timm:NAME, or your code: file.py:factory (it is run)."""
    weights: Path | None = None
    """File of safetensors or of torch.save; no pickle in it runs code."""
    dataset: str | None = None
    """Set whose classes it predicts: gives classes, size, and mean and std unless they are said."""
    mean: tuple[float, ...] | None = None
    """Mean of each channel in pixels of [0, 1]; 0 0 0 for a network that standardises itself."""
    std: tuple[float, ...] | None = None
    """Standard deviation of each channel."""
    classes: int | None = None
    """Number of classes, for a set that is not here."""
    image_size: int | None = None
    """Side of its images in pixels, for a set that is not here or has no size of its own."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Options of the architecture as NAME VALUE pairs, such as padding both."""


@dataclass(frozen=True)
class Place:
    """Where the checkpoint goes, and what is expected of it."""

    expect: float | None = None
    """Accuracy in percent that it should have; more than half a point off exits with 1."""
    batch_size: int = 256
    """Images a step."""
    checkpoints: Path = Path("checkpoints")
    """Folder of checkpoints."""
    overwrite: bool = False
    """Replace a checkpoint of this name."""


@dataclass(frozen=True)
class Flags:
    """A name, a network and a place."""

    name: tyro.conf.Positional[str] = ""
    """Name of the checkpoint."""
    network: Network = field(default_factory=Network)
    place: Place = field(default_factory=Place)
    work: Work = field(default_factory=Work)


def run(arguments: Sequence[str]) -> int:
    """Import one network; 1 where its accuracy is not the expected one."""
    flags = parse(Flags, arguments, "import", DESCRIPTION)
    _check(flags)
    device, root = prepared(flags.work), data_root(flags.work.data_root)

    from sdd_eval.checkpoints.importing import ImportSource, import_weights, plan_import
    from sdd_eval.models.foreign import is_factory

    source = ImportSource(**vars(flags.network))
    if is_factory(source.arch):
        print(f"running the code of {source.arch}")
    setting = plan_import(source, root)
    mean, std = _numbers(setting.spec.mean), _numbers(setting.spec.std)
    print(f"mean {mean}  std {std}  ({setting.constants})")
    place = flags.place.checkpoints / flags.name
    with Bar(f"import {flags.name}: ", "images") as bar:
        card = import_weights(
            source,
            setting,
            place,
            device=device,
            batch_size=flags.place.batch_size,
            overwrite=flags.place.overwrite,
            progress=bar,
        )
    below = card.provenance.get("imported_below")
    print(f"{place}: {source.weights}" + (f", {'.'.join(below)}" if below else ""))
    if setting.images is None:
        print("accuracy not measured: no --dataset")
        return 0
    return _judged(100 * card.metrics["accuracy"], flags.place.expect, setting)


def _check(flags: Flags) -> None:
    """Refuse what lacks a name, an architecture or weights, or expects what cannot be."""
    if not (flags.name and flags.network.arch and flags.network.weights):
        raise InputError(
            "which network? sdd-eval import NAME --arch ARCH --weights FILE --dataset SET"
        )
    if not re.fullmatch(r"\w[\w.+-]*", flags.name):
        raise InputError(f"{flags.name!r} is no name: letters, digits, '_', '-', '+' and '.'")
    if flags.place.batch_size < 1:
        raise InputError(f"--batch-size is {flags.place.batch_size}, not a positive number")
    expect = flags.place.expect
    if expect is not None and flags.network.dataset is None:
        raise InputError("--expect needs --dataset, on which accuracy is measured")
    if expect is not None and not 1 <= expect <= 100:
        raise InputError(f"--expect is {expect:g}; it is an accuracy in percent, 1 to 100")


def _judged(percent: float, expect: float | None, setting: Any) -> int:
    """Tell the accuracy, and what to look at where it is not the expected one."""
    images = setting.images
    print(
        f"accuracy {percent:.2f} % on {len(images):,} images ({images.name}: {images.provenance})"
    )
    if expect is None or abs(percent - expect) <= TOLERANCE + 1e-9:
        return 0
    print(
        f"expected {expect:g} %, {percent - expect:+.2f} points off: look at --mean and --std, "
        "the order of channels and classes, and of a ResNet of option A at --options padding both"
    )
    return 1


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4f}" for value in values)
