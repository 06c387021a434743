"""Display names of data sets, networks, methods, corruptions and detectors."""

from __future__ import annotations

import re

from sdd_eval.records import DETECTOR

NAMES = {
    # methods
    **{"ce": "CE", "ls": "LS", "cs_kd": "CS-KD", "ddgsd": "DDGSD", "byot": "BYOT", "dml": "DML"},
    **{"r_drop": "R-Drop", "confidence_penalty": "confidence penalty"},
    # data sets
    **{"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "svhn": "SVHN", "svhn_all": "SVHN, all"},
    **{"cub200": "CUB-200-2011", "cub200_cropped": "CUB-200-2011, cropped"},
    **{"stanford_dogs": "Stanford Dogs", "stanford_dogs_whole": "Stanford Dogs, whole images"},
    **{"imagenet": "ImageNet", "coco": "COCO", "dtd": "DTD", "isun": "iSUN"},
    **{"imagenet_crop": "TinyImageNet (crop)", "imagenet_resize": "TinyImageNet (resize)"},
    **{"lsun": "LSUN (resize)", "lsun_crop": "LSUN (crop)", "lsun_resize": "LSUN (resize)"},
    **{"uniform": "Uniform noise", "gaussian": "Gaussian noise"},
    **{"average:near": "Average, near OOD", "average:far": "Average, far OOD"},
    # detectors and scores
    **{"msp": "MSP", "odin": "ODIN", "knn": "KNN", "vim": "ViM", "react": "ReAct"},
    # corruptions and attacks
    **{"jpeg_compression": "JPEG compression", "fgsm": "FGSM"},
    **{"pgd_ce": "PGD, cross-entropy", "pgd_margin": "PGD, margin"},
    # networks
    **{"small_cnn": "small CNN", "small_cnn_wide": "wide small CNN"},
    **{"resnet10_s2": "ResNet-10, stride 2", "resnet18_maxpool": "ResNet-18, max-pooling"},
}
#: Suffixes of corrupted versions of a test set.
_VERSIONS = {"_c_regenerated": "-C, regenerated", "_c": "-C"}


def display_name(name: object) -> str:
    """Return the display name of an identifier; other names are returned unchanged.

    >>> [display_name(name) for name in ("cifar100_c", "photo_patches", "resnet18", "./My set")]
    ['CIFAR-100-C', 'Photo patches', 'ResNet-18', './My set']
    """
    text = str(name)
    if text in NAMES:
        return NAMES[text]
    for ending, written in _VERSIONS.items():
        if text.endswith(ending) and text != ending:
            return display_name(text.removesuffix(ending)) + written
    if depth := re.fullmatch(r"resnet(\d+)", text):
        return f"ResNet-{depth[1]}"
    if text.startswith(DETECTOR):
        return f"Faster R-CNN, {display_name(text.removeprefix(DETECTOR))}"
    identifier = re.fullmatch(r"[a-z][a-z0-9_]*", text)
    return text.replace("_", " ")[:1].upper() + text.replace("_", " ")[1:] if identifier else text
