"""Provenance of checkpoints and runs: what is known about how they were made.

Stored values that do not match any field of a record, or have another type, go into `extra`, so
that they survive reading and writing.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import msgspec

ProvenanceType = TypeVar("ProvenanceType", bound="Provenance")


@functools.cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """Return the fields of a record by key (cached, as a report has thousands of records)."""
    return {field.encode_name: field for field in msgspec.structs.fields(kind)}


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """A record of optional fields; those that are None or empty are not stored."""

    always_stored: ClassVar[tuple[str, ...]] = ()

    created: str = ""
    """Time of creation, in ISO 8601."""
    extra: Mapping[str, Any] = {}

    @classmethod
    def of(cls: type[ProvenanceType], stored: Mapping[str, Any] | ProvenanceType) -> ProvenanceType:
        """Return the record of stored values; a record is returned as it is.

        >>> RunProvenance.of({"seed": 1, "threads": "two", "colour": "red"}).extra
        {'threads': 'two', 'colour': 'red'}
        """
        if isinstance(stored, Provenance):
            return stored
        fields = _fields(cls)
        known: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for key, value in stored.items():
            try:
                known[fields[key].name] = msgspec.convert(value, fields[key].type)
            except (KeyError, msgspec.ValidationError):
                extra[key] = value
        return cls(**known, extra=extra)

    def stored(self) -> dict[str, Any]:
        """Return the values to store, by the names of their keys."""
        names = zip(self.__struct_encode_fields__, self.__struct_fields__, strict=True)
        values = {key: getattr(self, name) for key, name in names if name != "extra"}
        known = {k: v for k, v in values.items() if v not in (None, "") or k in self.always_stored}
        return {**known, **self.extra}


class Resizing(msgspec.Struct, frozen=True):
    """How image files of any size are converted to a network's images, if not by default."""

    short_side: Annotated[int, msgspec.Meta(ge=1, le=10_000)]
    """The short side in pixels before the centre crop."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
    """The Pillow resampling filter."""

    def __str__(self) -> str:
        """Describe the conversion."""
        return f"the short side to {self.short_side} pixels, {self.interpolation}"


class DataProvenance(Provenance, frozen=True, kw_only=True):
    """A data set of a run."""

    origin: str | None = None
    """How it relates to the set as published."""
    fingerprint: str | None = None
    own: bool | None = None
    """Whether it is a subset of the training images that depends on the network's seed."""
    images: int | None = None
    frost: str | None = None
    """Source of the frost of a corrupted set."""
    classes: int | None = None
    """Number of classes, if their names are known."""


class RunProvenance(Provenance, frozen=True, kw_only=True):
    """The network, the data, the software, the device and the options of a run."""

    always_stored: ClassVar[tuple[str, ...]] = ("card",)

    recipe: Mapping[str, Any] | None = msgspec.field(default=None, name="card")
    """The recipe on the checkpoint's card; None if it was imported."""
    backbone: Mapping[str, Any] | None = None
    """Name, weights and recipe of an object detector's backbone."""
    model: Mapping[str, Any] | None = None
    class_names: tuple[str, ...] | None = None
    """Names of the network's classes in the order of its logits, if known."""
    data: Mapping[str, DataProvenance] = {}
    networks: Mapping[str, Any] | None = None
    """Weights, specification and folding of additional checkpoints."""
    folding: Mapping[str, Any] | None = None
    recalled: Sequence[Mapping[str, Any]] | None = None
    """Cached outputs that were used."""
    scored_against: Mapping[str, Any] | None = None
    """Weights and specification of the checkpoints that `score` compares against."""
    versions: Mapping[str, str] | None = None
    machine: str | None = None
    device: str | None = None
    threads: int | None = None
    tf32: bool | None = None
    warnings: Sequence[str] | None = None
    """Why a number may be wrong, one sentence each."""
    outputs: str | None = None
    """What the network returns, if not logits."""
    resizing: Resizing | None = None
    """How image files were converted to the network's images, if not by default; other kinds of
    sets have a fixed size."""
    derived_from: str | None = None
    """The evaluator whose stored logits the numbers are derived from, if the run was not
    measured."""
    resumed: int | None = None
    """Number of partial results of an interrupted run that were used."""
    batch_size: int | None = None
    seed: int | None = None
    seconds: float | None = None
    command: str | None = None

    @classmethod
    def of(cls, stored: Mapping[str, Any] | RunProvenance) -> RunProvenance:
        """Return the record of stored values; a record is returned as it is."""
        if isinstance(stored, Mapping) and isinstance(data := stored.get("data"), Mapping):
            sets = {name: DataProvenance.of(_facts(facts)) for name, facts in data.items()}
            stored = {**stored, "data": sets}
        return super().of(stored)


def _facts(stored: Any) -> Mapping[str, Any] | DataProvenance:
    """Return the facts about a data set, which are its origin in early runs."""
    if isinstance(stored, Mapping | DataProvenance):
        return stored
    return {"origin": stored}


class CardProvenance(Provenance, frozen=True, kw_only=True):
    """The training, or the import, of a checkpoint."""

    always_stored: ClassVar[tuple[str, ...]] = ("dataset", "data_origin", "data_fingerprint")

    sdd_eval: str | None = None
    python: str | None = None
    torch: str | None = None
    torchvision: str | None = None
    machine: str | None = None
    devices: tuple[str, ...] | None = None
    """Devices on which it was trained, in order."""
    threads: int | None = None
    processes: tuple[int, ...] | None = None
    """Numbers of processes that trained it, in order."""
    seconds: float | None = None
    images_per_second: float | None = None
    reproducible: str | None = None
    imported: str | None = None
    """Name of the file of imported weights."""
    imported_sha256: str | None = None
    imported_below: tuple[str, ...] | None = None
    """Keys under which that file holds the weights."""
    imported_without: tuple[str, ...] | None = None
    """Parts of that file that do not belong to the network."""
    warnings: tuple[str, ...] | None = None
    """Warnings about the network, repeated in its runs."""
    precision: str | None = None
    standardisation: str | None = None
    resizing: Resizing | None = None
    """How image files are converted to the network's images; None means the default."""
    dataset: str | None = None
    """The data set whose classes the network predicts."""
    data_origin: str | None = None
    data_fingerprint: str | None = None
    class_names: tuple[str, ...] | None = None
    """Names of the network's classes in the order of its logits."""
    training_images: int | None = None
    validation_images: int | None = None
    test_images: int | None = None
    code_sha256: str | None = None
    """SHA-256 of the file whose factory builds the network."""
    detector: Mapping[str, Any] | None = None
    """The recipe of an object detector."""
    backbone: Mapping[str, Any] | None = None
    """Name, weights and recipe of its backbone."""
