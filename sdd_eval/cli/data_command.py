"""`sdd-eval data list | get | add | corrupt | check | cache`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from sdd_eval import cli, data
from sdd_eval.cli.flags import Cache, DataRoot, Name, parse
from sdd_eval.cli.terminal import megabytes, print_warnings, table
from sdd_eval.cli.verbosity import Verbosity
from sdd_eval.data.catalogue import dataset, list_datasets, load_images, regenerated_folder
from sdd_eval.data.classes import class_sizes, text_order_warning
from sdd_eval.data.install.add import add
from sdd_eval.data.install.download import download
from sdd_eval.data.install.verify import verify
from sdd_eval.data.root import data_root
from sdd_eval.device import available_threads
from sdd_eval.errors import InputError, unknown_name
from sdd_eval.evaluators.cache import entries, max_bytes, outputs_folder, trim
from sdd_eval.metrics.corruption import NINETEEN
from sdd_eval.validation import FROM_0, THREADS, bounded

Names = Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="NAME…")]


@dataclass(frozen=True)
class RootFlags:
    """Where data sets are stored."""

    storage: DataRoot = field(default_factory=DataRoot)

    @property
    def folder(self) -> Path:
        """The data root."""
        return data_root(self.storage.data_root)


@dataclass(frozen=True)
class NamesFlags(RootFlags):
    """Which data sets."""

    name: Names = ()
    """Names of built-in data sets, or of folders in the data root."""
    output: Verbosity = field(default_factory=Verbosity)


@dataclass(frozen=True)
class AddFlags(RootFlags):
    """What is added, and under which name."""

    name: Name = ""
    """Name of a built-in data set, or a new name for a folder of images."""
    path: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="PATH")] = Path()
    """A folder, an archive or a file."""


@dataclass(frozen=True)
class CorruptFlags(RootFlags):
    """Which test set is corrupted, and how."""

    name: Name = ""
    """Data set whose test images are corrupted."""
    corruptions: tuple[str, ...] = ()
    """Names of corruptions; default: all 19."""
    seed: int = bounded(0, FROM_0)
    """Random seed."""
    frost_photographs: tuple[Path, ...] = ()
    """Photographs of frost, or folders of them; default: synthetic frost of about the same
    strength. Of the six published photographs (frost1.png to frost6.jpg), only the first five are
    used, as by Hendrycks and Dietterich."""
    threads: int = bounded(available_threads(), THREADS)
    """Number of worker processes."""
    output: Verbosity = field(default_factory=Verbosity)


@dataclass(frozen=True)
class CacheFlags:
    """Location of the cache, and whether to clear it."""

    clear: bool = False
    """Delete everything in the cache."""
    storage: Cache = field(default_factory=Cache)


def run(arguments: Sequence[str]) -> int:
    """Call the command named by the first argument with the remaining arguments."""
    if not arguments or arguments[0] in ("-h", "--help"):
        lines = "\n".join(f"  {name:<9}{line}" for name, (_, line) in COMMANDS.items())
        print(f"usage: sdd-eval data COMMAND [OPTIONS]\n\n{lines}")
        return 0
    if arguments[0] not in COMMANDS:
        raise unknown_name("data command", arguments[0], COMMANDS)
    return COMMANDS[arguments[0]][0](arguments[1:])


def _list(arguments: Sequence[str]) -> int:
    flags = parse(RootFlags, arguments, "data list", COMMANDS["list"][1])
    cells = [
        (
            row.name,
            row.provenance,
            f"{row.images:,}" if row.images else "",
            row.source or row.summary,
        )
        for row in list_datasets(flags.folder)
    ]
    print(table(cells, ("name", "on disk", "test images", "source")))
    print(f"\ndata root: {flags.folder}")
    return 0


def _get(arguments: Sequence[str]) -> int:
    flags = parse(NamesFlags, arguments, "data get", COMMANDS["get"][1])
    _require(flags.name, "data get NAME…")
    failed = []
    for name in flags.name:
        try:
            with cli.Bar(f"{name}: ") as bar:
                status = download(dataset(name, flags.folder).plugin, flags.folder, bar)
            print(f"{name}: {status.images:,} images, {status.provenance} ({status.location})")
        except InputError as error:  # one failed download must not stop the others
            failed.append(str(error))
    if failed:
        raise InputError("; ".join(failed))
    return 0


def _add(arguments: Sequence[str]) -> int:
    flags = parse(AddFlags, arguments, "data add", COMMANDS["add"][1])
    if not flags.name or flags.path == Path():
        raise InputError("name or path is missing; use: sdd-eval data add NAME PATH")
    status = add(flags.name, flags.path, flags.folder)
    print(f"{flags.name}: {status.images:,} images, {status.provenance} ({status.location})")
    plugin = dataset(flags.name, flags.folder).plugin
    if hasattr(plugin, "load_corrupted"):
        missing = plugin.load_corrupted(flags.folder).broken.values()
        print_warnings(f"{why}; the labels of the test set will be used" for why in missing)
        return 0
    images = load_images(flags.name, flags.folder)
    print_warnings(text_order_warning(images))
    if sizes := class_sizes(images):
        print(sizes)
    return 0


def _corrupt(arguments: Sequence[str]) -> int:
    flags = parse(CorruptFlags, arguments, "data corrupt", COMMANDS["corrupt"][1])
    _require((flags.name,) if flags.name else (), "data corrupt NAME")
    images = load_images(flags.name, flags.folder)
    folder = regenerated_folder(images.name, flags.folder)
    with cli.Bar() as bar:
        data.write_corrupted(
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
    flags = parse(NamesFlags, arguments, "data check", COMMANDS["check"][1])
    on_disk = [
        row.name
        for row in list_datasets(flags.folder)
        if row.location and row.provenance != "absent"
    ]
    cells, failed = [], []
    for name in flags.name or on_disk:
        try:
            with cli.Bar(f"{name}: ") as bar:
                results = verify(name, flags.folder, bar)
        except InputError as error:  # one absent set must not stop the others
            failed.append(str(error))
            continue
        cells += [(name, result.item, result.verdict, result.detail) for result in results]
    if cells:
        print(table(cells, ("name", "item", "verdict", "detail")))
    if failed:
        raise InputError("; ".join(failed))
    return 1 if any(verdict in ("wrong", "missing") for _, _, verdict, _ in cells) else 0


def _cache(arguments: Sequence[str]) -> int:
    flags = parse(CacheFlags, arguments, "data cache", COMMANDS["cache"][1])
    folder = outputs_folder(flags.storage.cache)
    if folder is None:
        print("the cache is off")
        return 0
    if flags.clear:
        print(f"{folder}: {megabytes(trim(folder, 0))} deleted")
        return 0
    cached = entries(folder)
    cells = [
        (e.network, e.images, f"{e.n:,}", megabytes(e.size), f"{e.used:%F %R}") for e in cached
    ]
    if cells:
        print(table(cells, ("network", "data set", "images", "size", "last used")), end="\n\n")
    total = megabytes(sum(entry.size for entry in cached))
    print(f"{folder}: {total} of at most {megabytes(max_bytes())} ($SDD_EVAL_CACHE_GB)")
    return 0


def _require(names: Sequence[str], usage: str) -> None:
    if not names:
        raise InputError(
            f"no data set is named; use: sdd-eval {usage} (`sdd-eval data list` prints the names)"
        )


#: Commands and their descriptions.
COMMANDS: dict[str, tuple[Callable[[Sequence[str]], int], str]] = {
    "list": (_list, "List the data sets: name, whether it is on disk, size, source."),
    "get": (_get, "Download, verify and unpack data sets: data get NAME…"),
    "add": (_add, "Add a folder, an archive or a file that you have: data add NAME PATH"),
    "corrupt": (
        _corrupt,
        "Generate a test set with the corruptions of CIFAR-10-C: data corrupt NAME",
    ),
    "check": (_check, "Verify files against the publisher's checksums: data check [NAME…]"),
    "cache": (_cache, "Show or clear the cached logits and features: data cache [--clear]"),
}
