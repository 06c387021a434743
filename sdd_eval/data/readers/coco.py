"""COCO 2017, and any folder of its layout: photographs with the boxes of the objects in them.

Source: T.-Y. Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sdd_eval.data.dataset import Archive, Status
from sdd_eval.data.detection_images import (
    SPLITS,
    CocoImages,
    annotation_file,
    images_folder,
    is_coco,
    refuse_missing,
)
from sdd_eval.data.fingerprints import known_folder, of_file, of_folder, of_parts
from sdd_eval.data.image_folder import FolderImages, enlarged
from sdd_eval.data.provenance import (
    ABSENT,
    USERS_FOLDER,
    judged,
    missing,
    require_split,
    vouched,
)
from sdd_eval.data.readers.coco_annotations import read_annotations
from sdd_eval.data.readers.image_files import image_files
from sdd_eval.errors import InputError

#: The size at which the photographs are looked at where none is asked for.
SIDE = 224


@dataclass(frozen=True)
class CocoFolder:
    """Photographs below `folder` (relative to the data root, or absolute) in COCO's layout.

    "test" is what COCO calls val. As a set of images they have no labels, since an image shows
    objects of many categories. `published` is how many images each split has; None marks a folder
    of the user's.
    """

    name: str
    summary: str
    folder: str
    published: Mapping[str, int] | None = None
    archives: tuple[Archive, ...] = ()

    def status(self, root: Path) -> Status:
        """What there is of the test images; names are read, images and annotations are not."""
        place = root / self.folder
        if not is_coco(place):
            return Status(ABSENT, 0, str(place))
        count = len(image_files(images_folder(annotation_file(place, "test"))))
        return Status(self._origin(root, "test", count), count, str(place))

    def load(
        self,
        root: Path,
        split: str = "test",
        *,
        image_size: int | None = None,
        channels: int | None = None,
    ) -> FolderImages:
        """The images of a split as a network for images sees them, without labels."""
        folder = images_folder(self._annotated(root, split))
        files = image_files(folder)
        if not files:
            raise InputError(f"{folder} holds no images")
        side = image_size or SIDE
        return FolderImages(
            name=self.name,
            folder=folder,
            files=files,
            image_size=side,
            channels=channels or 3,
            labels=None,
            fingerprint=of_folder(folder, files),
            origin=self._origin(root, split, len(files)),
            resize=enlarged(side),
        )

    def load_objects(self, root: Path, split: str = "test") -> CocoImages:
        """The images that the annotations of a split name, with the objects in them.

        Raises:
            InputError: the set is absent, its annotations are broken, or an image that they name is
                missing.
        """
        path = self._annotated(root, split)
        annotations, folder = read_annotations(path), images_folder(path)
        refuse_missing(folder, annotations.files)
        return CocoImages(
            name=self.name,
            folder=folder,
            annotations=annotations,
            fingerprint=of_parts(of_file(path).sha256, of_folder(folder, annotations.files)),
            origin=self._origin(root, split, len(annotations.files)),
        )

    def content(self, root: Path, *, fresh: bool = False) -> str:
        """sha256 of the names and contents of both splits' images and annotations."""
        place = root / self.folder
        return of_folder(place, self._files(place), fresh=fresh)

    def _annotated(self, root: Path, split: str) -> Path:
        """The file of annotations of a split."""
        require_split(self.name, split, *SPLITS)
        place = root / self.folder
        if not is_coco(place):
            raise missing(self.name, place, bool(self.archives))
        return annotation_file(place, split)

    def _files(self, place: Path) -> tuple[str, ...]:
        """Every file that belongs to the set, below `place`."""
        found: list[str] = []
        for split in SPLITS:
            with contextlib.suppress(InputError):  # a split that is not there
                annotated = annotation_file(place, split)
                folder = images_folder(annotated)
                images = [f"{folder.name}/{name}" for name in image_files(folder)]
                found += [f"{annotated.parent.name}/{annotated.name}", *images]
        return tuple(found)

    def _origin(self, root: Path, split: str, count: int) -> str:
        """How far a split is its publisher's.

        Of 123,287 photographs only what the cache knows is compared: they are hashed when they are
        downloaded, and by `sdd-eval data check`.
        """
        if self.published is None:
            return USERS_FOLDER
        if count != self.published[split]:
            return judged(count, self.published[split], False)
        place = root / self.folder
        verified = vouched(root, known_folder(place, self._files(place)))
        return judged(count, self.published[split], verified)


def _archive(address: str, md5: str, size: int) -> Archive:
    url = f"http://images.cocodataset.org/{address}"
    return Archive(url, md5, filename=url.split("/")[-1], folder="coco", size=size)


COCO = CocoFolder(
    name="coco",
    summary="5,000 test, 118,287 training photographs with boxes of objects in 80 categories",
    folder="coco",
    published={"train": 118_287, "test": 5_000},
    archives=(
        _archive("zips/val2017.zip", "442b8da7639aecaf257c1dceb8ba8c80", 815_585_330),
        _archive(
            "annotations/annotations_trainval2017.zip",
            "f4bbac642086de4f52a3fdda2de5fa2c",
            252_907_541,
        ),
        _archive("zips/train2017.zip", "cced6f7f71b7629ddf16f17bbcfab6b2", 19_336_861_798),
    ),
)
