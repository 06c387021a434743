"""The README is run: each of its commands on images that are here, its Python as it stands."""

from __future__ import annotations

import io
import re
import shlex
import sys
import tarfile
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sdd_eval
from sdd_eval import plugins
from sdd_eval.cli import COMMANDS, exit_code
from sdd_eval.data import catalogue
from sdd_eval.models.build import build
from sdd_eval.records import ModelSpec
from sdd_eval.report.drawing import draw

README = Path(sdd_eval.__file__).parent.parent / "README.md"
pytestmark = pytest.mark.skipif(not README.exists(), reason="the README is not installed")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), flags=re.DOTALL)


def commands() -> list[str]:
    lines = [line.split(" #")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("sdd-eval")]


EVALUATORS = {
    *("accuracy", "calibration", "selective", "fgsm", "attack", "corruption", "odin", "ood"),
}

#: What the README says of CIFAR-100 and hours, in digits and seconds.
SMALL = {
    "--arch resnet56 --weights resnet56.pt --dataset cifar100 --expect 72.6": "--arch small_cnn "
    "--weights theirs.pt --dataset digits",
    "--dataset cifar100 --arch resnet18": "--dataset digits --arch small_cnn --epochs 1 "
    "--standardisation digits --augmentation none",
    "--probe-epochs 0 100 200": "--probe-epochs 0 1 --seed 1",
    "corrupt cifar100": "corrupt pets",
    "cifar100-resnet18": "digits-small_cnn",
    "cifar100": "digits",
    "lsun_resize isun dtd svhn": "photo_patches dtd",
    "--audit": "--audit --steps 2 --restarts 1 --parameters n_queries=5",
    "--from imagenet-torchvision_resnet152-ce-seed0 --schedule half": "--from backbone --dataset "
    "shapes --epochs 1 --batch-size 2 --min-size 32 --max-size 64 --channels 8 --regions 8",
    "coco-fasterrcnn-7epochs-imagenet-torchvision_resnet152-ce-seed0": "shapes-fasterrcnn-1epochs-"
    "backbone",
    "--dataset cub200 --arch torchvision:resnet18 --batch-size 32": "--dataset cub200 --arch "
    "small_cnn --batch-size 4 --image-size 128 --epochs 1",
    "paper claims": "paper claims --arch resnet8 --batch-size 4 --steps 1",
    "~/pets": "pets.npz",
    "~/imagenet": "imagenet",
    "~/coco": "coco",
    "~/downloads/dtd-r1.0.1.tar.gz": "dtd.tar.gz",
}


def small(command: str) -> list[str]:
    for large, replacement in SMALL.items():
        command = command.replace(large, replacement)
    arguments = shlex.split(command)[1:]
    return [*arguments, "--limit", "40"] if arguments[0] in EVALUATORS else arguments


def write_dtd(path: Path) -> None:
    """A few textures in the layout of the publisher's archive."""
    picture = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize((60, 48)).save(picture, "JPEG")
    with tarfile.open(path, "w:gz") as archive:
        for index in range(3):
            member = tarfile.TarInfo(f"dtd/images/banded/banded_{index:04}.jpg")
            member.size = len(picture.getvalue())
            archive.addfile(member, io.BytesIO(picture.getvalue()))


def test_every_command_of_the_readme_runs(
    tmp_path, monkeypatch, capfd, write_imagenet, write_cub, write_coco, write_backbone
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDD_EVAL_DATA", str(tmp_path / "data"))
    write_dtd(tmp_path / "dtd.tar.gz")
    write_imagenet(tmp_path, 6)
    write_cub(tmp_path / "data")
    write_coco(tmp_path / "data")
    write_coco(tmp_path, "coco")
    write_backbone(tmp_path / "checkpoints" / "backbone", "resnet18w16")
    pets = np.random.default_rng(0).integers(0, 256, (6, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "pets.npz", images=pets, labels=np.arange(6) % 2)
    theirs = build(ModelSpec("small_cnn", 10, (0.3,), (0.4,), 8))
    torch.save({"state_dict": theirs.state_dict()}, tmp_path / "theirs.pt")
    ran = set()
    for command in commands():
        arguments = small(command)
        if arguments[:2] in (["data", "get"], ["quickstart"]):
            continue  # the one needs a network, the other is the demo: both are tested elsewhere
        with monkeypatch.context() as patch:
            if arguments[0] in (
                "batch",
                "report",
            ):  # whatever format fails, their page only says it
                patch.setattr(draw, "FORMATS", ("svg",))
            code = exit_code(arguments)
        said = capfd.readouterr()
        assert code == 0, (command, said.err)
        assert said.out, command
        ran.add(arguments[0])
    assert (tmp_path / "reports/default/index.html").exists()
    assert ran == {*COMMANDS, *EVALUATORS} - {"quickstart"}


def test_every_command_that_there_is_stands_in_the_readme():
    named = {shlex.split(command)[1] for command in commands()}
    assert set(COMMANDS) <= named


def test_every_method_that_there_is_stands_in_the_readme():
    rows = re.findall(r"^\| `(\w+)` \|", README.read_text(), flags=re.MULTILINE)
    assert set(plugins.names("methods")) <= set(rows)


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDD_EVAL_DATA", str(tmp_path / "data"))
    flags = "train --dataset digits --arch small_cnn --epochs 1 --standardisation digits"
    assert exit_code([*flags.split(), "--augmentation", "none"]) == 0


@pytest.mark.usefixtures("checkpoint")
def test_the_readmes_python_loads_and_measures(capsys):
    (code,) = [block for block in blocks("python") if "sdd_eval.load" in block]
    exec(compile(code, "README.md", "exec"), {})
    assert re.fullmatch(r"\{'ece': 0\.\d+\}\n", capsys.readouterr().out.splitlines(True)[-1])


def test_the_readmes_detector_is_a_detector():
    import torch

    from sdd_eval.evaluators.ood.detectors.batch import Batch

    (code,) = [block for block in blocks("python") if "class Lead" in block]
    found: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), found)
    network = build(ModelSpec("small_cnn", 3, (0.3,), (0.4,), 8)).eval()
    batch = Batch(network, torch.rand(4, 1, 8, 8))
    ranked = batch.logits.sort(dim=1).values
    torch.testing.assert_close(found["Lead"]().scores(batch), ranked[:, -1] - ranked[:, -2])


def test_the_readmes_evaluator_is_an_evaluator(tmp_path, monkeypatch):
    (code,) = [block for block in blocks("python") if "class Certainty" in block]
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    package = types.ModuleType("my_package")
    monkeypatch.setitem(sys.modules, "my_package", package)
    exec(compile(code, "README.md", "exec"), package.__dict__)
    network = build(ModelSpec("small_cnn", 10, (0.3,), (0.4,), 8))
    images = catalogue.load_images("digits", tmp_path)
    run = sdd_eval.evaluate(network, package.Certainty(), data=images, limit=50)
    (sure,) = run.measurements
    logits = run.arrays["logits"]
    first, second = (-logits).argsort(axis=1)[:, :2].T
    rows = range(50)
    assert sure.value == (logits[rows, first] - logits[rows, second] > 2).mean()
    assert sure.at == {"margin": 2.0}
