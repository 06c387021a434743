"""Image files streamed from a folder: never more of them in memory than are looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sdd_eval.data.images import Labels, Pixels, chunks, on_device
from sdd_eval.errors import InputError

if TYPE_CHECKING:
    import torch

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
    origin: str
    class_names: tuple[str, ...] = ()
    resize: int | None = None
    boxes: Boxes | None = None
    """Left, top, right and bottom (n, 4) of what is cut out of each file first, in pixels."""

    @property
    def photographs(self) -> bool:
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
        following, threads = chunks(len(self), size, wanted), torch.get_num_threads()
        if threads == 1:
            for rows in following:
                yield on_device(np.stack([*map(self._pixels, rows)]), device)
            return
        with ThreadPoolExecutor(threads) as pool:
            waiting = [pool.submit(self._pixels, row) for row in next(following, ())]
            try:
                while waiting:
                    pixels = np.stack([each.result() for each in waiting])
                    waiting = [pool.submit(self._pixels, row) for row in next(following, ())]
                    yield on_device(pixels, device)
            finally:
                pool.shutdown(cancel_futures=True)

    def original(self, row: int) -> Image.Image:
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

    def fitted(self, row: int) -> Image.Image:
        """An image as a network sees it when it is tested."""
        try:
            return fit(self.original(row), self.resize, self.image_size)
        except InputError as error:
            path = str(self.folder / self.files[row])
            told = str(error) if str(error).startswith(path) else f"{path}: {error}"
            raise InputError(told) from error

    def _pixels(self, row: int) -> Pixels:
        """One image as (channels, side, side)."""
        pixels = np.asarray(self.fitted(row))
        return pixels[None] if self.channels == 1 else pixels.transpose(2, 0, 1)


def enlarged(side: int) -> int:
    """To what the short side of a photograph is scaled before its crop: 256 for 224.

    Smaller images are no photographs of which a part is cut; they are scaled to the side itself.

    >>> enlarged(224), enlarged(32)
    (256, 32)
    """
    return round(side * 256 / 224) if side >= LARGE_SIDE else side


def fit(image: Image.Image, resize: int | None, side: int) -> Image.Image:
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
