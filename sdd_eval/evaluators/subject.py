"""What an evaluator may touch: a network, images, and the means to run the one over the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.images import ImageSet
from sdd_eval.data.splits import subset_indices
from sdd_eval.errors import InputError
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.randomness import generator
from sdd_eval.records import Card, Measurement, ModelSpec

if TYPE_CHECKING:
    import torch

    from sdd_eval.data.dataset import CorruptedSet
    from sdd_eval.evaluators.inference import Memory
    from sdd_eval.evaluators.ood.detectors.batch import Batch

Arrays = dict[str, NDArray[Any]]


class Evaluator(Protocol):
    """One question about a classifier: a frozen dataclass whose fields are its settings."""

    @property
    def name(self) -> str:
        """The plugin's name, also the subcommand's (a class variable)."""

    @property
    def version(self) -> int:
        """Raised when the same settings give other arrays or measurements (a class variable)."""

    def collect(self, subject: Subject) -> Arrays:
        """Run the network; every array's first axis is images."""

    def score(self, arrays: Mapping[str, NDArray[Any]]) -> list[Measurement]:
        """Numbers from those arrays; NumPy only."""


class ComparedNetwork(Protocol):
    """A further checkpoint, whose network is loaded when it is asked for."""

    @property
    def name(self) -> str:
        """The checkpoint's name."""

    @property
    def spec(self) -> ModelSpec:
        """What its network is."""

    @property
    def weights_sha256(self) -> str:
        """Which weights it has."""

    def network(self, device: str) -> torch.nn.Module:
        """Its network on a device, in eval mode, its parameters frozen."""


class Pieces(Protocol):
    """Where parts of a run that is not finished are kept."""

    def kept(self, name: str, compute: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """What `compute` gives, or gave before an interruption."""


@dataclass(frozen=True)
class Subject:
    """A network in eval mode with frozen parameters, pixels in [0, 1] → logits, and its images."""

    model: torch.nn.Module
    spec: ModelSpec
    data: ImageSet
    sets: Mapping[str, Any] = field(default_factory=dict)
    """Further `ImageSet`s and `CorruptedSet`s by name, as the settings ask for."""
    networks: Mapping[str, ComparedNetwork] = field(default_factory=dict)
    """Further checkpoints by name, as the settings ask for."""
    card: Card | None = None
    device: str = "cpu"
    batch_size: int = 256
    limit: int | None = None
    seed: int = 0
    progress: Progress = field(default_factory=NoProgress)
    memory: Memory | None = None
    """Where logits and features are kept between evaluations; None keeps nothing."""
    pieces: Pieces | None = None
    """Where parts of this evaluation are kept until it is finished; None keeps nothing."""

    def indices(self, images: ImageSet | None = None) -> NDArray[np.int64]:
        """Which images are looked at: all, or a seeded subset of `limit`, balanced by class."""
        images = self.data if images is None else images
        return subset_indices(len(images), self.limit, labels=images.labels, seed=self.seed)

    def labels(self) -> NDArray[np.int64]:
        """The class indices of the images that are looked at.

        Raises:
            InputError: the set has no labels, or labels that the network has no class for.
        """
        labels = self.data.labels
        if labels is None:
            raise InputError(f"{self.data.name} has no labels; this needs them")
        if len(labels) and not 0 <= labels.min() <= labels.max() < self.spec.classes:
            classes = int(labels.max()) + 1
            raise InputError(
                f"{self.data.name} has labels of {classes} classes, "
                f"the network predicts {self.spec.classes}"
            )
        return labels[self.indices()]

    def corrupted(self, name: str) -> CorruptedSet:
        """A corrupted rendering of the test set."""
        found: CorruptedSet = self.sets[name]
        return found

    def pixels(
        self, images: ImageSet | None = None, indices: NDArray[np.int64] | None = None
    ) -> Iterator[torch.Tensor]:
        """Batches of float32 pixels in [0, 1] on the device, of the images that are looked at.

        `indices` are those to look at where `self.indices(images)` are not meant.

        Raises:
            InputError: the images have another size or other channels than the network takes.
        """
        images = self.data if images is None else images
        theirs = (images.channels, images.image_size)
        ours = (self.spec.channels, self.spec.image_size)
        if theirs != ours:
            raise InputError(
                f"{images.name} has {theirs[0]}-channel images of {theirs[1]} pixels, "
                f"the network takes {ours[0]} channels and {ours[1]} pixels"
            )
        chosen = self.indices(images) if indices is None else indices
        # All in order need no index: slices are views.
        whole = len(chosen) == len(images) and bool((np.diff(chosen) == 1).all())
        for batch in images.batches(self.batch_size, None if whole else chosen, self.device):
            yield batch.float().div_(255)

    def batches(self, images: ImageSet | None = None) -> Iterator[Batch]:
        """Batches of the images that are looked at: pixels, and what the network makes of them.

        A network's logits and features cost one pass, or none where an earlier one is remembered.
        """
        from sdd_eval.evaluators.inference import batches

        images = self.data if images is None else images
        yield from batches(self, images, self.indices(images))

    def logits(
        self,
        images: ImageSet | None = None,
        label: str = "",
        indices: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """Logits (n, classes) of the images that are looked at; `indices` as for `pixels`.

        Of an earlier pass, where one is remembered; of the test set the features are kept as well.
        """
        from sdd_eval.evaluators.inference import seen

        images = self.data if images is None else images
        chosen = self.indices(images) if indices is None else indices
        self.progress.start(label or images.name, len(chosen))
        logits = seen(self, images, chosen, features=images is self.data).logits
        found: NDArray[np.float32] = logits.cpu().numpy()
        return found

    def kept(self, name: str, compute: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """Named arrays or tensors that `compute` gives; arrays, if an interrupted run had them.

        `name` tells this part of the evaluation from all others. What is found may depend on the
        run and the size of its batches, but on no other state, such as how often a generator was
        asked before: it is not computed where it is there.
        """
        return self.pieces.kept(name, compute) if self.pieces else compute()

    def generator(self, purpose: str, index: int = 0) -> torch.Generator:
        """Random numbers on the CPU, derived from (seed, purpose, index)."""
        return generator(self.seed, purpose, index)
