"""Image files streamed from a folder: never more of them in memory than are looked at."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sdd_eval.data.images import ImageSet, Labels, Pixels, Subset, batch_slices, to_device
from sdd_eval.errors import InputError

if TYPE_CHECKING:
    import torch
    from PIL import Image

Boxes = NDArray[np.int64]

#: A side from which on images are treated as photographs (see `enlarged`).
LARGE_SIDE = 128


@dataclass(frozen=True)
class FolderImages:
    """Image files of a folder: short side to `resize`, then a centre crop to `image_size`.

    Files are turned to grey or RGB, whatever they are (CMYK, palettes, 16 bits). An orientation in
    their EXIF data is not followed: torchvision does not, and so no published number is made so.
    """

    name: str
    folder: Path
    files: Sequence[str]
    image_size: int
    channels: int
    labels: Labels | None
    fingerprint: str
    provenance: str
    class_names: tuple[str, ...] = ()
    resize: int | None = None
    boxes: Boxes | None = None
    """Left, top, right and bottom (n, 4) of what is cut out of each file first, in pixels."""

    @property
    def has_full_resolution(self) -> bool:
        """Whether the files are larger than what a network sees of them."""
        return self.resize is not None and self.resize > self.image_size

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.files)

    def batches(
        self, size: int, indices: NDArray[np.int64] | None = None, device: str = "cpu"
    ) -> Iterator[torch.Tensor]:
        """uint8 tensors (≤ size, channels, side, side) on the device, in the order of `indices`.

        Where torch has several threads, as many decode the next batch meanwhile.
        """
        import torch

        wanted = np.arange(len(self)) if indices is None else indices
        following, threads = batch_slices(len(self), size, wanted), torch.get_num_threads()
        if threads == 1:
            for rows in following:
                yield to_device(np.stack([*map(self._pixels, rows)]), device)
            return
        with ThreadPoolExecutor(threads) as pool:
            waiting = [pool.submit(self._pixels, row) for row in next(following, ())]
            try:
                while waiting:
                    pixels = np.stack([each.result() for each in waiting])
                    waiting = [pool.submit(self._pixels, row) for row in next(following, ())]
                    yield to_device(pixels, device)
            finally:
                pool.shutdown(cancel_futures=True)

    def full_resolution(self, row: int) -> Image.Image:
        """An image as its file has it, cut to its box, in the set's channels.

        Raises:
            InputError: it cannot be read, or its box lies outside of it.
        """
        path = self.folder / self.files[row]
        try:
            with Image.open(path) as file:
                image = file.convert("L" if self.channels == 1 else "RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise InputError(f"{path} is not an image that can be read: {error}") from error
        return image if self.boxes is None else _cut(image, self.boxes[row], path)

    def preprocessed(self, row: int) -> Image.Image:
        """An image as a network sees it when it is tested."""
        try:
            return resize_and_crop(self.full_resolution(row), self.resize, self.image_size)
        except InputError as error:
            path = str(self.folder / self.files[row])
            told = str(error) if str(error).startswith(path) else f"{path}: {error}"
            raise InputError(told) from error

    def _pixels(self, row: int) -> Pixels:
        """One image as (channels, side, side)."""
        pixels = np.asarray(self.preprocessed(row))
        return pixels[None] if self.channels == 1 else pixels.transpose(2, 0, 1)


def resize_side(side: int) -> int:
    """To what the short side of a photograph is scaled before its crop: 256 for 224.

    Smaller images are no photographs of which a part is cut; they are scaled to the side itself.

    >>> enlarged(224), enlarged(32)
    (256, 32)
    """
    return round(side * 256 / 224) if side >= LARGE_SIDE else side


def resize_and_crop(image: Image.Image, resize: int | None, side: int) -> Image.Image:
    """Short side to `resize` (bilinear, antialiased) unless None, then a centre crop to `side`.

    Pixel for pixel what torchvision's `Resize` and `CenterCrop` make of it.

    Raises:
        InputError: the crop is larger than the image.
    """
    if resize is not None and min(image.size) != resize:
        short = min(image.size)
        width, height = (resize * length // short for length in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (round((length - side) / 2) for length in image.size)
    if min(image.size) < side:
        raise InputError(f"an image of {image.size[0]} × {image.size[1]} has no {side} px crop")
    return image.crop((left, top, left + side, top + side))


def _cut(image: Image.Image, box: NDArray[np.int64], path: Path) -> Image.Image:
    """What lies inside a box; of a box that leaves the image, what is inside of both."""
    left, top = (max(0, int(edge)) for edge in box[:2])
    right, bottom = (min(int(edge), end) for edge, end in zip(box[2:], image.size, strict=True))
    if left >= right or top >= bottom:
        size = f"{image.size[0]} × {image.size[1]}"
        raise InputError(f"{path} is {size}; its box {box.tolist()} holds nothing of it")
    return image.crop((left, top, right, bottom))


def has_full_resolution(images: ImageSet) -> bool:
    """Whether a set's files are larger than what a network sees of them."""
    if isinstance(images, Subset):
        return has_full_resolution(images.parent)
    return isinstance(images, FolderImages) and images.has_full_resolution


def full_resolution(images: ImageSet, row: int) -> Image.Image | torch.Tensor:
    """An image as its file has it, of any size; of a set without files a uint8 tensor.

    Raises:
        InputError: it cannot be read.
    """
    if isinstance(images, Subset):
        return full_resolution(images.parent, int(images.rows[row]))
    return (
        images.full_resolution(row)
        if isinstance(images, FolderImages)
        else preprocessed(images, row)
    )


def preprocessed(images: ImageSet, row: int) -> torch.Tensor:
    """An image as a network is tested on it, uint8 (channels, side, side).

    Raises:
        InputError: it cannot be read.
    """
    (batch,) = images.batches(1, np.array([row]))
    return batch[0]


SUFFIXES = (
    ".bmp",
    ".gif",
    ".jpeg",
    ".jpg",
    ".pbm",
    ".pgm",
    ".png",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
)

#: Names of the sub-folders that hold a split.
SPLITS = {"train": ("train",), "test": ("test", "val", "valid", "validation")}
_SPLIT_NAMES = frozenset(name for names in SPLITS.values() for name in names)


def image_files(folder: Path) -> tuple[str, ...]:
    """The image files at any depth, as sorted relative names; dot files are skipped."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = os.path.relpath(place, folder).replace(os.sep, "/")
        prefix = "" if inside == "." else f"{inside}/"
        found += [prefix + name for name in files if _is_image(name)]
    return tuple(sorted(found))


def unwrap(folder: Path) -> Path:
    """The folder, or what lies below sub-folders such as `images/` that merely wrap it."""
    while (inner := _only_folder(folder)) is not None:
        folder = inner
    return folder


def split_folders(folder: Path) -> dict[str, Path]:
    """The folder of each split, where the folder is laid out as `train/` and `test/`.

    One such folder of images among other folders of images is a class: CIFAR-100 has `train/`.
    """
    found = {}
    for split, names in SPLITS.items():
        there = [folder / name for name in names if (folder / name).is_dir()]
        if there:
            found[split] = there[0]
    return {} if len(found) == 1 and _is_class(*found.values()) else found


def class_folders(files: Sequence[str]) -> tuple[str, ...]:
    """The sub-folders as classes; none unless every file lies in one of at least two."""
    if not all("/" in name for name in files):
        return ()
    names = sorted({name.split("/", 1)[0] for name in files})
    return tuple(names) if len(names) > 1 else ()


def folder_labels(folder: Path, files: Sequence[str], class_names: Sequence[str]) -> Labels | None:
    """The class of each file, None where there are no classes.

    Raises:
        InputError: a file lies in a sub-folder that is no class, or in none.
    """
    if not class_names:
        return None
    stray = next((name for name in files if "/" not in name), None)
    if stray is not None:
        raise InputError(f"{folder} has {stray} beside its classes, in the folder of none")
    index = {name: position for position, name in enumerate(class_names)}
    strangers = sorted({name.split("/", 1)[0] for name in files} - set(index))
    if strangers:
        raise InputError(f"{folder} has the class {strangers[0]!r}, which its train/ lacks")
    return np.array([index[name.split("/", 1)[0]] for name in files], dtype=np.int64)


def _is_class(folder: Path) -> bool:
    """Whether images lie in a folder itself, and in another one beside it of no split's name."""
    others = (place for place in folder.parent.iterdir() if place.name not in _SPLIT_NAMES)
    seen = (place for place in others if not place.name.startswith("."))
    return _holds_images(folder) and any(map(_holds_images, seen))


def _holds_images(folder: Path) -> bool:
    """Whether images lie in a folder itself; none do in a file, or where it cannot be read."""
    _, _, files = next(os.walk(folder), ("", [], []))
    return any(map(_is_image, files))


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _only_folder(folder: Path) -> Path | None:
    """The one sub-folder of a folder that holds no image itself."""
    try:
        with os.scandir(folder) as found:
            entries = [entry for entry in found if not entry.name.startswith(".")]
            inner = [entry.name for entry in entries if entry.is_dir()]
            holds_images = any(_is_image(entry.name) for entry in entries)
    except OSError:
        return None
    wraps = len(inner) == 1 and not holds_images and inner[0] not in _SPLIT_NAMES
    return folder / inner[0] if wraps else None
