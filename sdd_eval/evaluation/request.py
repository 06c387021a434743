"""The request for an evaluation, and its inputs: the test set and the items that settings name."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from sdd_eval import plugins
from sdd_eval.arrays import Arrays
from sdd_eval.checkpoints.checkpoint import Checkpoint
from sdd_eval.checkpoints.folder import find_folder
from sdd_eval.data import catalogue
from sdd_eval.data.catalogue import dataset
from sdd_eval.data.classes import in_network_order, require_known_labels
from sdd_eval.data.image_folder import with_resizing
from sdd_eval.data.images import ImageSet, Subset, lazy_images
from sdd_eval.data.ood_sets import default_ood_sets, expand_groups
from sdd_eval.data.root import data_root
from sdd_eval.data.splits import training_split, validation_name
from sdd_eval.errors import InputError, unknown_name
from sdd_eval.evaluators.evaluator import check, score, task_of
from sdd_eval.evaluators.settings import loaded_names, settings_that_load, training_key
from sdd_eval.object_detection.batches import objects_of
from sdd_eval.records import OBJECT_DETECTION, Measurement, Run, Task, encode
from sdd_eval.validation import FROM_1, bounded, bounds_of, check_bounds

#: Kinds of network outputs: logits, or probabilities, of which the log is taken.
Outputs = Literal["logits", "probabilities"]
PROBABILITIES: Outputs = "probabilities"


@dataclass(frozen=True)
class Request:
    """An evaluator, a test set and options for any checkpoint, and where the run is stored."""

    evaluator: Any
    study: Path
    data_root: Path
    dataset: str | None = None
    """The test set; None selects the one that the checkpoint was trained for."""
    limit: int | None = bounded(None, FROM_1)
    seed: int = 0
    device: str = "cpu"
    batch_size: int = bounded(256, FROM_1)
    command: str = ""
    trust_code: bool = False
    """Allow running the code that a card names as the factory of its network."""
    fold: bool = True
    """Fold batch norms into the preceding layers if this changes no prediction."""
    outputs: Outputs | None = None
    """What the network returns; None means logits, and rejects outputs that look like
    probabilities."""
    tf32: bool = False
    """Allow TF32 on a GPU, except for gradients."""
    cache: Path | None = None
    """Folder in which logits and features are stored between evaluations; None stores nothing."""
    pictures: bool = False
    """Store example images in the run, for the page of a report."""

    @property
    def task(self) -> Task:
        """The task of the networks that the evaluator evaluates."""
        return task_of(self.evaluator)


def validated(request: Request) -> Request:
    """Fill in the evaluator's `default_limit`; raise InputError for an invalid option or setting.

    TF32 is switched off on devices that do not support it.
    """
    check_bounds(request, bounds_of(Request), "--")
    if request.outputs not in (None, *get_args(Outputs)):
        raise unknown_name("--outputs", str(request.outputs), get_args(Outputs))
    check(request.evaluator)
    default = getattr(request.evaluator, "default_limit", None)
    tf32 = request.tf32 and request.device.startswith("cuda")
    return dataclasses.replace(request, limit=request.limit or default, tf32=tf32)


@dataclass(frozen=True)
class Inputs:
    """An evaluator with resolved settings, and the data and checkpoints that they name."""

    evaluator: Any
    data: Any
    """The test set: an `ImageSet`, or a `DetectionSet` of an object detector."""
    sets: Mapping[str, Any] = field(default_factory=dict)
    networks: Mapping[str, Checkpoint] = field(default_factory=dict)
    """Additional checkpoints that `collect` uses."""
    against: Mapping[str, Checkpoint] = field(default_factory=dict)
    """Checkpoints that `score` compares against."""
    runs: Mapping[str, Run] = field(default_factory=dict)
    """Their runs of the same evaluator on the same images."""
    warnings: tuple[str, ...] = ()
    """Why the numbers may be wrong, one sentence each."""

    @property
    def dataset(self) -> str:
        """The data set that the run is filed under: the corrupted set, if there is one."""
        kinds = loaded_names(self.evaluator)
        corrupted = [name for name, kind in kinds.items() if kind == "corruptions"]
        return str(corrupted[0] if corrupted else self.data.name)

    def limit(self, requested: int | None) -> int | None:
        """Return the limit if it is below the size of the test set or of an OOD set, else None.

        It does not apply to training images.
        """
        kinds = loaded_names(self.evaluator)
        sizes = [len(self.sets[name]) for name, kind in kinds.items() if kind == "images"]
        largest = max(len(self.data), *sizes, 0)
        return requested if requested is not None and requested < largest else None

    @property
    def content(self) -> str:
        """The fingerprint of all images: that of the test set, or one that covers all sets."""
        return _content(self.data, *self.sets.values())

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the images that the network is tested on, which all seeds share.

        It excludes subsets of the training images that depend on the network's seed.
        """
        tested = (images for images in self.sets.values() if not isinstance(images, Subset))
        return _content(self.data, *tested)

    @property
    def compared(self) -> dict[str, Any]:
        """The weights and specification of each additional checkpoint."""
        return {
            name: {"weights": network.weights_sha256, "model": encode(network.spec)}
            for name, network in self.networks.items()
        }

    @property
    def scored_against(self) -> dict[str, Any]:
        """The same for each checkpoint that `score` compares against."""
        return {
            name: {"weights": run.weights_sha256, "model": run.provenance.model}
            for name, run in self.runs.items()
        }

    def score(self, arrays: Arrays) -> tuple[Measurement, ...]:
        """Compute the evaluator's numbers from a run's arrays and those of the compared runs."""
        others = {name: run.arrays for name, run in self.runs.items()}
        return score(self.evaluator, arrays.against(others))

    def with_runs(self, runs: Mapping[str, Run]) -> Inputs:
        """Add runs to compare against; raise InputError for one on different images."""
        for name, run in runs.items():
            if run.data_fingerprint != self.fingerprint:
                raise InputError(f"{name} was measured on other images than {self.data.name}")
        return dataclasses.replace(self, runs=runs)


def _content(images: Any, *further: Any) -> str:
    if not further:
        return str(images.fingerprint)
    parts = [images.fingerprint, *(image_set.fingerprint for image_set in further)]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def inputs_of(request: Request, checkpoint: Checkpoint) -> Inputs:
    """Load the inputs of a checkpoint's evaluation."""
    card = checkpoint.card
    name = request.dataset or card.dataset
    if name is None:
        raise InputError(f"the card of {card.name} names no data set; set --dataset")
    if card.model.task == OBJECT_DETECTION:
        return Inputs(request.evaluator, objects_of(card, name, request.data_root))
    sets = DataSets(checkpoint, request.data_root)
    images = sets.validation if sets.names_validation(name) else sets.load(name)
    same = not card.provenance.class_names and _canonical(name) == _canonical(card.dataset or "")
    names = images.class_names if same else sets.class_names
    images, warnings = in_network_order(images, names, checkpoint.spec.classes)
    require_known_labels(images, checkpoint.spec.classes)
    inputs = with_sets(request, images, sets)
    warnings = (*(card.provenance.warnings or ()), *warnings, *inputs.warnings)
    return dataclasses.replace(inputs, warnings=warnings)


def with_sets(request: Request, images: ImageSet, data_sets: DataSets) -> Inputs:
    """Load everything that the settings name, or the default for an empty setting.

    The settings of the result hold the names of what was loaded, whether given as an alias, as a
    path or not at all.
    """
    evaluator, checkpoint = request.evaluator, data_sets.checkpoint
    kinds = settings_that_load(evaluator)
    given = [getattr(evaluator, setting) for setting, kind in kinds.items() if kind == "training"]
    trained = _canonical(next(filter(None, given), checkpoint.card.dataset or images.name))
    loader = _Loader(request, images, data_sets, trained)
    sets: dict[str, Any] = {}
    networks: dict[str, Any] = {}
    against: dict[str, Any] = {}
    targets = {"checkpoint": networks, "run": against}
    for setting, kind in kinds.items():
        value, loaded = getattr(loader, kind)(getattr(evaluator, setting))
        evaluator = dataclasses.replace(evaluator, **{setting: value})
        targets.get(kind, sets).update(loaded)
    damaged = tuple(
        f"{name}: {why}" + ("; the labels of the test set are used" if part == "labels" else "")
        for name, images_of in sets.items()
        for part, why in getattr(images_of, "broken", {}).items()
    )
    return Inputs(evaluator, images, sets, networks, against, warnings=damaged)


@dataclass(frozen=True)
class DataSets:
    """The data sets of an evaluation in the shape of the network's input, each looked up once."""

    checkpoint: Checkpoint
    root: Path

    def load(self, name: str, split: str = "test") -> ImageSet:
        """Return the images of a split."""
        return self._images(dataset(name, self.root), split)

    def lazy(self, name: str, split: str = "test") -> ImageSet:
        """Return the images of a split, kept in memory only while they are used."""
        resolved = dataset(name, self.root)
        return lazy_images(lambda: self._images(resolved, split))

    def _images(self, resolved: catalogue.Dataset, split: str) -> ImageSet:
        images = resolved.images(split, **self.shape)
        return with_resizing(images, self.checkpoint.card.provenance.resizing)

    @property
    def class_names(self) -> Sequence[str]:
        """The class names of the network's data set, for cards that lack them; empty if unknown."""
        card = self.checkpoint.card
        if not card.provenance.class_names and card.dataset is not None:
            with contextlib.suppress(InputError):  # not on disk
                return self.load(card.dataset).class_names
        return card.provenance.class_names or ()

    @property
    def shape(self) -> dict[str, Any]:
        """The size and number of channels of the network's images."""
        spec = self.checkpoint.spec
        return {"image_size": spec.image_size, "channels": spec.channels}

    @property
    def has_validation(self) -> bool:
        """Whether images were held out from the network's training."""
        recipe = self.checkpoint.card.recipe
        return recipe is not None and recipe.validation > 0

    def names_validation(self, name: str) -> bool:
        """Return whether a name denotes the validation images; InputError if there are none."""
        card = self.checkpoint.card
        if catalogue.canonical_name(name) != validation_name(_canonical(card.dataset or "")):
            return False
        if not self.has_validation and name not in catalogue.folder_names(data_root(self.root)):
            raise InputError(
                f"{card.name} has no validation images: it was trained without --validation"
            )
        return self.has_validation

    @functools.cached_property
    def split(self) -> tuple[ImageSet, ImageSet | None]:
        """The images that the network was trained on, and its validation images, if any."""
        card = self.checkpoint.card
        assert card.recipe is not None
        train, validation = training_split(self.lazy(card.recipe.dataset, "train"), card.recipe)
        if train.fingerprint != card.provenance.data_fingerprint:
            raise InputError(
                f"the images of {card.recipe.dataset} are not those that {card.name} was trained "
                "on, so its validation images are unknown"
            )
        return train, validation

    @property
    def validation(self) -> ImageSet:
        """The validation images."""
        _, validation = self.split
        assert validation is not None
        return validation


#: The resolved value of a setting, and the items that it names, by name.
_Loaded = tuple[Any, dict[str, Any]]


@dataclass(frozen=True)
class _Loader:
    """Load the items that the settings of an evaluator name, with a method per kind of setting."""

    request: Request
    test_set: ImageSet
    data: DataSets
    trained: str
    """The data set that the network was trained on."""

    def images(self, value: tuple[str, ...]) -> _Loaded:
        """Load OOD sets, each once; groups are expanded."""
        default = default_ood_sets(self.test_set.name)
        sets = [self.data.lazy(name) for name in expand_groups(value, self.trained) or default]
        names = tuple(images.name for images in sets)
        if len(set(names)) < len(names):
            raise InputError(f"--outliers names a set twice: {', '.join(names)}; name each once")
        if self.test_set.name in names:
            raise InputError(
                f"{self.test_set.name} is the in-distribution test set and cannot also be an OOD "
                "set"
            )
        return names, dict(zip(names, sets, strict=True))

    def corruptions(self, value: str) -> _Loaded:
        """Load a corrupted version of the test set."""
        corrupted = catalogue.load_corrupted(value, self.data.root, clean=self.test_set)
        return corrupted.name, {corrupted.name: corrupted}

    def training(self, value: str) -> _Loaded:
        """Load the training images if the evaluator fits something on them.

        Images held out for validation are excluded.
        """
        if not getattr(self.request.evaluator, "fits", False):
            return self.trained, {}
        card = self.data.checkpoint.card
        recipe = card.recipe
        part = recipe is not None and (recipe.validation > 0 or recipe.images_per_class is not None)
        if part and self.trained == _canonical(card.dataset or ""):
            images, _ = self.data.split
        else:
            images = self.data.lazy(self.trained, "train")
        return self.trained, {training_key(self.trained): images}

    def validation(self, value: str) -> _Loaded:
        """Load the images held out from the checkpoint's training, unless the value is "none".

        They are not loaded if they are the test set, which must not be used for fitting.
        """
        if value not in ("", "none"):
            raise InputError(f"--validation-set is {value!r}; leave it out, or set it to none")
        wanted = value != "none" and getattr(self.request.evaluator, "chooses", True)
        if not wanted or not self.data.has_validation:
            return "", {}
        images = self.data.validation
        if images.name == self.test_set.name:
            return "", {}
        return images.name, {images.name: images}

    def checkpoint(self, value: str) -> _Loaded:
        """Open a checkpoint by its folder or name; an empty value opens none."""
        if not value:
            return value, {}
        folder = find_folder(value, self.data.checkpoint.folder.absolute().parent)
        checkpoint = Checkpoint.open(folder, trust_code=self.request.trust_code)
        return checkpoint.name, {checkpoint.name: checkpoint}

    def run(self, value: tuple[str, ...]) -> _Loaded:
        """Open checkpoints whose runs the network is scored against, each once."""
        loaded = [self.checkpoint(name) for name in value if name]
        names = tuple(name for name, _ in loaded)
        if len(set(names)) < len(names):
            raise InputError(f"a checkpoint is named twice: {', '.join(names)}; name each once")
        return names, {name: networks[name] for name, networks in loaded}


def _canonical(name: str) -> str:
    """Return a data set's name as spelled in the catalogue; unknown names are unchanged."""
    canonical = catalogue.canonical_name(name)
    return canonical if canonical in plugins.names("datasets") else name
