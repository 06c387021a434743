"""Networks from pixels in [0, 1] to logits; standardisation is their first layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports

if TYPE_CHECKING:
    from sdd_eval.models.bn_folding import Folding, fold
    from sdd_eval.models.build import build, check_arch
    from sdd_eval.models.densenet import build_densenet
    from sdd_eval.models.faster_rcnn import build_detector
    from sdd_eval.models.foreign import is_factory
    from sdd_eval.models.resnet import Bottleneck, build_resnet, build_wide_resnet
    from sdd_eval.models.small_cnn import build_small_cnn
else:
    __getattr__, __all__ = lazy_exports(__name__)
