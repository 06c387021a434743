"""Records that are stored as JSON: frozen dataclasses. Rates are fractions, never percent."""

from __future__ import annotations

import dataclasses
import functools
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar

import msgspec

from sdd_eval.arrays import Arrays
from sdd_eval.errors import InputError
from sdd_eval.presentation import Presentable
from sdd_eval.protocol import Protocol, shared_protocol
from sdd_eval.provenance import CardProvenance, Provenance, RunProvenance
from sdd_eval.training_options import TrainingOptions
from sdd_eval.type_errors import accepted, failed_value, members, shown
from sdd_eval.validation import ABOVE_0, BELOW_1, EPOCHS, FROM_0, FROM_1, LAYERS, SIDE, bounded

Record = TypeVar("Record")

#: The version of the cards and comparisons that this package writes.
FORMAT = 1
#: The version of the runs that it writes; in format 1, each measurement stores its protocol as
#: text.
RUN_FORMAT = 2

#: Key of a field's metadata: the value for records written before the field existed, if this is not
#: the field's default.
FORMER_DEFAULT = "former_default"

#: Key of a field's metadata: the field's name in records of earlier versions.
FORMER_NAME = "former_name"

#: What a network predicts for an image: its class, or the objects it contains.
Task = Literal["classification", "object_detection"]
CLASSIFICATION: Task = "classification"
OBJECT_DETECTION: Task = "object_detection"

#: Prefix of the arch of an object detector, followed by the arch of its backbone.
DETECTOR = "fasterrcnn_fpn:"


def task_of_arch(arch: str) -> Task:
    """Return the task of networks of an architecture."""
    return OBJECT_DETECTION if arch.startswith(DETECTOR) else CLASSIFICATION


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

    @property
    def task(self) -> Task:
        """Return the task of the network."""
        return task_of_arch(self.arch)


@dataclass(frozen=True)
class PaperRecipe:
    """The training settings that the paper fixes or varies."""

    task: ClassVar[Task] = CLASSIFICATION
    method: str = "ce"
    """Training method: ce, ls, cs_kd, … (`sdd-eval plugins` lists all); `train --method NAME
    --help` shows its options."""
    method_options: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the method, as NAME VALUE pairs."""
    sd_dropout: float = bounded(0.0, FROM_0)
    """Weight λ of the SD-Dropout term; 0 trains without it."""
    drop_rate: float = bounded(0.5, BELOW_1, **{FORMER_NAME: "drop"})
    """Probability β with which SD-Dropout drops a feature."""
    temperature: float = bounded(3.0, ABOVE_0)
    """Temperature T of SD-Dropout's two softmaxes."""
    direction: Literal["both", "forward", "reverse"] = "both"
    """KL divergences that gradients flow through."""
    position: str = "layer4"
    """Layer after which SD-Dropout's two masks are applied; the paper uses layer4, the last."""
    hidden_layers: int = bounded(0, LAYERS)
    """Number of hidden fully connected layers (512 units) before the last one."""
    dataset: str = "cifar100"
    """Data set to train on."""
    arch: str = "resnet18"
    """Network: a built-in name, torchvision:NAME, timm:NAME, or file.py:factory."""
    standardisation: str = "authors"
    """Mean and std of the first layer: authors (as the paper ran it: ImageNet's for photographs,
    else CIFAR-10's; for grey images the data set's own), imagenet, or a data set."""
    image_size: int | None = bounded(None, SIDE)
    """Image side in pixels, for photographs and folders; default: the data set's own."""
    augmentation: Literal["auto", "crop_flip", "crop", "resized_crop_flip", "none"] = "auto"
    """crop: shift by up to an eighth of the side, padded with zeros; crop_flip: crop and mirror;
    resized_crop_flip: crop 8 to 100 % of the area, scale and mirror. auto: resized_crop_flip for
    photographs, else crop_flip."""
    init: Literal["auto", "authors", "torch"] = field(
        default="auto", metadata={FORMER_DEFAULT: "torch"}
    )
    """Initial weights: authors (Kaiming normal, fan-out, in the convolutions of built-in ResNets
    and of BYOT's branches) or torch (PyTorch's defaults); networks of torchvision and timm
    initialise themselves with either. auto: authors on the paper's data sets, else torch."""
    images_per_class: int | None = bounded(None, FROM_1)
    """Train on the first N images of each class, in file order; default: all."""
    validation: int = bounded(0, FROM_0)
    """Training images held out for validation, balanced by class."""
    seed: int = bounded(0, FROM_0)
    """Random seed."""
    epochs: int = bounded(200, EPOCHS)
    """Passes over the training set."""
    batch_size: int = bounded(128, FROM_1)
    """Images per step; the last, smaller batch is not dropped."""
    lr: float = bounded(0.1, ABOVE_0)
    """Learning rate before the first milestone, or the maximum of other schedules."""
    momentum: float = bounded(0.9, BELOW_1)
    """Momentum of SGD."""
    weight_decay: float = bounded(1e-4, FROM_0)
    """Weight decay; weight_decay_on chooses the parameters."""
    milestones: tuple[int, ...] | None = None
    """Epochs after which the learning rate is reduced; default: 1/2 and 3/4 of all epochs."""
    precision: Literal["float32", "tf32", "bf16"] = "float32"
    """Arithmetic of the network. tf32: a GPU rounds factors to 10 bits; bf16: autocast with float32
    weights."""
    channels_last: bool = False
    """Use the channels-last memory format."""
    compile: bool = False
    """Compile the network with torch.compile."""
    deterministic: bool = False
    """Use deterministic kernels on a GPU, which are slower; a CPU is always deterministic."""
    probe_epochs: tuple[int, ...] = ()
    """Epochs after which the gradients of forward and reverse KL are compared (0: before training).
    Default: none."""
    probe_images: int = 128
    """Number of training images for this comparison, the same ones at each epoch."""


@dataclass(frozen=True)
class Recipe(TrainingOptions, PaperRecipe):
    """How a checkpoint is trained; the defaults are the paper's on CIFAR-100."""


@dataclass(frozen=True)
class Card:
    """The content of `card.json`, which describes the weights of a checkpoint."""

    name: str
    model: ModelSpec
    recipe: Recipe | None
    metrics: Mapping[str, float]
    weights_sha256: str
    provenance: CardProvenance = field(default_factory=CardProvenance)
    """May be given as a mapping."""
    format: int = FORMAT

    def __post_init__(self) -> None:
        """Convert the provenance to a record."""
        object.__setattr__(self, "provenance", CardProvenance.of(self.provenance))

    @property
    def dataset(self) -> str | None:
        """Return the data set whose classes the network predicts, if known."""
        return self.recipe.dataset if self.recipe is not None else self.provenance.dataset


#: The protocol of a number whose conditions are unknown.
NO_PROTOCOL = Protocol()


class Measurement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One number with its axes (`at`), its protocol and its interval.

    `protocol` may be given as a mapping or as text and is converted to a `Protocol`. `fitted` holds
    the values determined for the network, such as its temperature, which differ between networks
    with the same protocol. `interval` names the method behind `low` and `high`, or states why there
    are none. It is not part of the protocol: the same number with another interval is still the
    same number. A report reads hundreds of thousands of these; a struct is read several times as
    fast as a dataclass, and the garbage collector need not visit it.
    """

    metric: str
    value: float
    unit: str
    at: Mapping[str, Any] = {}
    protocol: Protocol = NO_PROTOCOL
    low: float | None = None
    high: float | None = None
    level: float | None = None
    interval: str = ""
    fitted: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        """Convert a mapping or a text to a protocol."""
        if type(self.protocol) is not Protocol:
            msgspec.structs.force_setattr(self, "protocol", Protocol(self.protocol))


#: Maximum length of a protocol's text; a file that exceeds it is considered damaged.
LONGEST_PROTOCOL = 10_000


@dataclass(frozen=True)
class Run(Presentable):
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
    provenance: RunProvenance = field(default_factory=RunProvenance)
    """May be given as a mapping."""
    format: int = RUN_FORMAT
    arrays: Arrays = field(
        default_factory=Arrays, compare=False, repr=False, metadata={"json": False}
    )

    def __post_init__(self) -> None:
        """Convert a mapping of provenance, and one from names to arrays, to records."""
        object.__setattr__(self, "provenance", RunProvenance.of(self.provenance))
        object.__setattr__(self, "arrays", Arrays.of(self.arrays))


def encode(value: Any) -> Any:
    """Convert a record to plain JSON values; a run stores its protocols in a table."""
    if isinstance(value, Run):
        return _encoded_run(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _encoded_fields(value)
    if isinstance(value, Provenance):
        return encode(value.stored())
    if isinstance(value, msgspec.Struct):
        return {name: encode(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    return value


def _encoded_run(run: Run) -> dict[str, Any]:
    protocols = {number.protocol.id: number.protocol for number in run.measurements}
    table = {key: dict(protocol) for key, protocol in protocols.items() if key}
    fields = _encoded_fields(run)
    for number, stored in zip(run.measurements, fields["measurements"], strict=True):
        stored["protocol"] = number.protocol.id
    return {"protocols": table, **fields}


def _encoded_fields(record: Any) -> dict[str, Any]:
    stored = [f for f in dataclasses.fields(record) if f.metadata.get("json", True)]
    return {f.name: encode(getattr(record, f.name)) for f in stored}


def decode(kind: type[Record], data: Any, where: str = "") -> Record:
    """Convert plain JSON values to a record of a type.

    Raises:
        InputError: a field is missing, unknown or has a wrong type; the message starts with
            `where`, usually the file.
    """
    prefix = f"{where}: " if where else ""
    if not isinstance(data, Mapping):
        kind_name = type(data).__name__
        raise InputError(f"{prefix}{kind.__name__} must be a JSON object, not {kind_name}")
    read_protocol: Callable[[str], Protocol] = Protocol
    if kind is Run:
        data, read_protocol = _without_protocols(data, prefix)
    current = _current(kind, data, prefix) if dataclasses.is_dataclass(kind) else data
    try:
        return msgspec.convert(current, kind, dec_hook=lambda _, value: read_protocol(value))
    except msgspec.ValidationError as error:
        raise InputError(prefix + _in_words(str(error), kind, current)) from None


def _without_protocols(
    data: Mapping[str, Any], prefix: str
) -> tuple[Mapping[str, Any], Callable[[str], Protocol]]:
    """Return a run without its table of protocols, and a function that looks up a measurement's."""
    if data.get("format", 1) == 1:
        return data, _protocol_of_text
    others = {name: value for name, value in data.items() if name != "protocols"}
    try:
        stored = msgspec.convert(data.get("protocols"), dict[str, dict[str, str]])
    except msgspec.ValidationError as error:
        raise InputError(f"{prefix}protocols: {error}") from None
    if any(len(text) > LONGEST_PROTOCOL for table in stored.values() for text in table.values()):
        raise InputError(f"{prefix}a protocol is longer than {LONGEST_PROTOCOL:,} characters")
    protocols = {key: shared_protocol(tuple(table.items())) for key, table in stored.items()}
    protocols[""] = NO_PROTOCOL

    def protocol(key: str) -> Protocol:
        if key not in protocols:
            raise ValueError(key)  # which msgspec reports as invalid
        return protocols[key]

    return others, protocol


def _protocol_of_text(text: str) -> Protocol:
    if not isinstance(text, str) or len(text) > LONGEST_PROTOCOL:
        raise ValueError(text)  # which msgspec reports as invalid
    return shared_protocol(text)


def _current(kind: Any, data: Mapping[str, Any], prefix: str) -> Mapping[str, Any]:
    """Check all names of a record and return its values with nested records upgraded."""
    types = _fields(kind)
    name = next((name for name in data if name not in types), None)
    if name is not None:
        raise InputError(f"{prefix}{kind.__name__} has no field {shown(name)}")
    current = dict(data)
    for name, item in data.items():
        record = types[name]
        if isinstance(item, Mapping) and dataclasses.is_dataclass(record):
            current[name] = _current(record, upgraded(record, item), f"{prefix}{name}")
        elif isinstance(item, Mapping) and name == "provenance":
            current[name] = record.of(item)
    return current


@functools.cache
def _fields(kind: Any) -> dict[str, Any]:
    """Return the types of a record's stored fields, without None for optional ones."""
    hints = _hints(kind)
    fields = [f.name for f in dataclasses.fields(kind) if f.metadata.get("json", True)]
    return {name: members(hints[name])[0] for name in fields}


_hints = functools.cache(typing.get_type_hints)


def _in_words(error: str, kind: Any, data: Any) -> str:
    """Return a msgspec validation error with the wrong value and what is accepted."""
    unknown = re.match(r"Object contains unknown field `(.+?)` - at `\$\.(\w+)", error)
    if unknown:
        return f"{unknown[2]} have no field {unknown[1]!r}"
    missing = re.match(r"Object missing required field `(.+?)`", error)
    if missing:
        return f"{kind.__name__} lacks the field {missing[1]!r}"
    path, hint, value = failed_value(error, kind, data)
    field = ".".join(name for name in path if isinstance(name, str))
    return f"{field} is {shown(value)}, not {accepted(error, hint)}"


def former_names(kind: Any) -> dict[str, str]:
    """Return the current name of each renamed field of a record, by its former name.

    >>> former_names(Recipe)
    {'drop': 'drop_rate'}
    """
    fields = dataclasses.fields(kind)
    return {f.metadata[FORMER_NAME]: f.name for f in fields if FORMER_NAME in f.metadata}


def with_present_names(kind: Any, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stored values of a record by the current names of its fields."""
    present = former_names(kind)
    return {present.get(name, name): value for name, value in data.items()}


def upgraded(kind: Any, data: Any) -> Any:
    """Upgrade the stored values of a record of an earlier version to the current version.

    Renamed fields get their current names, and fields that did not exist get the value in use at
    that time. Values that are not a mapping are returned unchanged, for `decode` to reject.
    """
    if not isinstance(data, Mapping):
        return data
    fields = dataclasses.fields(kind)
    former = {f.name: f.metadata[FORMER_DEFAULT] for f in fields if FORMER_DEFAULT in f.metadata}
    return {**former, **with_present_names(kind, data)}
