"""What the scripts need before they start: the package's import path, packages, a GPU, data.

The package need not be installed: `prepare` writes the metadata by which its plugins are found, and
unpacks wheels of packages that this machine lacks. Nothing is installed.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

#: Modules of packages whose name is another one.
MODULES = {"scikit-learn": "sklearn", "pillow": "PIL"}
#: Seconds in which all packages must have been imported.
PATIENCE = 180


def prepare(scratch: Path, wheels: Path | None = None) -> dict[str, str]:
    """Make the checkout importable, here and for child processes; return their environment.

    Wheels of packages that are installed are ignored.
    """
    folders = [ROOT, scratch / "metadata", scratch / "wheels"]
    for wheel in sorted(wheels.glob("*.whl")) if wheels else ():
        if not _is_installed(wheel.name.split("-")[0]):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(scratch / "wheels")
    sys.path[:0] = [str(folder) for folder in folders]
    write_metadata(scratch / "metadata")
    importlib.invalidate_caches()
    before = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([*map(str, folders), *([before] if before else [])])
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def project() -> dict[str, Any]:
    """Return the table `project` of pyproject.toml."""
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    table: dict[str, Any] = toml.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def write_metadata(folder: Path) -> None:
    """Write what an installation would write: name, version and entry points of the package."""
    (version,) = re.findall(r'"(.+)"', (ROOT / "sdd_eval/version.py").read_text())[-1:]
    described = project()
    info = folder / f"sdd_eval-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    lines = ["Metadata-Version: 2.1", f"Name: {described['name']}", f"Version: {version}", ""]
    (info / "METADATA").write_text("\n".join(lines))
    groups = {**described["entry-points"], "console_scripts": described["scripts"]}
    points = [
        f"[{group}]\n" + "\n".join(f"{name} = {value}" for name, value in table.items())
        for group, table in groups.items()
    ]
    (info / "entry_points.txt").write_text("\n\n".join(points) + "\n")


def required_modules() -> list[str]:
    """Return the modules of all packages that the package depends on."""
    names = []
    for requirement in project()["dependencies"]:
        name = re.split(r"[<>=;\s]", requirement)[0]
        if name != "tomli" or sys.version_info < (3, 11):
            names.append(MODULES.get(name, name))
    return names


@dataclass(frozen=True)
class Found:
    """What a machine has: the error of each module that it lacks, its GPU, the data set."""

    failed: dict[str, str] = field(default_factory=dict)
    torch: str = ""
    gpu: str = ""
    data: bool = False


def look(dataset: str, data_root: str, environment: dict[str, str]) -> Found:
    """Return what a new process finds, so that a broken package cannot end this one."""
    command = [sys.executable, str(Path(__file__)), dataset, data_root]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=PATIENCE
        )
        return Found(**json.loads(done.stdout.splitlines()[-1]))
    except subprocess.TimeoutExpired:
        return Found({"all packages": f"it took more than {PATIENCE} s"})
    except (IndexError, ValueError, TypeError):
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        return Found({"the package": f"exit code {done.returncode}: {last}"})


def problems(found: Found, device: str, dataset: str) -> list[str]:
    """Return why nothing can run, a line each; `dataset` is the one to train on, if any."""
    if found.failed:
        lines = [f"cannot import {name}: {why}" for name, why in found.failed.items()]
        return [*lines, "put wheels of what is missing into a folder and give it as --wheels"]
    lines = []
    if device.startswith("cuda") and not found.gpu:
        lines.append("torch sees no GPU here; `--device cpu --small` tries everything on a CPU")
    if dataset and not found.data:
        lines.append(
            f"{dataset} is not on disk: run `sdd-eval data get {dataset}`, or name its folder by "
            "--data-root; --no-study does without"
        )
    return lines


def _look(name: str, data_root: str) -> dict[str, Any]:
    failed = {}
    for module in required_modules():
        try:
            importlib.import_module(module)
        except Exception as error:  # a broken package may raise anything
            failed[module] = f"{type(error).__name__}: {error}".splitlines()[0]
    if failed:
        return {"failed": failed}
    import torch

    from sdd_eval.data.catalogue import dataset
    from sdd_eval.data.root import data_root as root_of

    root = root_of(Path(data_root) if data_root else None)
    return {
        "torch": torch.__version__,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
        "data": dataset(name, root).present,
    }


if __name__ == "__main__":
    print(json.dumps(_look(*sys.argv[1:])))
