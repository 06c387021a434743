"""An engineer with a folder of images and two files of weights decides between them in CI."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

pytestmark = pytest.mark.slow

CLASSES = ("ant", "bee", "cat", "dog")
#: The name for `--arch` of a small network of each library.
ARCHS = ("torchvision:shufflenet_v2_x0_5", "timm:test_resnet")


def network(arch: str) -> torch.nn.Module:
    """Build an untrained network with a seed."""
    library, name = arch.split(":")
    torch.manual_seed(0)
    if library == "timm":
        timm = pytest.importorskip("timm", reason="timm is an extra")
        return timm.create_model(name, num_classes=len(CLASSES))
    return torchvision.models.get_model(name, num_classes=len(CLASSES))


def write_images(folder: Path) -> None:
    """Write twelve noisy images of each class, in a folder per class."""
    random = np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            pixels = random.integers(40 * label, 40 * label + 100, (40, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


@pytest.fixture(params=ARCHS)
def arch(request: pytest.FixtureRequest, here: Path) -> str:
    """Write images in a folder per class, and the weights of a network and of one like it."""
    write_images(here / "photos")
    module = network(request.param)
    torch.save(module.state_dict(), here / "base.pt")
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.01 * torch.randn_like(parameter) * parameter.std(correction=0)
    torch.save({"state_dict": module.state_dict()}, here / "new.pt")
    return str(request.param)


@pytest.mark.usefixtures("one_figure")
def test_one_command_evaluates_and_one_line_gates(arch, here, command):
    for name in ("base", "new"):
        done = command(f"evaluate --arch {arch} --weights {name}.pt --dataset photos")
        assert done.code == 0, done.err
        assert done.out.splitlines()[-1] == "reports/default/index.html"
        assert "Accuracy ↑" in done.out
    page = (here / "reports/default/index.html").read_text(encoding="utf-8")
    assert "corruption" in page

    gate = "compare base new --no-figures --junit gate.xml --format github --fail-if"
    failed = command(f"{gate} 'accuracy.accuracy < 0.99'")
    assert failed.code == 1, failed.err
    assert cases(here / "gate.xml") == {"accuracy.accuracy < 0.99": "failure"}
    assert "::error title=fail%3A accuracy.accuracy < 0.99::new: " in failed.out

    passed = command(f"{gate} 'accuracy.accuracy < base - 0.6' --fail-if 'accuracy.nll > 1000'")
    assert passed.code == 0, passed.out
    assert set(cases(here / "gate.xml").values()) == {"passed"}
    assert passed.out.count("::notice title=pass%3A ") == 2

    open_ = command(f"{gate} 'accuracy.accuracy < base' --fail-if 'accuracy.nll > 1000'")
    assert open_.code == 3, open_.out
    assert cases(here / "gate.xml")["accuracy.accuracy < base"] == "error"
    assert "::warning title=undecided%3A accuracy.accuracy < base::new: difference" in open_.out
    assert command(f"{gate} 'accuracy.accuracy < base' --undecided pass").code == 0

    missing = command(f"{gate} 'fgsm.fgsm_accuracy < 0.5'")
    assert missing.code == 2
    assert missing.err.count("\n") == 1


def cases(path: Path) -> dict[str, str]:
    """Return how each condition of a JUnit file ended."""
    suite = ElementTree.parse(path).getroot()
    ended = {case.get("name", ""): case[0].tag if len(case) else "passed" for case in suite}
    counted = np.array([int(suite.get(name, "")) for name in ("tests", "failures", "errors")])
    words = list(ended.values())
    assert (counted == [len(words), words.count("failure"), words.count("error")]).all()
    return ended
