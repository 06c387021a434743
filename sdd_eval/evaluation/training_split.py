"""The training set of a checkpoint as it was used: what was trained on, and what was held out."""

from __future__ import annotations

from pathlib import Path

from sdd_eval.data import catalogue
from sdd_eval.data.images import ImageSet, lazy_images
from sdd_eval.data.root import data_root
from sdd_eval.data.splits import training_split, validation_name
from sdd_eval.errors import InputError
from sdd_eval.records import Card


def has_validation(card: Card) -> bool:
    """Whether images were held out of the checkpoint's training."""
    return card.recipe is not None and card.recipe.validation > 0


def means_validation(name: str, card: Card, root: Path | None) -> bool:
    """Whether a data set's name is that of the images held out of the checkpoint's training.

    Raises:
        InputError: it is, but none were, and no set of that name is there.
    """
    held = catalogue.canonical_name(validation_name(card.dataset or ""))
    if catalogue.canonical_name(name) != held:
        return False
    if not has_validation(card) and name not in catalogue.folder_names(data_root(root)):
        raise InputError(
            f"{card.name} has no validation images: it was trained without --validation"
        )
    return has_validation(card)


def trains_on_part(card: Card) -> bool:
    """Whether a checkpoint was trained on a part of its data set's training images."""
    recipe = card.recipe
    return recipe is not None and (recipe.validation > 0 or recipe.images_per_class is not None)


def parts_of(card: Card, root: Path | None) -> tuple[ImageSet, ImageSet | None]:
    """The images that a checkpoint was trained on, and those that were held out, if any.

    Raises:
        InputError: the training images are others than those of the training.
    """
    recipe = card.recipe
    assert recipe is not None

    def whole() -> ImageSet:
        shape = {"image_size": card.model.image_size, "channels": card.model.channels}
        return catalogue.load_images(recipe.dataset, root, "train", **shape)

    kept, held = training_split(lazy_images(whole), recipe)
    if kept.fingerprint != card.provenance.get("data_fingerprint"):
        raise InputError(
            f"{card.name} was trained on other images of {recipe.dataset} than are there now, "
            "so which were left out of its training is unknown"
        )
    return kept, held


def validation_images(card: Card, root: Path | None) -> ImageSet:
    """Return the images held out of the training of a checkpoint that `has_validation`.

    Raises:
        InputError: the training images are others than those of the training.
    """
    _, held = parts_of(card, root)
    assert held is not None
    return held
