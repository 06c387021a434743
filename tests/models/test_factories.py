"""What a factory is called with, and what an error about it says."""

import textwrap

import pytest
import torch

from sdd_eval.errors import InputError
from sdd_eval.models.build import build
from sdd_eval.records import ModelSpec

FACTORIES = """
    from torch import nn


    class Net(nn.Module):
        def __init__(self, num_classes=10, in_channels=3, depth=1):
            super().__init__()
            self.layers = nn.Sequential(*(nn.Conv2d(in_channels, in_channels, 1)
                                          for _ in range(depth)))
            self.fc = nn.Linear(in_channels, num_classes)

        def forward(self, x):
            return self.fc(self.layers(x).mean((2, 3)))


    class Named(Net):
        def __init__(self, classes, img_size, in_chans):
            super().__init__(classes, in_chans)
            self.size = img_size


    def resnet8(**kwargs):
        return Net(**kwargs)


    def deep(depth, **kwargs):
        return Net(depth=depth, **kwargs)


    def other_names(**kwargs):
        return Named(**kwargs)


    def fixed(**kwargs):
        return Net(num_classes=7, **kwargs)


    def wrong(**kwargs):
        return Net(width=3, **kwargs)


    def needs(num_classes, width):
        return Net(num_classes)


    def leaves():
        raise SystemExit("usage: train.py")
"""


@pytest.fixture
def factory(tmp_path):
    """Return a function that builds the network of a factory, for 7 classes of 1 channel."""
    path = tmp_path / "nets.py"
    path.write_text(textwrap.dedent(FACTORIES))

    def built(name, **options):
        spec = ModelSpec(f"{path}:{name}", 7, (0.5,), (0.5,), 8, options)
        return build(spec, trust_code=True)

    return built


@pytest.mark.parametrize("name", ["Net", "resnet8", "other_names", "fixed"])
def test_a_factory_gets_the_classes_the_channels_and_the_size_that_it_takes(factory, name):
    network = factory(name)
    assert network(torch.rand(2, 1, 8, 8)).shape == (2, 7)
    assert getattr(network.backbone, "size", 8) == 8


def test_options_are_passed_and_replace_what_is_passed_otherwise(factory):
    assert len(factory("deep", depth=3).backbone.layers) == 3
    assert len(factory("resnet8", depth=2, in_channels=1).backbone.layers) == 2


def test_attempts_to_call_a_factory_draw_no_random_numbers(factory):
    torch.manual_seed(0)
    plain = factory("Net").state_dict()
    torch.manual_seed(0)
    assert torch.equal(
        factory("resnet8").state_dict()["classifier.weight"], plain["classifier.weight"]
    )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("wrong", {}, "called with num_classes=7, in_channels=1, image_size=8: TypeError: .*width"),
        ("needs", {}, "called with num_classes=7: TypeError: .*missing .* argument: 'width'"),
        ("needs", {"width": 3, "x": 1}, "called with width=3, x=1, num_classes=7: TypeError"),
        ("leaves", {}, "called with no arguments: SystemExit: usage: train"),
    ],
)
def test_an_error_says_what_was_passed_and_how_to_pass_more(factory, name, options, message):
    with pytest.raises(InputError, match=f"{message}.*; --options NAME VALUE sets its") as caught:
        factory(name, **options)
    assert "\n" not in str(caught.value)
