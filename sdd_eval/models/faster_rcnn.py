"""Faster R-CNN with a feature pyramid on the backbone of a classifier.

Ren et al., "Faster R-CNN" (NeurIPS 2015); Lin et al., "Feature Pyramid Networks" (CVPR 2017); as
torchvision builds and fine-tunes them (`fasterrcnn_resnet50_fpn` and `references/detection`): the
backbone's batch norms, stem and first stage are frozen, and its classification head is dropped.
"""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

from sdd_eval.errors import InputError
from sdd_eval.models.build import build
from sdd_eval.models.network import Network
from sdd_eval.records import ModelSpec, decode

#: Width of an anchor as a multiple of its level's stride: 32 pixels at stride 4, as in Lin et al.,
#: and in proportion for networks that downsample small images less.
ANCHOR = 8
#: Aspect ratios of anchors, height / width.
RATIOS = (0.5, 1.0, 2.0)
#: Side of the image with which a backbone's strides and channels are measured.
PROBE_SIZE = 64


def build_detector(spec: ModelSpec, *, trust_code: bool = False) -> FasterRCNN:
    """Build a spec's detector from torch's random state; raise InputError without stages."""
    backbone = decode(ModelSpec, spec.options["backbone"], "the detector's backbone")
    return detector_on(build(backbone, trust_code=trust_code), spec)


def detector_on(network: Network, spec: ModelSpec) -> FasterRCNN:
    """Build the detector of a spec on a network's own stages, without its classification head.

    In training mode it maps a list of images (channels, height, width) in [0, 1] and a list of
    targets to its losses; in eval mode it maps the images to boxes, labels from 1 and scores. Raise
    InputError for a network without stages.
    """
    layers = [name for name in network.stages() if name.startswith("layer")]
    if len(layers) < 2:
        raise InputError(
            f"arch {network.spec.arch!r} has no stages layer1, layer2 … for a feature pyramid; "
            "use a ResNet, such as torchvision:resnet18 or resnet18"
        )
    _freeze(network.backbone, layers, int(spec.options["trainable_layers"]))
    stage_channels, strides = _channels_and_strides(network, layers)
    returned = {name: str(level) for level, name in enumerate(layers)}
    channels = int(spec.options["channels"])
    levels = [*strides, 2 * strides[-1]]  # the last is pooled from the one before it
    return FasterRCNN(
        BackboneWithFPN(network.backbone, returned, stage_channels, channels),
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
    """Freeze all batch norms, and the weights of all but the last `trainable` stages.

    If `trainable` is one more than the number of stages, the stem is trained, too.
    """
    _freeze_norms(backbone)
    trained = layers[max(0, len(layers) - trainable) :]
    for name, stage in backbone.named_children():
        stem = not name.startswith("layer")
        stage.requires_grad_(trainable > len(layers) if stem else name in trained)


def _freeze_norms(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(child.num_features, child.eps)
            frozen.load_state_dict(dict(child.named_parameters()) | dict(child.named_buffers()))
            setattr(module, name, frozen)
        else:
            _freeze_norms(child)


def _channels_and_strides(network: Network, layers: list[str]) -> tuple[list[int], list[int]]:
    x = torch.zeros(1, network.spec.channels, PROBE_SIZE, PROBE_SIZE)
    with torch.no_grad():
        seen = network.eval().activations(x)
    maps = [seen[name] for name in layers]
    return [x.shape[1] for x in maps], [PROBE_SIZE // x.shape[2] for x in maps]
