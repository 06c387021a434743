"""CIFAR-10-C and CIFAR-100-C as published: one `.npy` a corruption, mapped into memory.

Source: D. Hendrycks and T. Dietterich, "Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations", 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sdd_eval.data.dataset import Archive, Status
from sdd_eval.data.fingerprints import known_file
from sdd_eval.data.images import ImageSet
from sdd_eval.data.provenance import ABSENT, REGENERATED, judged, missing, vouched
from sdd_eval.data.readers.corrupted_folder import (
    CorruptedFolder,
    Sums,
    content_of,
    counted,
    open_folder,
    present,
    read_regenerated,
    sums_of,
)
from sdd_eval.errors import InputError


@dataclass(frozen=True)
class CorruptedArchive:
    """An official archive; `md5` maps corruptions to checksums, empty where none are published."""

    name: str
    summary: str
    folder: str
    clean: str
    md5: dict[str, str]
    archives: tuple[Archive, ...]

    @property
    def checksums(self) -> dict[str, str]:
        """The publisher's md5 of each file, by its path below the data root."""
        return {f"{self.folder}/{name}.npy": md5 for name, md5 in self.md5.items()}

    def status(self, root: Path) -> Status:
        """What is on the disk: headers are read, checksums are those remembered."""
        place = root / self.folder
        found = present(place)
        if not found:
            return Status(ABSENT, 0, str(place))
        count, where = counted(place, found)
        if read_regenerated(place):
            return Status(REGENERATED, count, where)
        known = {name: known_file(place / f"{name}.npy") for name in (*found, "labels")}
        sums = {name: digests for name, digests in known.items() if digests is not None}
        verified = len(sums) == len(known) and self._verified(root, sums)
        return Status(judged(count, 10_000, verified), count, where)

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
            f"{self.name} is {self.clean} in many corruptions, not one set of images; "
            f"it goes where corruptions are asked for"
        )

    def load_corrupted(self, root: Path) -> CorruptedFolder:
        """The set, with the corruptions that are there.

        Raises:
            InputError: there is none that can be used, or `labels.npy` contradicts them.
        """
        place = root / self.folder
        if not present(place):
            raise missing(self.name, place, bool(self.archives))
        return open_folder(
            self.name,
            place,
            lambda count, sums: judged(count, 10_000, self._verified(root, sums)),
        )

    def content(self, root: Path, *, fresh: bool = False) -> str:
        """sha256 over the files' own."""
        place = root / self.folder
        return content_of(sums_of(place, (*present(place), "labels"), fresh=fresh))

    def _verified(self, root: Path, sums: Sums) -> bool:
        """Whether every file is the publisher's: by its md5, or by the archive it came out of."""
        if self.md5:
            return all(self.md5[name] == digests.md5 for name, digests in sums.items())
        return vouched(root, content_of(sums))


CIFAR10_C = CorruptedArchive(
    name="cifar10_c",
    summary="the test images of cifar10 in 19 corruptions at 5 severities",
    folder="CIFAR-10-C",
    clean="cifar10",
    md5={},
    archives=(
        Archive(
            url="https://zenodo.org/records/2535967/files/CIFAR-10-C.tar",
            md5="56bf5dcef84df0e2308c6dcbcbbd8499",
            filename="CIFAR-10-C.tar",
        ),
    ),
)

CIFAR100_C = CorruptedArchive(
    name="cifar100_c",
    summary="the test images of cifar100 in 19 corruptions at 5 severities",
    folder="CIFAR-100-C",
    clean="cifar100",
    md5={
        "gaussian_noise": "ecc4d366eac432bdf25c024086f5e97d",
        "shot_noise": "b0a1fa6e1e465a747c1b204b1914048a",
        "impulse_noise": "3b3c210ddfa0b5cb918ff4537a429fef",
        "defocus_blur": "d923e3d9c585a27f0956e2f2ad832564",
        "glass_blur": "0bf384f38e5ccbf8dd479d9059b913e1",
        "motion_blur": "732a7e2e54152ff97c742d4c388c5516",
        "zoom_blur": "0204613400c034a81c4830d5df81cb82",
        "snow": "0237be164583af146b7b144e73b43465",
        "frost": "3a39c6823bdfaa0bf8b12fe7004b8117",
        "fog": "4efc7ebd5e82b028bdbe13048e3ea564",
        "brightness": "f22d7195aecd6abb541e27fca230c171",
        "contrast": "322bb385f1d05154ee197ca16535f71e",
        "elastic_transform": "a0792bd6581f6810878be71acedfc65a",
        "pixelate": "96c00c60f144539e14cffb02ddbd0640",
        "jpeg_compression": "c851b7f1324e1d2ffddeb76920576d11",
        "speckle_noise": "e3f215b1a0f9fd9fd6f0d1cf94a7ce99",
        "gaussian_blur": "5204ba0d557839772ef5a4196a052c3e",
        "spatter": "12ccf41d62564d36e1f6a6ada5022728",
        "saturate": "c0697e9fdd646916a61e9c312c77bf6b",
        "labels": "bb4026e9ce52996b95f439544568cdb2",
    },
    archives=(
        Archive(
            url="https://zenodo.org/records/3555552/files/CIFAR-100-C.tar",
            md5="11f0ed0f1191edbf9fa23466ae6021d3",
            filename="CIFAR-100-C.tar",
            size=2_918_473_216,
        ),
    ),
)
