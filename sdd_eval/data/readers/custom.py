"""Whatever the user keeps in a folder → the kind of data set that it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sdd_eval.data.dataset import Archive, Dataset, Status
from sdd_eval.data.detection_images import is_coco
from sdd_eval.data.images import ImageSet
from sdd_eval.data.provenance import ABSENT, USERS_FOLDER, missing
from sdd_eval.data.readers.coco import CocoFolder
from sdd_eval.data.readers.corrupted_folder import CorruptedFolder, counted, open_folder, present
from sdd_eval.data.readers.folders import FolderSet
from sdd_eval.data.readers.npz import NpzSet, npz_files
from sdd_eval.errors import InputError


@dataclass(frozen=True)
class CorruptedUsers:
    """A corrupted test set of the user's, in the layout of CIFAR-C: `fog.npy` …, `labels.npy`."""

    name: str
    summary: str
    folder: str
    archives: tuple[Archive, ...] = ()

    def status(self, root: Path) -> Status:
        """What is there; of the images only a header is read."""
        place = root / self.folder
        found = present(place)
        if not found:
            return Status(ABSENT, 0, str(place))
        return Status(USERS_FOLDER, *counted(place, found))

    def load(
        self,
        root: Path,
        split: str = "test",
        *,
        image_size: int | None = None,
        channels: int | None = None,
    ) -> ImageSet:
        """Refused: this is one set of images for every corruption and severity.

        Raises:
            InputError: always.
        """
        raise InputError(
            f"{self.name} is a test set in many corruptions, not one set of images; "
            "name it where corruptions are asked for: --corrupted"
        )

    def load_corrupted(self, root: Path) -> CorruptedFolder:
        """The set, with the corruptions that are there.

        Raises:
            InputError: there is none that can be used, or `labels.npy` contradicts them.
        """
        place = root / self.folder
        if not present(place):
            raise missing(self.name, place, downloadable=False)
        return open_folder(self.name, place, lambda count, sums: USERS_FOLDER, frost="unknown")


def users_set(path: Path, name: str | None = None) -> Dataset:
    """Any folder of the user's, or `.npz` file, as a set under its own name."""
    path = path.absolute()  # or it would be looked for below the data root
    called = name or (path.stem if path.is_file() else path.resolve().name)
    if npz_files(path):
        return NpzSet(called, "arrays of images", str(path))
    if present(path) and (path / "labels.npy").is_file():
        return CorruptedUsers(called, "a test set in corruptions", str(path))
    if is_coco(path):
        return CocoFolder(called, "images with the boxes of objects", str(path))
    return FolderSet(called, "folder of images", str(path))
