"""Scikit-learn's 1,797 handwritten digits, and scenes of them for object detection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.annotations import Annotations
from sdd_eval.data.dataset import Reader, Shape, Status, require_split
from sdd_eval.data.fingerprints import array_fingerprint, value_fingerprint
from sdd_eval.data.images import ArrayImages, Pixels
from sdd_eval.data.provenance import MADE_HERE, OFFICIAL
from sdd_eval.randomness import derived_seed

TRAIN, TEST = 1000, 797


@dataclass(frozen=True)
class Digits(Reader):
    """Digits 8 × 8: the first 1,000 for training, the last 797 for testing.

    The digits are ordered by writer, so most test writers are not in the training set, unlike in a
    random split. Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits",
    UCI Machine Learning Repository, 1998.
    """

    name: str = "digits"
    summary: str = "1,797 handwritten digits, 8×8 grey, 10 classes; ships with scikit-learn"

    def status(self, root: Path) -> Status:
        """Return the status of the digits, which are always present."""
        return Status(OFFICIAL, TEST, "scikit-learn")

    def read(self, root: Path, split: str, shape: Shape) -> ArrayImages:
        """Load the digits of a split; their 17 grey values are scaled to 0 to 255."""
        from sklearn.datasets import load_digits

        require_split(self.name, split, "train", "test")
        rows = slice(0, TRAIN) if split == "train" else slice(TRAIN, TRAIN + TEST)
        digits = load_digits()
        pixels = np.round(digits.images[rows] * 255 / 16).astype(np.uint8)[:, None]
        labels = digits.target[rows].astype(np.int64)
        names = tuple(str(digit) for digit in range(10))
        fingerprint = array_fingerprint(pixels, labels)
        return ArrayImages(self.name, pixels, labels, fingerprint, OFFICIAL, names)


DIGITS = Digits()

#: Number of scenes of each split.
COUNTS = {"train": 64, "test": 32}
SIDE = 64
#: Cells per side of a scene; each holds at most one digit.
CELLS = 2
#: Probability that a cell has a digit, and the factors by which the 8 × 8 digits are enlarged.
FILLED, SCALES = 0.5, (2, 3)


@dataclass(frozen=True)
class SceneImages:
    """Scenes in memory, uint8 (n, 1, side, side), with their digits; a `DetectionSet`."""

    name: str
    scenes: Pixels
    annotations: Annotations
    fingerprint: str
    provenance: str = MADE_HERE

    def __len__(self) -> int:
        return len(self.scenes)

    def pixels(self, index: int, channels: int = 3) -> Pixels:
        """Return a scene, uint8 (channels, height, width)."""
        scene: Pixels = self.scenes[index].repeat(channels, axis=0)
        return scene


@dataclass(frozen=True)
class DigitScenes(Reader):
    """Up to four of scikit-learn's digits on grey noise, enlarged two or three times.

    Training scenes have training digits, test scenes have test digits. The seed is fixed.
    """

    name: str = "digit_scenes"
    summary: str = "32 test, 64 training scenes of scikit-learn's digits with their boxes, 64×64"

    def status(self, root: Path) -> Status:
        """Return the status of the scenes, which are always present."""
        return Status(MADE_HERE, COUNTS["test"], "scikit-learn")

    def read(self, root: Path, split: str, shape: Shape) -> ArrayImages:
        """Return the scenes of a split as unlabelled images."""
        objects = self.load_objects(root, split)
        return ArrayImages(self.name, objects.scenes, None, objects.fingerprint, MADE_HERE)

    def load_objects(self, root: Path, split: str = "test") -> SceneImages:
        """Return the scenes of a split with their digits."""
        require_split(self.name, split, *COUNTS)
        digits = DIGITS.read(root, split, Shape())
        assert digits.labels is not None
        random = np.random.default_rng(derived_seed(0, f"scenes of {split} digits"))
        scenes = random.integers(0, 48, (COUNTS[split], 1, SIDE, SIDE), dtype=np.uint8)
        rows = []  # scene, left, top, width, height and label of each digit
        for scene in range(len(scenes)):
            for left, top, scale in _positions(random):
                index = int(random.integers(len(digits)))
                digit = digits.images[index, 0].repeat(scale, axis=0).repeat(scale, axis=1)
                side = len(digit)
                cell = scenes[scene, 0, top : top + side, left : left + side]
                np.maximum(cell, digit, out=cell)
                rows.append((scene, left, top, side, side, int(digits.labels[index])))
        objects = np.array(rows, dtype=np.int64)
        annotations = _annotations(len(scenes), objects, digits.class_names)
        fingerprint = value_fingerprint(array_fingerprint(scenes, objects))
        return SceneImages(self.name, scenes, annotations, fingerprint)


def _positions(random: np.random.Generator) -> list[tuple[int, int, int]]:
    """Return left, top and scale of the digits of a scene, at random inside their cells."""
    positions = []
    width = SIDE // CELLS
    for cell in range(CELLS * CELLS):
        if random.random() < FILLED:
            scale = int(random.choice(SCALES))
            left, top = random.integers(0, width - 8 * scale + 1, 2).tolist()
            positions.append((cell % CELLS * width + left, cell // CELLS * width + top, scale))
    return positions


def _annotations(
    count: int, objects: NDArray[np.int64], class_names: tuple[str, ...]
) -> Annotations:
    boxes = objects[:, 1:5].astype(np.float64)
    return Annotations(
        files=tuple(f"scene {number}" for number in range(count)),
        sizes=np.full((count, 2), SIDE, dtype=np.int64),
        category_ids=tuple(range(1, len(class_names) + 1)),
        class_names=class_names,
        image=objects[:, 0],
        boxes=boxes,
        labels=objects[:, 5],
        crowd=np.zeros(len(objects), dtype=np.bool_),
        area=boxes[:, 2] * boxes[:, 3],
    )


DIGIT_SCENES = DigitScenes()
