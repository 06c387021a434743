"""Records that are stored as JSON: frozen dataclasses. Rates are fractions, never percent."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from sdd_eval.errors import InputError

Record = TypeVar("Record")

#: The version of the files that this package writes.
FORMAT = 1

#: Key of a field's metadata: the value of records written before the field existed, where that is
#: not the field's default.
FORMER_DEFAULT = "former_default"

#: Key of a field's metadata: the field's name in records of earlier versions.
FORMER_NAME = "former_name"

#: Prefix of the arch of an object detector; the arch of its backbone follows.
DETECTOR = "fasterrcnn_fpn:"


@dataclass(frozen=True)
class ModelSpec:
    """A network whose input is pixels in [0, 1]; `mean` and `std` belong to its first layer."""

    arch: str
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """Return the number of image channels: 1 for grey, 3 for colour."""
        return len(self.mean)


@dataclass(frozen=True)
class Recipe:
    """How a checkpoint is trained; the defaults are the paper's on CIFAR-100."""

    method: str = "ce"
    """Training method: ce, ls, cs_kd, … (`sdd-eval plugins` lists all); `train --method NAME
    --help` shows its options."""
    method_options: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the method, as NAME VALUE pairs."""
    sd_dropout: float = 0.0
    """Weight λ of the SD-Dropout term; 0 trains without it."""
    drop_rate: float = field(default=0.5, metadata={FORMER_NAME: "drop"})
    """Probability β with which SD-Dropout drops a feature."""
    temperature: float = 3.0
    """Temperature T of SD-Dropout's two softmaxes."""
    direction: Literal["both", "forward", "reverse"] = "both"
    """Which KL divergences let their gradient through."""
    position: str = "layer4"
    """Layer after which SD-Dropout's two masks are applied; the paper's is layer4, the last."""
    hidden_layers: int = 0
    """Number of hidden fully connected layers (512 units) before the last one."""
    dataset: str = "cifar100"
    """Data set to train on."""
    arch: str = "resnet18"
    """Network: a built-in name, torchvision:NAME, timm:NAME, or file.py:factory."""
    standardisation: str = "authors"
    """Mean and std of the first layer: authors (as the paper ran it: ImageNet's for photographs,
    else CIFAR-10's), imagenet, or a data set."""
    image_size: int | None = None
    """Side of the images in pixels, for photographs and folders; default: the data set's own."""
    augmentation: Literal["auto", "crop_flip", "crop", "resized_crop_flip", "none"] = "auto"
    """crop: shift by up to an eighth of the side, padded with zeros; crop_flip: crop and mirror;
    resized_crop_flip: crop 8 to 100 % of the area, scale and mirror. auto: resized_crop_flip for
    photographs, else crop_flip."""
    init: Literal["auto", "authors", "torch"] = field(
        default="auto", metadata={FORMER_DEFAULT: "torch"}
    )
    """Initial weights: authors (Kaiming normal, fan-out, in the convolutions of built-in ResNets
    and of BYOT's branches) or torch (PyTorch's defaults). auto: authors on the paper's data sets,
    else torch."""
    images_per_class: int | None = None
    """Train on the first N images of each class, in the order of the files; default: all."""
    validation: int = 0
    """Training images held out for validation, balanced by class."""
    seed: int = 0
    """Seed of all random numbers."""
    epochs: int = 200
    """Passes over the training set."""
    batch_size: int = 128
    """Images per step; the last, smaller batch is kept."""
    lr: float = 0.1
    """Learning rate of SGD before the first milestone."""
    momentum: float = 0.9
    """Momentum of SGD (no Nesterov)."""
    weight_decay: float = 1e-4
    """Weight decay, on every parameter."""
    milestones: tuple[int, ...] | None = None
    """Epochs after which the learning rate is divided by 10; default: 1/2 and 3/4 of all epochs."""
    precision: Literal["float32", "tf32", "bf16"] = "float32"
    """Arithmetic of the network. tf32: a GPU rounds factors to 10 bits; bf16: autocast, weights
    stay float32."""
    channels_last: bool = False
    """Use the channels-last memory format."""
    compile: bool = False
    """Compile the network with torch.compile."""
    deterministic: bool = False
    """Use deterministic kernels on a GPU, which are slower; a CPU is always deterministic."""
    probe_epochs: tuple[int, ...] = ()
    """Epochs after which the gradients of forward and reverse KL are compared; 0: before training.
    Default: none."""
    probe_images: int = 128
    """Number of training images for that comparison, the same ones at each epoch."""


@dataclass(frozen=True)
class Card:
    """The content of `card.json`, which describes the weights of a checkpoint."""

    name: str
    model: ModelSpec
    recipe: Recipe | None
    metrics: Mapping[str, float]
    weights_sha256: str
    provenance: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def dataset(self) -> str | None:
        """Return the data set whose classes the network predicts, if it is known."""
        if self.recipe is not None:
            return self.recipe.dataset
        named = self.provenance.get("dataset")
        return named if isinstance(named, str) else None


@dataclass(frozen=True)
class Measurement:
    """One number with its conditions (`at`), its protocol and its interval.

    `interval` names the method behind `low` and `high`. It is not part of the protocol: the same
    number with another interval is still the same number.
    """

    metric: str
    value: float
    unit: str
    at: Mapping[str, Any] = field(default_factory=dict)
    protocol: str = ""
    low: float | None = None
    high: float | None = None
    level: float | None = None
    interval: str = ""


@dataclass(frozen=True)
class Run:
    """One finished evaluation; `arrays` are its per-image values, stored in a separate file."""

    checkpoint: str
    weights_sha256: str
    dataset: str
    data_fingerprint: str
    evaluator: str
    evaluator_version: int
    settings: Mapping[str, Any]
    limit: int | None
    n: int
    measurements: tuple[Measurement, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT
    arrays: Mapping[str, Any] = field(
        default_factory=dict, compare=False, repr=False, metadata={"json": False}
    )


def encode(value: Any) -> Any:
    """Return a record as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        stored = [f for f in dataclasses.fields(value) if f.metadata.get("json", True)]
        return {f.name: encode(getattr(value, f.name)) for f in stored}
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    return value


def decode(kind: type[Record], data: Any, where: str = "") -> Record:
    """Return a record of a type from plain JSON values.

    Raises:
        InputError: a field is missing, unknown or has a wrong type; the message begins with
            `where`, usually the file.
    """
    prefix = f"{where}: " if where else ""
    if not isinstance(data, Mapping):
        found = type(data).__name__
        raise InputError(f"{prefix}{kind.__name__} must be a JSON object, not {found}")
    readers, required = _fields(typing.cast(typing.Hashable, kind))
    for name in data:
        if name not in readers:
            raise InputError(f"{prefix}{kind.__name__} has no field {name!r}")
    for name in required:
        if name not in data:
            raise InputError(f"{prefix}{kind.__name__} lacks the field {name!r}")
    return kind(**{name: readers[name](item, prefix, name) for name, item in data.items()})


def former_names(kind: Any) -> dict[str, str]:
    """Return the present name of each renamed field of a record, by its former name.

    >>> former_names(Recipe)
    {'drop': 'drop_rate'}
    """
    fields = dataclasses.fields(kind)
    return {f.metadata[FORMER_NAME]: f.name for f in fields if FORMER_NAME in f.metadata}


def with_present_names(kind: Any, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stored values of a record by the present names of its fields."""
    present = former_names(kind)
    return {present.get(name, name): value for name, value in data.items()}


def upgraded(kind: Any, data: Any) -> Any:
    """Return the stored values of a record of an earlier version as the present version has them.

    Renamed fields get their present names, and fields that did not exist the value that was then in
    use. Values that are not a mapping are returned unchanged, for `decode` to refuse.
    """
    if not isinstance(data, Mapping):
        return data
    fields = dataclasses.fields(kind)
    former = {f.name: f.metadata[FORMER_DEFAULT] for f in fields if FORMER_DEFAULT in f.metadata}
    return {**former, **with_present_names(kind, data)}


#: Read a JSON value, given the prefix of error messages and the field's name.
_Reader = Callable[[Any, str, str], Any]


@functools.cache
def _fields(kind: Any) -> tuple[Mapping[str, _Reader], tuple[str, ...]]:
    """Return the reader of each field of a record, and the names of its required fields.

    The result is cached: a report reads hundreds of thousands of records.
    """
    hints = typing.get_type_hints(kind)
    fields = [f for f in dataclasses.fields(kind) if f.metadata.get("json", True)]
    required = [f.name for f in fields if f.default is f.default_factory is dataclasses.MISSING]
    return {f.name: _reader(hints[f.name]) for f in fields}, tuple(required)


def _reader(hint: Any) -> _Reader:
    """Return a function that checks and converts a JSON value to a type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        reader = _reader(next(a for a in arguments if a is not type(None)))
        return lambda item, prefix, name: None if item is None else reader(item, prefix, name)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        record: Any = hint
        return lambda item, prefix, name: decode(record, upgraded(record, item), f"{prefix}{name}")
    if origin is tuple:
        return _list_reader(_reader(arguments[0]))
    return _plain_reader(hint, origin)


def _list_reader(read_item: _Reader) -> _Reader:
    def read(item: Any, prefix: str, name: str) -> Any:
        if not isinstance(item, list | tuple):
            raise InputError(f"{prefix}{name} is {item!r}, not a list")
        return tuple([read_item(each, prefix, name) for each in item])

    return read


def _plain_reader(hint: Any, origin: Any) -> _Reader:
    accepted = _accepted(hint, origin)
    words = typing.get_args(hint) if origin is Literal else None

    def read(item: Any, prefix: str, name: str) -> Any:
        if not isinstance(item, accepted) or (isinstance(item, bool) and bool not in accepted):
            expected = getattr(hint, "__name__", hint)
            raise InputError(f"{prefix}{name} is {item!r}, not {expected}")
        if words is not None and item not in words:
            raise InputError(f"{prefix}{name} is {item!r}, not one of {', '.join(words)}")
        return float(typing.cast(float, item)) if hint is float else item

    return read


def _accepted(hint: Any, origin: Any) -> tuple[type, ...]:
    """Return the Python types that JSON may give for a type hint."""
    if hint is Any:
        return (object, bool)
    if hint is float:
        return (int, float)
    if origin is Literal:
        return (str,)
    return (origin or hint,)
