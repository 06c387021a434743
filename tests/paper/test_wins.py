"""Corruptions won and lost: images kept together, networks of a side kept apart."""

from __future__ import annotations

import numpy as np
import pytest

from sdd_eval.errors import InputError
from sdd_eval.paper.wins import corruptions_won


def network(seed, share, names=("fog", "snow"), n=400):
    """Flags of right answers; the images' difficulty is the same for all networks."""
    difficulty = np.random.default_rng(0).random(n)
    noise = np.random.default_rng(seed).normal(0, 0.05, (n, 5))
    right = difficulty[:, None] + noise < share
    return {f"correct_{name}": right for name in names} | {"correct_clean": right[:, 0]}


def test_a_large_lead_is_won_a_large_lag_lost_and_none_is_neither():
    base = [network(seed, 0.5) for seed in (1, 2, 3)]
    better = [network(seed, 0.6) for seed in (4, 5, 6)]
    won = corruptions_won(base, better)
    assert [(each.corruption, each.result) for each in won] == [("fog", "won"), ("snow", "won")]
    assert won[0].difference == pytest.approx(0.1, abs=0.02)
    assert won[0].interval.low < won[0].difference < won[0].interval.high
    assert corruptions_won(better, base)[0].result == "lost"
    alike = [network(seed, 0.5) for seed in (7, 8, 9)]
    assert corruptions_won(base, alike)[0].result == "neither"


def test_paired_images_make_the_interval_narrower_than_the_images_own_noise():
    one, other = network(1, 0.5), network(2, 0.52)
    (fog, _) = corruptions_won([one], [other])
    unpaired = 2 * 1.96 * (2 * 0.25 / 400) ** 0.5
    assert fog.interval.high - fog.interval.low < unpaired / 3
    assert fog.result == "won"


def test_a_corruption_that_was_not_wholly_seen_is_left_out():
    half = {**network(1, 0.5), "missing_snow": np.full((400, 5), "")}
    assert [each.corruption for each in corruptions_won([half], [network(2, 0.5)])] == ["fog"]


def test_nothing_in_common_is_refused():
    with pytest.raises(InputError, match="no corruption in common"):
        corruptions_won([network(1, 0.5, ["fog"])], [network(2, 0.5, ["snow"])])
    with pytest.raises(InputError, match="different images"):
        corruptions_won([network(1, 0.5)], [network(2, 0.5, n=40)])
    with pytest.raises(InputError, match="no network"):
        corruptions_won([], [network(2, 0.5)])
