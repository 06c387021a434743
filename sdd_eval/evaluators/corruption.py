"""How much accuracy is left when the images are corrupted? Per cell, per corruption, and mCA."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sdd_eval.corruptions import FIFTEEN, NINETEEN, SEVERITIES
from sdd_eval.errors import InputError, unknown_name
from sdd_eval.evaluators.settings import collects
from sdd_eval.metrics.corruption import (
    mean_corruption_accuracy,
    mean_per_corruption,
)
from sdd_eval.records import Measurement

if TYPE_CHECKING:
    from sdd_eval.data.dataset import CorruptedSet
    from sdd_eval.data.images import ImageSet
    from sdd_eval.evaluators.subject import Arrays, Subject

FLAGS = "correct_"
#: What a mean over the 15 or the 19 is called, by where its frost is from: never one name for two.
NAMES = {
    "official": ("mca", "mca_19"),
    "synthetic": ("mca_15_synthetic_frost", "mca_19_synthetic_frost"),
    "photographs": ("mca_15_photographed_frost", "mca_19_photographed_frost"),
    "unknown": ("mca_15_unknown_frost", "mca_19_unknown_frost"),
}


@dataclass(frozen=True)
class Corruption:
    """Accuracy under common corruptions at severities 1 to 5, and the mean corruption accuracy."""

    name: ClassVar[str] = "corruption"
    version: ClassVar[int] = 1

    corrupted: str = collects("", loads="corruptions")
    """Corrupted rendering of the test set; default: the one of its name."""
    corruptions: tuple[str, ...] = collects(())
    """Corruptions to look at; default: all that are there. A mean needs all of its set."""

    def collect(self, subject: Subject) -> Arrays:
        """`correct_NAME` (n, 5) bool for each corruption, by severity; `frost`, `origin` (n,).

        The last two say, image by image, where the set's frost and the set itself are from.

        Raises:
            InputError: a corruption is not there, or the set does not fit the test set.
        """
        rendering = subject.corrupted(self.corrupted)
        labels, names = subject.labels(), self._chosen(rendering)
        subject.progress.start(rendering.name, len(names) * len(SEVERITIES) * len(labels))
        arrays: Arrays = {
            f"{FLAGS}{name}": np.stack(
                [
                    _correct(subject, rendering.cell(name, severity), labels, f"{name} {severity}")
                    for severity in SEVERITIES
                ],
                axis=1,
            )
            for name in names
        }
        arrays["frost"] = np.full(len(labels), rendering.frost)
        arrays["origin"] = np.full(len(labels), rendering.origin)
        return arrays

    def _chosen(self, rendering: CorruptedSet) -> tuple[str, ...]:
        """The corruptions to look at."""
        if rendering.frost not in NAMES:
            raise unknown_name("kind of frost", rendering.frost, NAMES)
        for name in self.corruptions:
            if name not in rendering.corruptions:
                raise unknown_name(f"corruption of {rendering.name}", name, rendering.corruptions)
        chosen = self.corruptions or rendering.corruptions
        if not chosen:
            raise InputError(f"{rendering.name} has no corruption; `sdd-eval data check` says more")
        return tuple(dict.fromkeys(chosen))

    def score(self, arrays: Mapping[str, NDArray[Any]]) -> list[Measurement]:
        """`accuracy` per cell and per corruption; a mean only over a complete set."""
        frost, origin = str(arrays["frost"][0]), str(arrays["origin"][0])
        cells = {
            (name.removeprefix(FLAGS), severity): float(arrays[name][:, index].mean())
            for name in arrays
            if name.startswith(FLAGS)
            for index, severity in enumerate(SEVERITIES)
        }
        return list(_measurements(cells, frost, f"{origin} corruptions"))


def _correct(
    subject: Subject, cell: ImageSet, labels: NDArray[np.int64], note: str
) -> NDArray[np.bool_]:
    """Whether each image of one cell is recognised: the clean set's images and labels are meant."""
    import torch

    _check_fit(cell, subject.data, note)
    found = []
    with torch.inference_mode():
        for batch in subject.pixels(cell, subject.indices()):
            found.append(subject.model(batch).argmax(dim=1).cpu().numpy())
            subject.progress.advance(len(batch), note)
    correct: NDArray[np.bool_] = np.concatenate(found) == labels
    return correct


def _check_fit(cell: ImageSet, clean: ImageSet, note: str) -> None:
    """Refuse a cell that is no rendering of the clean images."""
    if len(cell) != len(clean):
        raise InputError(
            f"{note} of {cell.name} has {len(cell)} images, {clean.name} has {len(clean)}"
        )
    if cell.labels is not None and not np.array_equal(cell.labels, clean.labels):  # type: ignore[arg-type]
        raise InputError(f"the labels of {cell.name} are not those of {clean.name}")


def _measurements(
    cells: Mapping[tuple[str, int], float], frost: str, source: str
) -> Iterator[Measurement]:
    """The cells, the means of each corruption, and the means over those sets that are complete."""
    for (corruption, severity), value in cells.items():
        at = {"corruption": corruption, "severity": severity}
        protocol = f"top-1 accuracy, {_kind(corruption, frost, source)}"
        yield Measurement("accuracy", value, "fraction", at, protocol)
    means = mean_per_corruption(cells)
    for corruption, value in means.items():
        protocol = f"top-1 accuracy, mean of severities 1–5, {_kind(corruption, frost, source)}"
        yield Measurement("accuracy", value, "fraction", {"corruption": corruption}, protocol)
    for metric, over in zip(NAMES[frost], (FIFTEEN, NINETEEN), strict=True):
        mean = mean_corruption_accuracy(means, over)
        if mean is not None:
            protocol = (
                f"mean top-1 accuracy over {len(over)} corruptions × 5 severities, "
                f"{_kind('frost', frost, source)}"
            )
            yield Measurement(metric, mean, "fraction", {}, protocol)


def _kind(corruption: str, frost: str, source: str) -> str:
    """Where the images are from, and for frost what it was made of."""
    return f"{source}, {frost} frost" if corruption == "frost" else source
