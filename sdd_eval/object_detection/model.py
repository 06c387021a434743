"""Faster R-CNN with a feature pyramid on the stages of a network that was trained as a classifier.

Ren et al., "Faster R-CNN" (NeurIPS 2015); Lin et al., "Feature Pyramid Networks" (CVPR 2017); as
torchvision builds and fine-tunes them (`fasterrcnn_resnet50_fpn` and `references/detection`): the
backbone's batch norms are frozen, so are its stem and first stage, and the head is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

from sdd_eval.errors import InputError
from sdd_eval.models.build import build
from sdd_eval.models.network import Network
from sdd_eval.object_detection.recipe import DetectorRecipe
from sdd_eval.records import DETECTOR, ModelSpec, decode, encode

#: An anchor is so many times as wide as its level's stride: 32 pixels at stride 4, as in the paper
#: of feature pyramids, and in proportion for networks that scale small images down less.
ANCHOR = 8
#: Heights of anchors over their widths.
RATIOS = (0.5, 1.0, 2.0)
#: The side of the image that a backbone's strides and widths are found with.
TRIED = 64


def detector_spec(
    backbone: ModelSpec, recipe: DetectorRecipe, categories: Mapping[int, str]
) -> ModelSpec:
    """What a detector on a backbone is; its standardisation is the backbone's."""
    return ModelSpec(
        arch=DETECTOR + backbone.arch,
        classes=len(categories),
        mean=backbone.mean,
        std=backbone.std,
        image_size=recipe.min_size,
        options={
            "backbone": encode(backbone),
            "max_size": recipe.max_size,
            "channels": recipe.channels,
            "regions": recipe.regions,
            "trainable_layers": recipe.trainable_layers,
            "category_ids": list(categories),
            "class_names": list(categories.values()),
        },
    )


def build_detector(spec: ModelSpec, *, trust_code: bool = False) -> FasterRCNN:
    """The detector of a spec, freshly initialised from torch's global random state.

    Raises:
        InputError: its backbone cannot be built or has no stages.
    """
    backbone = decode(ModelSpec, spec.options["backbone"], "the detector's backbone")
    return detector_on(build(backbone, trust_code=trust_code), spec)


def detector_on(network: Network, spec: ModelSpec) -> FasterRCNN:
    """The detector of a spec on this very network's stages; its head is left out.

    In training it takes a list of (channels, height, width) in [0, 1] and one of targets to its
    losses; in eval mode it takes the images to boxes, labels from 1 and scores.

    Raises:
        InputError: the network has no stages.
    """
    layers = [name for name in network.stages() if name.startswith("layer")]
    if len(layers) < 2:
        raise InputError(
            f"arch {network.spec.arch!r} has no stages layer1, layer2 … to build a pyramid on; a "
            "ResNet has, such as torchvision:resnet18 or resnet18"
        )
    _freeze(network.backbone, layers, int(spec.options["trainable_layers"]))
    widths, strides = _measured(network, layers)
    returned = {name: str(level) for level, name in enumerate(layers)}
    channels = int(spec.options["channels"])
    levels = [*strides, 2 * strides[-1]]  # the last is pooled from the one before it
    return FasterRCNN(
        BackboneWithFPN(network.backbone, returned, widths, channels),
        num_classes=spec.classes + 1,
        min_size=spec.image_size,
        max_size=int(spec.options["max_size"]),
        image_mean=list(spec.mean),
        image_std=list(spec.std),
        rpn_anchor_generator=AnchorGenerator(
            tuple((ANCHOR * stride,) for stride in levels), (RATIOS,) * len(levels)
        ),
        box_roi_pool=MultiScaleRoIAlign(list(returned.values()), output_size=7, sampling_ratio=2),
        box_batch_size_per_image=int(spec.options["regions"]),
    )


def _freeze(backbone: nn.Module, layers: list[str], trainable: int) -> None:
    """Freeze all batch norms, and the weights of all but the last so many stages.

    One more than there are stages lets the stem be trained too.
    """
    _freeze_norms(backbone)
    learned = layers[max(0, len(layers) - trainable) :]
    for name, stage in backbone.named_children():
        stem = not name.startswith("layer")
        stage.requires_grad_(trainable > len(layers) if stem else name in learned)


def _freeze_norms(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, _frozen(child))
        else:
            _freeze_norms(child)


def _frozen(norm: nn.BatchNorm2d) -> FrozenBatchNorm2d:
    """A batch norm that is what this one is in eval mode, and stays it."""
    found = FrozenBatchNorm2d(norm.num_features, norm.eps)
    kept: dict[str, Any] = norm.state_dict()
    kept.pop("num_batches_tracked")
    found.load_state_dict(kept)
    return found


def _measured(network: Network, layers: list[str]) -> tuple[list[int], list[int]]:
    """Channels and strides of the stages."""
    x = torch.zeros(1, network.spec.channels, TRIED, TRIED)
    widths, strides = [], []
    network.eval()
    with torch.no_grad():
        for name, stage in network.stages().items():
            x = stage(x)
            if name in layers:
                widths.append(x.shape[1])
                strides.append(TRIED // x.shape[2])
            if name == layers[-1]:
                break
    return widths, strides
