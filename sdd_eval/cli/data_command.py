"""`sdd-eval data list | get | add | corrupt | check | cache`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from sdd_eval.cli.flags import parse, table
from sdd_eval.cli.progress_bar import Bar
from sdd_eval.data.root import data_root
from sdd_eval.errors import InputError, unknown_name

DESCRIPTION = {
    "list": "name, on the disk or not, images, where from",
    "get": "download, verify and unpack: data get NAME…",
    "add": "place a folder or an archive that you have: data add NAME PATH",
    "corrupt": "make a CIFAR-C-style set from its recipe: data corrupt NAME",
    "check": "compare every checksum with the publisher's: data check [NAME…]",
    "cache": "logits and features that are kept between evaluations: data cache [--clear]",
}

Names = Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="NAME…")]


@dataclass(frozen=True)
class Root:
    """Where data sets lie."""

    data_root: Path | None = None
    """Where data sets lie; by default $SDD_EVAL_DATA, else the user's cache folder."""

    @property
    def folder(self) -> Path:
        """The data root."""
        return data_root(self.data_root)


@dataclass(frozen=True)
class Named(Root):
    """Which sets, and where they lie."""

    name: Names = ()
    """Names of the catalogue, or of folders in the data root."""


@dataclass(frozen=True)
class Added(Root):
    """What is added under which name."""

    name: tyro.conf.Positional[str] = ""
    """Name in the catalogue, or a new one for a folder of images."""
    path: tyro.conf.Positional[Path] = Path()
    """A folder, an archive, or a file."""


@dataclass(frozen=True)
class Corrupted(Root):
    """What is corrupted, and how."""

    name: tyro.conf.Positional[str] = ""
    """The set whose test images are corrupted."""
    corruptions: tuple[str, ...] = ()
    """Only these; by default all 19."""
    seed: int = 0
    """Seed of everything random."""
    frost_photographs: tuple[Path, ...] = ()
    """Photographs of frost, or folders of them; by default frost is synthesised."""
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Processes to share the work; by default one a core."""


@dataclass(frozen=True)
class Kept:
    """Where logits and features are kept, and whether they stay."""

    cache: str | None = None
    """Folder; by default $SDD_EVAL_CACHE, else in the user's cache folder."""
    clear: bool = False
    """Delete all of it."""


def run(arguments: Sequence[str]) -> int:
    """Match the second word and hand over the rest."""
    if not arguments or arguments[0] in ("-h", "--help"):
        lines = "\n".join(f"  {name:<9}{line}" for name, line in DESCRIPTION.items())
        print(f"usage: sdd-eval data COMMAND …\n\n{lines}")
        return 0
    if arguments[0] not in COMMANDS:
        raise unknown_name("data command", arguments[0], COMMANDS)
    return COMMANDS[arguments[0]](arguments[1:])


def _list(arguments: Sequence[str]) -> int:
    flags = parse(Root, arguments, "data list", DESCRIPTION["list"])
    from sdd_eval.data.catalogue import list_datasets

    found = [
        (
            row.name,
            row.provenance,
            f"{row.images:,}" if row.images else "",
            row.source or row.summary,
        )
        for row in list_datasets(flags.folder)
    ]
    print(table(found, ("name", "on disk", "test images", "where from")))
    print(f"\ndata root: {flags.folder}")
    return 0


def _get(arguments: Sequence[str]) -> int:
    flags = parse(Named, arguments, "data get", DESCRIPTION["get"])
    _require(flags.name, "data get NAME…")
    from sdd_eval.data.catalogue import dataset
    from sdd_eval.data.install.download import download

    failed = []
    for name in flags.name:
        try:
            with Bar(f"{name}: ") as bar:
                status = download(dataset(name, flags.folder), flags.folder, bar)
            print(f"{name}: {status.images:,} images, {status.provenance} ({status.location})")
        except InputError as error:  # one dead address does not keep the others away
            failed.append(str(error))
    if failed:
        raise InputError("; ".join(failed))
    return 0


def _add(arguments: Sequence[str]) -> int:
    flags = parse(Added, arguments, "data add", DESCRIPTION["add"])
    if not flags.name or flags.path == Path():
        raise InputError("which set, and what is it made of? sdd-eval data add NAME PATH")
    from sdd_eval.data.install.add import add

    status = add(flags.name, flags.path, flags.folder)
    print(f"{flags.name}: {status.images:,} images, {status.provenance} ({status.location})")
    return 0


def _corrupt(arguments: Sequence[str]) -> int:
    flags = parse(Corrupted, arguments, "data corrupt", DESCRIPTION["corrupt"])
    _require((flags.name,) if flags.name else (), "data corrupt NAME")
    from sdd_eval.metrics.corruption import NINETEEN

    if flags.threads < 1:
        raise InputError(f"--threads is {flags.threads}; it must be 1 or more")
    from sdd_eval.data.catalogue import load_images, regenerated_folder
    from sdd_eval.data.corruption.writer import write_corrupted

    images = load_images(flags.name, flags.folder)
    folder = regenerated_folder(images.name, flags.folder)
    with Bar() as bar:
        write_corrupted(
            images,
            folder,
            corruptions=flags.corruptions or NINETEEN,
            seed=flags.seed,
            frost_photos=flags.frost_photographs or None,
            workers=flags.threads,
            progress=bar,
        )
    print(f"{folder}: regenerated")
    return 0


def _check(arguments: Sequence[str]) -> int:
    flags = parse(Named, arguments, "data check", DESCRIPTION["check"])
    from sdd_eval.data.catalogue import list_datasets
    from sdd_eval.data.install.verify import verify

    on_disk = [
        row.name
        for row in list_datasets(flags.folder)
        if row.location and row.provenance != "absent"
    ]
    found = []
    for name in flags.name or on_disk:
        with Bar(f"{name}: ") as bar:
            found += [(name, f.item, f.verdict, f.detail) for f in verify(name, flags.folder, bar)]
    print(table(found, ("name", "what", "verdict", "detail")))
    return 1 if any(verdict in ("wrong", "missing") for _, _, verdict, _ in found) else 0


def _cache(arguments: Sequence[str]) -> int:
    flags = parse(Kept, arguments, "data cache", DESCRIPTION["cache"])
    from sdd_eval.evaluation.cache import entries, most_bytes, outputs_folder, trim

    folder = outputs_folder(flags.cache)
    if folder is None:
        print("nothing is kept: off")
        return 0
    if flags.clear:
        print(f"{folder}: {_megabytes(trim(folder, 0))} deleted")
        return 0
    found = entries(folder)
    rows = [(e.network, e.images, f"{e.n:,}", _megabytes(e.size), f"{e.used:%F %R}") for e in found]
    if rows:
        print(
            table(rows, ("network", "images of", "images", "size", "last used")),
            end="\n\n",
        )
    total = _megabytes(sum(each.size for each in found))
    print(f"{folder}: {total} of at most {_megabytes(most_bytes())} ($SDD_EVAL_CACHE_GB)")
    return 0


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _require(names: Sequence[str], usage: str) -> None:
    if not names:
        raise InputError(f"which set? sdd-eval {usage}; `sdd-eval data list` tells the names")


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "list": _list,
    "get": _get,
    "add": _add,
    "corrupt": _corrupt,
    "check": _check,
    "cache": _cache,
}
