"""`sdd_eval.evaluate`: any module and arrays, without files; the module is restored."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import sdd_eval
from sdd_eval import plugins
from sdd_eval.data.images import ArrayImages
from sdd_eval.errors import InputError

EVALUATORS = sorted({*plugins.names("evaluators")} - {"detection"})


class Mine(nn.Module):
    """A typical module: dropout, batch norm, a frozen part."""

    def __init__(self, channels=3, classes=3):
        super().__init__()
        self.conv = nn.Conv2d(channels, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Linear(6, classes)

    def forward(self, x):
        x = self.norm(self.conv(x)).relu().mean((2, 3))
        return self.last(self.drop(x))


@pytest.fixture
def mine():
    torch.manual_seed(0)
    return Mine()


@pytest.fixture
def arrays():
    """Thirty images, channels last, in three classes."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
    return images, np.arange(30) % 3


@pytest.mark.parametrize("name", EVALUATORS)
def test_every_evaluator_takes_a_plain_module_of_three_classes(name, mine, arrays, tmp_path):
    run = sdd_eval.evaluate(mine, name, data=arrays, root=tmp_path)
    assert (run.n, run.checkpoint) == (30, "Mine")
    assert run.provenance.model["classes"] == 3
    assert run.measurements
    assert list(tmp_path.iterdir()) == []


def test_the_accuracy_is_that_of_the_module(mine, arrays):
    images, labels = arrays
    with torch.no_grad():
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        right = copy.deepcopy(mine).eval()(pixels).argmax(dim=1).numpy() == labels
    run = sdd_eval.evaluate(mine, "accuracy", data=arrays)
    assert run.measurements[0].value == right.mean()


@pytest.mark.parametrize("name", EVALUATORS)
def test_the_module_and_random_states_are_restored(name, mine, arrays):
    mine.train()
    mine.norm.eval()
    mine.conv.requires_grad_(False)
    mine.last.weight.grad = torch.ones(3, 6)
    before = copy.deepcopy(mine.state_dict())
    random = torch.get_rng_state()
    sdd_eval.evaluate(mine, name, data=arrays, limit=6)
    assert [module.training for module in (mine, mine.norm, mine.drop)] == [True, False, True]
    trainable = {name for name, value in mine.named_parameters() if value.requires_grad}
    assert trainable == {"norm.weight", "norm.bias", "last.weight", "last.bias"}
    assert torch.equal(mine.last.weight.grad, torch.ones(3, 6))
    assert mine.conv.weight.grad is None
    for key, tensor in mine.state_dict().items():
        assert torch.equal(tensor, before[key]), key
    assert torch.equal(torch.get_rng_state(), random)


def test_the_module_is_restored_after_a_failure(mine, arrays):
    images, labels = arrays
    with pytest.raises(InputError, match="labels of 8 classes, the network predicts 3"):
        sdd_eval.evaluate(mine, "accuracy", data=(images, labels + 5))
    assert mine.training
    assert all(parameter.requires_grad for parameter in mine.parameters())


def test_a_module_can_be_trained_further_between_evaluations(mine, arrays):
    images, labels = arrays
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    optimiser = torch.optim.Adam(mine.parameters(), lr=0.05)
    losses = []
    for _ in range(25):
        losses.append(nn.functional.cross_entropy(mine(pixels), torch.from_numpy(labels)))
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
        sdd_eval.evaluate(mine, "accuracy", data=arrays)
    assert losses[-1] < losses[0]


def test_arrays_of_every_common_layout_are_accepted(mine, arrays):
    images, labels = arrays
    first = images.transpose(0, 3, 1, 2)
    same = [(images, labels), (first, labels), (torch.from_numpy(first.copy()), labels[:, None])]
    runs = [sdd_eval.evaluate(mine, "accuracy", data=data) for data in same]
    assert len({run.data_fingerprint for run in runs}) == 1
    assert runs[0].measurements == runs[1].measurements == runs[2].measurements
    grey = sdd_eval.evaluate(Mine(channels=1), "accuracy", data=(images[..., 0], labels))
    assert grey.n == 30
    data = ArrayImages("named", first.copy(), labels, "print", "made here")
    assert sdd_eval.evaluate(mine, "accuracy", data=data).dataset == "named"


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((4, 3, 8, 8), np.float32), np.zeros(4, int), "are float32, not uint8"),
        (np.zeros((4, 2, 8, 8), np.uint8), np.zeros(4, int), r"shape \(4, 2, 8, 8\), not"),
        (np.zeros((4, 8, 6, 3), np.uint8), np.zeros(4, int), r"shape \(4, 3, 8, 6\), not"),
        (np.zeros((0, 8, 8, 3), np.uint8), np.zeros(0, int), r"shape \(0, 3, 8, 8\), not"),
        (np.zeros((4, 8, 8, 3), np.uint8), np.zeros(3, int), r"labels .* not 4 class indices"),
        (np.zeros((4, 8, 8, 3), np.uint8), np.zeros(4), "arrays: its labels are float64"),
        (
            np.zeros((4, 8, 8, 3), np.uint8),
            np.full(4, -1),
            "the label of image 0 is -1, not a whole",
        ),
    ],
)
def test_arrays_that_are_not_images_are_refused(mine, images, labels, message):
    with pytest.raises(InputError, match=message):
        sdd_eval.evaluate(mine, "accuracy", data=(images, labels))


def test_a_module_that_does_not_classify_the_images_is_refused(mine, arrays):
    with pytest.raises(InputError, match=r"Mine does not accept images of 1 × 8 × 8: Given groups"):
        sdd_eval.evaluate(mine, "accuracy", data="digits")
    with pytest.raises(
        InputError, match=r"Sequential returns \(1, 6, 36\) for one image, not logits"
    ):
        sdd_eval.evaluate(nn.Sequential(mine.conv, nn.Flatten(2)), "accuracy", data=arrays)
    with pytest.raises(InputError, match="data is a list, not a name"):
        sdd_eval.evaluate(mine, "accuracy", data=[1, 2])


def test_an_evaluator_of_detectors_is_refused(mine, arrays):
    with pytest.raises(InputError, match="detection evaluates object detectors, not classifiers"):
        sdd_eval.evaluate(mine, "detection", data=arrays)
