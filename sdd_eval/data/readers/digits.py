"""The 1,797 handwritten digits that ship with scikit-learn: 8×8, grey, ten classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.annotations import Annotations
from sdd_eval.data.dataset import Archive, Status, require_shape, require_split
from sdd_eval.data.fingerprints import array_fingerprint, value_fingerprint
from sdd_eval.data.images import ArrayImages, Pixels
from sdd_eval.data.provenance import MADE_HERE, OFFICIAL
from sdd_eval.randomness import derived_seed

TRAIN, TEST = 1000, 797


@dataclass(frozen=True)
class Digits:
    """The first 1,000 digits train, the last 797 test.

    The writers come in blocks, so this split tests on writers that were mostly not trained on; a
    random split would not. Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten
    Digits", UCI Machine Learning Repository, 1998.
    """

    name: str = "digits"
    summary: str = "1,797 handwritten digits, 8×8 grey, 10 classes; ships with scikit-learn"
    archives: tuple[Archive, ...] = ()

    def status(self, root: Path) -> Status:
        """Always there."""
        return Status(OFFICIAL, TEST, "scikit-learn")

    def load(
        self,
        root: Path,
        split: str = "test",
        *,
        image_size: int | None = None,
        channels: int | None = None,
    ) -> ArrayImages:
        """The digits of a split; their 17 grey values are spread over 0 to 255."""
        from sklearn.datasets import load_digits

        require_split(self.name, split, "train", "test")
        rows = slice(0, TRAIN) if split == "train" else slice(TRAIN, TRAIN + TEST)
        found = load_digits()
        pixels = np.round(found.images[rows] * 255 / 16).astype(np.uint8)[:, None]
        labels = found.target[rows].astype(np.int64)
        names = tuple(str(digit) for digit in range(10))
        images = ArrayImages(
            self.name, pixels, labels, array_fingerprint(pixels, labels), OFFICIAL, names
        )
        require_shape(images, image_size, channels)
        return images


DIGITS = Digits()


#: How many scenes each split has.
COUNTS = {"train": 64, "test": 32}
SIDE = 64
#: A scene has so many fields a side; in each lies a digit or none.
FIELDS = 2
#: How often a field has a digit, and how many times its 8 pixels that can be wide.
FILLED, SCALES = 0.5, (2, 3)


@dataclass(frozen=True)
class SceneImages:
    """Scenes in memory, (n, 1, side, side) uint8, with the digits in them; a `DetectionSet`."""

    name: str
    scenes: Pixels
    annotations: Annotations
    fingerprint: str
    provenance: str = MADE_HERE

    def __len__(self) -> int:
        """How many scenes there are."""
        return len(self.scenes)

    def pixels(self, index: int, channels: int = 3) -> Pixels:
        """A scene, uint8 (channels, height, width)."""
        shown: Pixels = self.scenes[index].repeat(channels, axis=0)
        return shown


@dataclass(frozen=True)
class DigitScenes:
    """Scikit-learn's digits on grey noise, none to four a scene, two or three times their size.

    Training scenes are of training digits, test scenes of test digits. Seeded: always the same.
    """

    name: str = "digit_scenes"
    summary: str = "32 test, 64 training scenes of scikit-learn's digits with their boxes, 64×64"
    archives: tuple[Archive, ...] = ()

    def status(self, root: Path) -> Status:
        """Always there."""
        return Status(MADE_HERE, COUNTS["test"], "scikit-learn")

    def load(
        self,
        root: Path,
        split: str = "test",
        *,
        image_size: int | None = None,
        channels: int | None = None,
    ) -> ArrayImages:
        """The scenes as images without labels."""
        made = self.load_objects(root, split)
        found = ArrayImages(self.name, made.scenes, None, made.fingerprint, MADE_HERE)
        require_shape(found, image_size, channels)
        return found

    def load_objects(self, root: Path, split: str = "test") -> SceneImages:
        """The scenes of a split with their digits."""
        require_split(self.name, split, *COUNTS)
        digits = DIGITS.load(root, split)
        assert digits.labels is not None
        random = np.random.default_rng(derived_seed(0, f"scenes of {split} digits"))
        scenes = random.integers(0, 48, (COUNTS[split], 1, SIDE, SIDE), dtype=np.uint8)
        objects = []  # of each its scene, left, top, width, height and label
        for scene in range(len(scenes)):
            for left, top, scale in _places(random):
                row = int(random.integers(len(digits)))
                digit = digits.images[row, 0].repeat(scale, axis=0).repeat(scale, axis=1)
                side = len(digit)
                field = scenes[scene, 0, top : top + side, left : left + side]
                np.maximum(field, digit, out=field)
                objects.append((scene, left, top, side, side, int(digits.labels[row])))
        found = np.array(objects, dtype=np.int64)
        annotations = _annotations(len(scenes), found, digits.class_names)
        fingerprint = value_fingerprint(array_fingerprint(scenes, found))
        return SceneImages(self.name, scenes, annotations, fingerprint)


def _places(random: np.random.Generator) -> list[tuple[int, int, int]]:
    """Left, top and scale of the digits of a scene: somewhere in their fields."""
    found = []
    width = SIDE // FIELDS
    for field in range(FIELDS * FIELDS):
        if random.random() < FILLED:
            scale = int(random.choice(SCALES))
            left, top = random.integers(0, width - 8 * scale + 1, 2).tolist()
            found.append((field % FIELDS * width + left, field // FIELDS * width + top, scale))
    return found


def _annotations(
    count: int, objects: NDArray[np.int64], class_names: tuple[str, ...]
) -> Annotations:
    """The objects as a file in COCO's format would tell them."""
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
