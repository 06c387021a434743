"""The example checkpoints are complete, small, and described by their cards."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import sdd_eval
from sdd_eval.checkpoints import read_card

EXAMPLES = Path(__file__).parents[2] / "checkpoints/examples"
PAIR = ("cifar100-resnet18w16-ce-seed0", "cifar100-resnet18w16-ce-sdd0.1-seed0")
#: An archive of the sources has the tests without the examples.
pytestmark = pytest.mark.skipif(
    not EXAMPLES.is_dir(), reason="the examples are in the repository only"
)


def test_the_package_includes_a_pair_that_differs_only_in_sd_dropout() -> None:
    assert sorted(item.name for item in EXAMPLES.iterdir()) == sorted(PAIR)
    base, other = (read_card(EXAMPLES / name).recipe for name in PAIR)
    assert base is not None
    assert other is not None
    differing = {key for key, value in vars(base).items() if vars(other)[key] != value}
    assert differing == {"sd_dropout"}


@pytest.mark.parametrize("name", PAIR)
def test_an_example_checkpoint_loads_and_matches_its_card(name: str) -> None:
    folder = EXAMPLES / name
    assert (folder / "weights.safetensors").stat().st_size < 4_000_000
    network = sdd_eval.load(folder)  # checks the weights against the card
    card = read_card(folder)
    assert card.name == name
    assert card.recipe is not None
    epochs = (folder / "history.csv").read_text().splitlines()[1:]
    assert len(epochs) == card.recipe.epochs == 15
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = network(images)
    assert logits.shape == (4, 100)
    assert logits.isfinite().all()
    assert logits.std(dim=0).max() > 0.01, "trained weights tell images apart"
