"""Adversarial images equal those of torchattacks for the same network, batches and dtype."""

import numpy as np
import pytest
import torch
import torchattacks

from sdd_eval.evaluators.adversarial.fgsm_attack import Space
from sdd_eval.evaluators.adversarial.torchattacks_wrapper import (
    AttackedNetwork,
    seeded,
)
from sdd_eval.evaluators.gradients import (
    LossGradient,
    input_gradients,
    plain_loss,
    stable_loss,
)
from sdd_eval.models.bn_folding import fold
from sdd_eval.models.build import build
from sdd_eval.records import ModelSpec

N, BATCH, SIDE, CLASSES = 1024, 256, 12, 10
EPSILON = 1.5 / 255
SPEC = ModelSpec("resnet8", CLASSES, (0.5,) * 3, (0.25,) * 3, SIDE)
SPACE = Space(SPEC.mean, SPEC.std, "cpu")


class Double(torch.nn.Module):
    """A network whose logits are float64."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.eval()  # torchattacks would put it back into train mode

    def forward(self, pixels):
        return self.model(pixels).double()


@pytest.fixture(scope="module")
def pixels():
    whole = np.random.default_rng(1).integers(0, 256, (N, 3, SIDE, SIDE))
    return (torch.from_numpy(whole).float() / 255).split(BATCH)


@pytest.fixture(scope="module")
def network(pixels):
    """Return a ResNet with non-trivial batch statistics and predictions in every class."""
    random = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = build(SPEC)
    for item in model.modules():
        if isinstance(item, torch.nn.BatchNorm2d):
            item.running_mean.normal_(0, 0.3, generator=random)
            item.running_var.uniform_(0.5, 2, generator=random)
    model.eval().requires_grad_(False)
    logits = model(pixels[0])
    last = model.classifier
    last.weight.div_(logits.std(dim=0)[:, None])
    last.bias.sub_(logits.mean(dim=0)).div_(logits.std(dim=0))
    return model


@pytest.fixture(scope="module")
def labels(network, pixels):
    result = [network(batch).argmax(dim=1) for batch in pixels]
    assert len(torch.cat(result).unique()) == CLASSES
    return result


def fgsm_of_torchattacks(model, pixels, labels, epsilon=EPSILON):
    attack = torchattacks.FGSM(model, eps=epsilon)
    return torch.cat([attack(*batch) for batch in zip(pixels, labels, strict=True)])


def our_fgsm(model, pixels, labels, epsilon=EPSILON):
    images = []
    for batch, truth in zip(pixels, labels, strict=True):
        (gradient,) = input_gradients(model, batch, [(stable_loss, 1.0)], truth)
        images.append(SPACE.step("pixel", batch, gradient, [epsilon])[0])
    return torch.cat(images)


def right(model, images, labels):
    """Return the accuracy on these images."""
    with torch.inference_mode():
        predicted = torch.cat([model(batch).argmax(dim=1) for batch in images.split(BATCH)])
    return float((predicted == torch.cat(labels)).double().mean())


def share_that_differs(ours, theirs):
    return float((ours != theirs).double().mean())


@pytest.mark.parametrize("kind", [lambda model: model, Double], ids=["float32", "float64"])
def test_fgsm_equals_that_of_torchattacks(kind, network, pixels, labels):
    model = kind(network)
    theirs = fgsm_of_torchattacks(model, pixels, labels)
    assert torch.equal(our_fgsm(model, pixels, labels), theirs)
    assert 0.1 < right(network, theirs, labels) < 0.9


def test_fgsm_with_the_plain_float32_gradient_equals_that_of_torchattacks(network, pixels, labels):
    theirs = fgsm_of_torchattacks(network, pixels, labels)
    ours = []
    for batch in pixels:
        (gradient,) = input_gradients(network, batch, [(plain_loss, 1.0)])
        ours.append(SPACE.step("pixel", batch, gradient, [EPSILON])[0])
    assert torch.equal(torch.cat(ours), theirs)


@pytest.mark.parametrize("name", ["PGD", "BIM", "MIFGSM"])
def test_a_named_attack_equals_that_of_torchattacks(name, network, pixels, labels):
    batch, truth = pixels[0][:64], labels[0][:64]
    settings = {"eps": EPSILON, "alpha": EPSILON / 4, "steps": 4}
    attack = getattr(torchattacks, name)
    with seeded(3, "cpu"):
        theirs = attack(network, **settings)(batch, truth)
    with seeded(3, "cpu"), LossGradient():
        ours = attack(AttackedNetwork(network, "cpu"), **settings)(batch, truth)
    assert torch.equal(ours, theirs)
    assert share_that_differs(theirs, batch) > 0.9


def test_torchattacks_does_not_change_images_of_a_saturated_network_and_this_package_does(
    network, pixels, labels
):
    """Where a gradient underflows the images must differ."""

    class Sharp(Double):
        def forward(self, pixels):
            return 200 * self.model(pixels)

    sharp, few, truth = Sharp(network), pixels[:1], labels[:1]
    theirs, ours = fgsm_of_torchattacks(sharp, few, truth), our_fgsm(sharp, few, truth)
    left_alone = (theirs == few[0]).flatten(1).all(dim=1)
    assert left_alone.sum() > 20
    assert not (ours == few[0]).flatten(1).all(dim=1).any()
    assert right(network, ours, truth) < right(network, theirs, truth) - 0.05


def test_with_folding_nearly_all_pixels_and_the_accuracy_are_equal(network, pixels, labels):
    folded, how = fold(network, pixels[0][:16])
    assert how.folded == how.batch_norms == 7
    theirs = fgsm_of_torchattacks(network, pixels, labels)
    ours = our_fgsm(folded, pixels, labels)
    assert share_that_differs(ours, theirs) <= 0.001
    assert abs(right(folded, ours, labels) - right(network, theirs, labels)) <= 0.001
