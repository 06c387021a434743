"""Image files in folders: find them, read their classes from the folders, and stream the images."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sdd_eval.data.files import require_regular
from sdd_eval.data.images import ImageSet, Labels, Pixels, Rows, Subset, batch_slices, to_device
from sdd_eval.errors import InputError
from sdd_eval.provenance import Resizing

if TYPE_CHECKING:
    import torch

    from sdd_eval.data.images import Batches

Boxes = NDArray[np.int64]

#: Images of at least this side are treated as photographs (see `resize_side`).
LARGE_SIDE = 128

#: The default filter for resizing images.
INTERPOLATION: Final = "bilinear"

_PORTABLE = (".pbm", ".pgm", ".ppm")
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp", *_PORTABLE)

#: Formats whose grey images of mode "I", in some versions of Pillow, have 16 bits.
SIXTEEN_BIT_FORMATS = ("PNG", "PPM")

#: Modes that Pillow converts to grey or RGB via another mode.
_INTERMEDIATE = {"La": "LA", "RGBa": "RGBA", "LAB": "RGB"}

#: TIFF tags for the number of bits per value, and for the meaning of 0: white or black.
_BITS, _PHOTOMETRIC = 258, 262

#: Names of the sub-folders of each split.
SPLITS = {"train": ("train",), "test": ("test", "val", "valid", "validation")}
_SPLIT_NAMES = frozenset(name for names in SPLITS.values() for name in names)


def image_files(folder: Path) -> tuple[str, ...]:
    """Return the image files at any depth as sorted relative names, without hidden files.

    Symbolic links are followed; raise InputError for one to a folder that contains it, and for a
    folder that cannot be read.
    """
    names = []
    for path, folders, files in os.walk(folder, onerror=_refuse_unreadable, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in folders:
            _refuse_loop(os.path.join(path, name))
        relative = os.path.relpath(path, folder).replace(os.sep, "/")
        prefix = "" if relative == "." else f"{relative}/"
        names += [prefix + name for name in files if _is_image(name)]
    return tuple(sorted(names))


def _refuse_unreadable(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise InputError(f"cannot read {error.filename}: {error.strerror}") from error


def _refuse_loop(path: str) -> None:
    if os.path.islink(path):
        target, parent = os.path.realpath(path), os.path.realpath(os.path.dirname(path))
        if target == parent or parent.startswith(target.rstrip(os.sep) + os.sep):
            raise InputError(f"{path} is a symbolic link to {target}, which contains it; remove it")


def read_image(path: Path, channels: int) -> Image.Image:
    """Read an image file as 8-bit grey or RGB; 16-bit grey is scaled by its range.

    Raise InputError if it cannot be read, or its values are 32-bit numbers of unknown range.
    """
    with opened_image(path) as file:
        return to_8_bits(file, channels)


@contextlib.contextmanager
def opened_image(path: Path) -> Iterator[Image.Image]:
    """Open an image file; raise InputError, which names the file, for any error in it."""
    require_regular(path)
    try:
        with Image.open(path) as file:
            yield file
    except Exception as error:  # a damaged file may raise anything
        cause = str(error) or type(error).__name__
        raise InputError(f"cannot read {path} as an image: {cause}") from error


def to_8_bits(file: Image.Image, channels: int) -> Image.Image:
    """Convert an image of any mode to 8-bit grey or RGB; `convert` alone clips 16 bits to white.

    Raise ValueError for values of unknown range.
    """
    if file.mode.startswith(("I", "F")):
        file = _from_16_bits(file)
    file = file.convert(_INTERMEDIATE.get(file.mode, file.mode))
    return file.convert("L" if channels == 1 else "RGB")


def _from_16_bits(file: Image.Image) -> Image.Image:
    if file.mode == "F" or (file.mode == "I" and file.format not in SIXTEEN_BIT_FORMATS):
        kind = "floating-point" if file.mode == "F" else "32-bit integer"
        raise ValueError(
            f"its values are {kind} numbers of unknown range; save it with 8 or 16 bits"
        )
    tags: Mapping[int, Any] = getattr(file, "tag_v2", {})
    (bits,) = tags.get(_BITS, (16,))
    values = np.asarray(file).astype(np.float64) * (255 / (2**bits - 1))
    if tags.get(_PHOTOMETRIC) == 0:
        values = 255 - values
    return Image.fromarray(np.rint(values).clip(0, 255).astype(np.uint8))


def unwrap(folder: Path) -> Path:
    """Return the folder inside wrappers such as `images/` that hold one folder and no image."""
    while (inner := _only_folder(folder)) is not None:
        folder = inner
    return folder


def split_folders(folder: Path) -> dict[str, Path]:
    """Return the folder of each split of a folder laid out as `train/` and `test/`.

    A single folder that is named like a split, among other folders of images, is a class: CIFAR-100
    has a class `train`.
    """
    splits = {}
    for split, names in SPLITS.items():
        existing = [folder / name for name in names if (folder / name).is_dir()]
        if existing:
            splits[split] = existing[0]
    return {} if len(splits) == 1 and _is_class(*splits.values()) else splits


def class_folders(folder: Path, files: Sequence[str]) -> tuple[str, ...]:
    """Return sub-folders as class names; empty unless there are two and no files outside them.

    Raise InputError for a sub-folder without images, which would shift the labels of later ones.
    """
    names = sorted({name.split("/", 1)[0] for name in files if "/" in name})
    if len(names) < 2 or not all("/" in name for name in files):
        return ()
    existing = (path.name for path in folder.iterdir() if path.is_dir())
    without = sorted(name for name in existing if name not in names and not name.startswith("."))
    if without:
        raise InputError(
            f"the class folder {folder / without[0]} contains no images; add some, or move it away"
        )
    return tuple(names)


def printable(name: str) -> str:
    """Return a file's name as text; bytes that are not UTF-8 become question marks."""
    return os.fsencode(name).decode("utf-8", "replace")


def folder_labels(folder: Path, files: Sequence[str], class_names: Sequence[str]) -> Labels | None:
    """Return each file's class index, None without classes; raise InputError for a stray file."""
    if not class_names:
        return None
    stray = next((name for name in files if "/" not in name), None)
    if stray is not None:
        raise InputError(f"{folder} contains {stray} outside its class folders")
    index = {name: position for position, name in enumerate(class_names)}
    unknown = sorted({name.split("/", 1)[0] for name in files} - set(index))
    if unknown:
        raise InputError(f"{folder} has the class {unknown[0]!r}, which train/ does not have")
    return np.array([index[name.split("/", 1)[0]] for name in files], dtype=np.int64)


def _is_class(folder: Path) -> bool:
    """Return whether a folder and a sibling that is not a split both contain images."""
    siblings = (path for path in folder.parent.iterdir() if path.name not in _SPLIT_NAMES)
    visible = (path for path in siblings if not path.name.startswith("."))
    return _contains_images(folder) and any(map(_contains_images, visible))


def _contains_images(folder: Path) -> bool:
    """Return whether a folder directly contains images; False for files and unreadable folders."""
    _, _, files = next(os.walk(folder), ("", [], []))
    return any(map(_is_image, files))


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _only_folder(folder: Path) -> Path | None:
    """Return the only sub-folder of a folder that does not directly contain images."""
    try:
        with os.scandir(folder) as listing:
            entries = [entry for entry in listing if not entry.name.startswith(".")]
            inner = [entry.name for entry in entries if entry.is_dir()]
            has_images = any(_is_image(entry.name) for entry in entries)
    except OSError:
        return None
    wraps = len(inner) == 1 and not has_images and inner[0] not in _SPLIT_NAMES
    return folder / inner[0] if wraps else None


@dataclass(frozen=True)
class FolderImages:
    """Image files, read as needed: short side to `resize`, then a centre crop to `image_size`.

    Files of any mode (CMYK, palette, 16 bits) are converted to 8-bit grey or RGB. EXIF orientation
    is ignored, as it is by torchvision and therefore in all published numbers.
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
    interpolation: str = INTERPOLATION
    """Pillow's filter for resizing, in lower case."""
    boxes: Boxes | None = None
    """Left, top, right and bottom (n, 4) in pixels, to which each file is cropped first."""

    @property
    def has_full_resolution(self) -> bool:
        """Whether the files are larger than the preprocessed images."""
        return self.resize is not None and self.resize > self.image_size

    def __len__(self) -> int:
        return len(self.files)

    def batches(self, size: int, indices: Rows | None = None, device: str = "cpu") -> Batches:
        """Yield uint8 batches (≤ size, channels, side, side), decoded ahead by torch's threads."""
        import torch

        rows = np.arange(len(self)) if indices is None else indices
        slices, threads = batch_slices(len(self), size, rows), torch.get_num_threads()
        if threads == 1:
            for part in slices:
                yield to_device(np.stack([*map(self._pixels, part)]), device)
            return
        with ThreadPoolExecutor(threads) as pool:
            pending = [pool.submit(self._pixels, row) for row in next(slices, ())]
            try:
                while pending:
                    pixels = np.stack([future.result() for future in pending])
                    pending = [pool.submit(self._pixels, row) for row in next(slices, ())]
                    yield to_device(pixels, device)
            finally:
                pool.shutdown(cancel_futures=True)

    def full_resolution(self, row: int) -> Image.Image:
        """Return an image at its original size, cropped to its box, with the set's channels.

        Raise InputError if the file cannot be read, or the box does not overlap the image.
        """
        path = self.folder / self.files[row]
        image = read_image(path, self.channels)
        return image if self.boxes is None else _crop_to_box(image, self.boxes[row], path)

    def preprocessed(self, row: int) -> Image.Image:
        """Return an image as the network receives it; raise InputError if it is too small."""
        try:
            image = self.full_resolution(row)
            return resize_and_crop(image, self.resize, self.image_size, self.interpolation)
        except InputError as error:
            path = str(self.folder / self.files[row])
            raise InputError(str(error) if path in str(error) else f"{path}: {error}") from error

    def _pixels(self, row: int) -> Pixels:
        """Return one preprocessed image (channels, side, side)."""
        pixels = np.asarray(self.preprocessed(row))
        return pixels[None] if self.channels == 1 else pixels.transpose(2, 0, 1)


def resize_side(side: int) -> int:
    """Return the short side to which an image is resized before its centre crop to `side`.

    This is the customary 256 for 224. Images below 128 pixels are resized to the crop itself.

    >>> resize_side(224), resize_side(32)
    (256, 32)
    """
    return round(side * 256 / 224) if side >= LARGE_SIDE else side


def resize_and_crop(
    image: Image.Image, resize: int | None, side: int, interpolation: str = INTERPOLATION
) -> Image.Image:
    """Resize the short side (antialiased) unless `resize` is None, then centre-crop to `side`.

    The result equals torchvision's `Resize` and `CenterCrop` in every pixel. Raise InputError if
    the image is smaller than the crop.
    """
    if resize is not None and min(image.size) != resize:
        short = min(image.size)
        width, height = (resize * length // short for length in image.size)
        image = image.resize((width, height), Image.Resampling[interpolation.upper()])
    left, top = (round((length - side) / 2) for length in image.size)
    if min(image.size) < side:
        size = f"{image.size[0]} × {image.size[1]}"
        raise InputError(f"an image of {size} is too small for a crop of {side} pixels")
    return image.crop((left, top, left + side, top + side))


def _crop_to_box(image: Image.Image, box: NDArray[np.int64], path: Path) -> Image.Image:
    left, top = (max(0, int(edge)) for edge in box[:2])
    right, bottom = (min(int(edge), end) for edge, end in zip(box[2:], image.size, strict=True))
    if left >= right or top >= bottom:
        size = f"{image.size[0]} × {image.size[1]}"
        raise InputError(f"{path} is {size}; its box {box.tolist()} does not overlap it")
    return image.crop((left, top, right, bottom))


def with_resizing(images: ImageSet, resizing: Resizing | None) -> ImageSet:
    """Return a set of image files with this resizing; other sets and crops are unchanged."""
    default = isinstance(images, FolderImages) and images.resize == resize_side(images.image_size)
    if resizing is None or not isinstance(images, FolderImages) or not default:
        return images
    return replace(images, resize=resizing.short_side, interpolation=resizing.interpolation)


def is_resized(images: ImageSet) -> bool:
    """Return whether a set has image files that are resized, not cropped like some OOD sets."""
    original = getattr(images, "original", images)
    return isinstance(original, FolderImages) and original.resize is not None


def has_full_resolution(images: ImageSet) -> bool:
    """Return whether a set has files that are larger than its preprocessed images."""
    if isinstance(images, Subset):
        return has_full_resolution(images.parent)
    return isinstance(images, FolderImages) and images.has_full_resolution


def full_resolution(images: ImageSet, row: int) -> Image.Image | torch.Tensor:
    """Return an image at its original size (a tensor if not a file); InputError if unreadable."""
    if isinstance(images, Subset):
        return full_resolution(images.parent, int(images.rows[row]))
    if isinstance(images, FolderImages):
        return images.full_resolution(row)
    return preprocessed(images, row)


def preprocessed(images: ImageSet, row: int) -> torch.Tensor:
    """Return an image, uint8 (channels, side, side), as at test time; InputError if unreadable."""
    (batch,) = images.batches(1, np.array([row]))
    return batch[0]
