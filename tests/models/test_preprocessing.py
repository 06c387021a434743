"""Mean, standard deviation and size of a library's published network."""

import pytest
import torchvision.models

from sdd_eval.models.preprocessing import library_preprocessing
from sdd_eval.provenance import Resizing

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_the_transforms_of_torchvision_s_default_weights_are_read():
    found = library_preprocessing("torchvision:resnet18")
    assert (found.mean, found.std) == IMAGENET
    assert (found.image_size, found.resized) == (224, Resizing(256, "bilinear"))
    assert found.origin == "torchvision's transforms of ResNet18_Weights.IMAGENET1K_V1"
    assert library_preprocessing("torchvision:inception_v3").image_size == 299


def test_every_network_of_torchvision_has_them():
    for name in torchvision.models.list_models(module=torchvision.models):
        found = library_preprocessing(f"torchvision:{name}")
        assert found is not None, name
        half = name == "efficientnet_v2_l"
        assert (found.mean, found.std) == (((0.5,) * 3, (0.5,) * 3) if half else IMAGENET)


def test_the_configuration_of_timm_is_that_of_the_tag():
    pytest.importorskip("timm")
    found = library_preprocessing("timm:vit_tiny_patch16_224")
    assert (found.mean, found.std) == ((0.5,) * 3, (0.5,) * 3)
    assert found.resized == Resizing(248, "bicubic")  # 224 / 0.9, as timm rounds it
    assert library_preprocessing("timm:resnet18.tv_in1k").resized == Resizing(256, "bilinear")
    squashed = library_preprocessing("timm:vit_base_patch16_clip_384.openai_ft_in12k_in1k")
    assert squashed.difference(384) == "the crop 'squash', not one of the centre"
    assert library_preprocessing("timm:resnet18.no_such_tag") is None


@pytest.mark.parametrize("arch", ["resnet18", "nets.py:resnet18", "torchvision:resnt", "timm:x"])
def test_other_networks_have_none(arch):
    assert library_preprocessing(arch) is None


def test_a_difference_of_size_and_resizing_is_told():
    found = library_preprocessing("torchvision:resnet18")
    assert found.difference(224) == ""
    assert found.difference(64) == "images of 224 pixels, not 64"
    assert found.difference(64, files=False) == "images of 224 pixels, not 64"
    found = library_preprocessing("torchvision:efficientnet_b0")
    assert found.difference(224) == ""
    assert found.difference(224, files=False) == (
        "files resized with the short side to 256 pixels, bicubic, not a fixed size"
    )
    assert found.resizing(448) == Resizing(512, "bicubic")
