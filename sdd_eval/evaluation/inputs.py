"""What an evaluation looks at: the test set, and what the settings name beside it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdd_eval import plugins
from sdd_eval.data import catalogue
from sdd_eval.data.images import ImageSet, Subset, lazy_images
from sdd_eval.data.ood_sets import default_ood_sets, expand_groups
from sdd_eval.errors import InputError
from sdd_eval.evaluation.request import Request
from sdd_eval.evaluation.training_split import (
    has_validation,
    means_validation,
    parts_of,
    trains_on_part,
    validation_images,
)
from sdd_eval.evaluators.settings import (
    loaded_names,
    settings_that_load,
    training_key,
    with_arrays_of,
)
from sdd_eval.records import Card, Measurement, ModelSpec, Run, encode


@dataclass(frozen=True)
class Inputs:
    """An evaluator with its settings resolved, and what they name."""

    evaluator: Any
    data: ImageSet
    sets: Mapping[str, Any]
    networks: Mapping[str, Any]
    """Checkpoints that `collect` looks at as well."""
    against: Mapping[str, Any] = field(default_factory=dict)
    """Checkpoints that `score` compares with."""
    runs: Mapping[str, Run] = field(default_factory=dict)
    """Their finished runs of the same evaluator on the same images."""

    @property
    def dataset(self) -> str:
        """The name that results are filed under: a corrupted rendering's, if there is one."""
        kinds = loaded_names(self.evaluator)
        corrupted = [name for name, kind in kinds.items() if kind == "corruptions"]
        return corrupted[0] if corrupted else self.data.name

    def limit(self, asked: int | None) -> int | None:
        """The limit if it cuts the test set or one beside it, else None: nothing is a part then.

        Training images are looked at whole, whatever the limit.
        """
        beside = [name for name, kind in loaded_names(self.evaluator).items() if kind == "images"]
        largest = max(len(self.data), *(len(self.sets[name]) for name in beside), 0)
        return asked if asked is not None and asked < largest else None

    @property
    def content(self) -> str:
        """The content of all images: the test set's own, or one over it and the further sets'."""
        return _content(self.data, *self.sets.values())

    @property
    def fingerprint(self) -> str:
        """The content of what the network is judged by, which other seeds may share.

        Not of the parts of its own training images that its seed told off.
        """
        judging = (each for each in self.sets.values() if not isinstance(each, Subset))
        return _content(self.data, *judging)

    @property
    def compared(self) -> dict[str, Any]:
        """What each further checkpoint is: its weights, and what its card says of the network."""
        return {
            name: {"weights": network.weights_sha256, "model": encode(network.spec)}
            for name, network in self.networks.items()
        }

    @property
    def scored_against(self) -> dict[str, Any]:
        """What each checkpoint is whose run is scored against, as `compared`."""
        return {
            name: {"weights": run.weights_sha256, "model": run.provenance["model"]}
            for name, run in self.runs.items()
        }

    def score(self, arrays: Mapping[str, Any]) -> tuple[Measurement, ...]:
        """What the evaluator makes of a run's arrays, with those of other runs beside them."""
        others = {name: run.arrays for name, run in self.runs.items()}
        return tuple(self.evaluator.score(with_arrays_of(arrays, others) if others else arrays))

    def with_runs(self, runs: Mapping[str, Run]) -> Inputs:
        """The same with the runs that it is scored against.

        Raises:
            InputError: one of them is of other images.
        """
        for name, run in runs.items():
            if run.data_fingerprint != self.fingerprint:
                raise InputError(f"{name} was measured on other images than {self.data.name}")
        return dataclasses.replace(self, runs=runs)


def _content(images: ImageSet, *further: Any) -> str:
    if not further:
        return images.fingerprint
    parts = [images.fingerprint, *(each.fingerprint for each in further)]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def inputs_of(request: Request, card: Card, beside: Path) -> Inputs:
    """Load what a request asks for in the shape that the checkpoint's network takes."""
    name = request.dataset or card.dataset
    if name is None:
        raise InputError(f"{card.name} does not say which data it is for; name them: --dataset")
    if means_validation(name, card, request.data_root):
        images = validation_images(card, request.data_root)
    else:
        shape: dict[str, Any] = {
            "image_size": card.model.image_size,
            "channels": card.model.channels,
        }
        images = catalogue.load_images(name, request.data_root, **shape)
    return with_sets(request, images, card.model, beside, card)


def with_sets(
    request: Request,
    images: ImageSet,
    spec: ModelSpec,
    beside: Path | None = None,
    card: Card | None = None,
) -> Inputs:
    """Load what the settings name, and the usual where one names nothing.

    `beside` is the folder in which checkpoints are looked for by name, `card` the network's, if it
    is a checkpoint. In the settings an alias, a path and a default all come down to the name of
    what is found.
    """
    evaluator = request.evaluator
    kinds = settings_that_load(evaluator)
    said = [getattr(evaluator, setting) for setting, kind in kinds.items() if kind == "training"]
    trained_on = card.dataset if card else None
    trained = _plain(next(filter(None, said), trained_on or images.name))
    asking = _Asking(request, images, spec, beside, trained, card)
    sets: dict[str, Any] = {}
    networks: dict[str, Any] = {}
    against: dict[str, Any] = {}
    places = {"checkpoint": networks, "run": against}
    for setting, kind in kinds.items():
        value, found = LOADERS[kind](asking, getattr(evaluator, setting))
        evaluator = dataclasses.replace(evaluator, **{setting: value})
        places.get(kind, sets).update(found)
    return Inputs(evaluator, images, sets, networks, against)


@dataclass(frozen=True)
class _Asking:
    """What a loader needs to know besides the value of its setting."""

    request: Request
    images: ImageSet
    spec: ModelSpec
    beside: Path | None
    trained: str
    card: Card | None


#: The value that a setting comes down to, and what it names, by name.
_Found = tuple[Any, dict[str, Any]]


def _outliers(asking: _Asking, asked: tuple[str, ...]) -> _Found:
    """Sets of images beside the test set, each once, groups of them spelled out."""
    usual = default_ood_sets(asking.images.name)
    names = expand_groups(asked, asking.trained) or usual
    found = [_forgetful(asking, name, "test") for name in names]
    called = tuple(each.name for each in found)
    if len(set(called)) < len(called):
        raise InputError(f"a set of images is named twice: {', '.join(called)}")
    if asking.images.name in called:
        raise InputError(f"{asking.images.name} is named beside itself: it is the test set")
    return called, dict(zip(called, found, strict=True))


def _corrupted(asking: _Asking, asked: str) -> _Found:
    """A corrupted rendering of the test set."""
    root = asking.request.data_root
    name = asked or catalogue.default_corrupted_set(asking.images.name, root)
    found = catalogue.load_corrupted(name, root, clean=asking.images)
    return found.name, {found.name: found}


def _training(asking: _Asking, asked: str) -> _Found:
    """The training images of the set that the network was trained on, if anything is fitted.

    Of those that it was trained on: images that were held out for validation stay out.
    """
    if not getattr(asking.request.evaluator, "fits", False):
        return asking.trained, {}
    card, root = asking.card, asking.request.data_root
    if card and trains_on_part(card) and asking.trained == _plain(card.dataset or ""):
        images, _ = parts_of(card, root)
    else:
        images = _forgetful(asking, asking.trained, "train")
    return asking.trained, {training_key(asking.trained): images}


def _validation(asking: _Asking, asked: str) -> _Found:
    """The images that were held out of the checkpoint's training, if any, unless "none" is said.

    Not where they are the test set: what is fitted on them would then be judged by them.
    """
    if asked not in ("", "none"):
        raise InputError(f"held-out images are {asked!r}; leave them away, or say none")
    wanted = asked != "none" and getattr(asking.request.evaluator, "chooses", True)
    if not wanted or asking.card is None or not has_validation(asking.card):
        return "", {}
    held = validation_images(asking.card, asking.request.data_root)
    if held.name == asking.images.name:
        return "", {}
    return held.name, {held.name: held}


def _checkpoint(asking: _Asking, asked: str) -> _Found:
    """A checkpoint to compare with, if one is named."""
    if not asked:
        return asked, {}
    from sdd_eval.checkpoints.checkpoint import find_checkpoint

    trust_code = asking.request.trust_code
    found = find_checkpoint(asked, asking.beside, trust_code=trust_code)
    return found.name, {found.name: found}


def _scored_against(asking: _Asking, asked: tuple[str, ...]) -> _Found:
    """Checkpoints whose runs this one's is scored against, each once."""
    found = [_checkpoint(asking, name) for name in asked if name]
    called = tuple(name for name, _ in found)
    if len(set(called)) < len(called):
        raise InputError(f"a checkpoint is named twice: {', '.join(called)}")
    return called, {name: each[name] for name, each in found}


LOADERS: Mapping[str, Callable[[_Asking, Any], _Found]] = {
    "images": _outliers,
    "corruptions": _corrupted,
    "training": _training,
    "validation": _validation,
    "checkpoint": _checkpoint,
    "run": _scored_against,
}


def _plain(name: str) -> str:
    """A plugin's name in the catalogue's spelling; any other as it is."""
    spelled = catalogue.canonical_name(name)
    return spelled if spelled in plugins.names("datasets") else name


def _forgetful(asking: _Asking, name: str, split: str) -> ImageSet:
    """A further set in the network's shape, in memory only while it is looked at."""
    root, spec = asking.request.data_root, asking.spec
    shape: dict[str, Any] = {"image_size": spec.image_size, "channels": spec.channels}
    return lazy_images(lambda: catalogue.load_images(name, root, split, **shape))
