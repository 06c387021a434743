"""The figures of the training history: gradients and assumptions."""

import numpy as np
import pandas
import pytest

from sdd_eval.figures.training_curves import assumption_curves, gradient_curves


@pytest.fixture
def rows():
    metrics = {"kl_cosine": 0.9, "kl_forward_l1": 2.0, "kl_reverse_l1": 3.0}
    return pandas.DataFrame(
        {
            "evaluator": "history", "layer": "all", "metric": metric, "group": group,
            "method": "ce", "sd_dropout": weight, "setting": "", "seed": seed, "epoch": epoch,
            "value": value + epoch / 100 + seed / 50,
        }
        for metric, value in metrics.items()
        for group, weight in (("CE", 0.0), ("CE + SDD", 1.0))
        for seed in (0, 1)
        for epoch in (0, 10, 20)
    )  # fmt: skip


def test_each_group_has_a_line_of_means_over_seeds(rows):
    cosine, norms = gradient_curves(rows).axes
    assert len(cosine.containers) == 2
    assert len(norms.containers) == 4
    assert list(cosine.containers[0][0].get_xdata()) == [0, 10, 20]
    means = cosine.containers[0][0].get_ydata().astype(float)
    np.testing.assert_allclose(means, [0.91, 1.01, 1.11])
    labels = norms.get_legend_handles_labels()[1]
    assert labels[0] == "CE, reverse"
    assert labels[2] == "CE, forward"
    assert norms.get_ylim()[0] == 0


def test_ticks_of_few_epochs_are_integers(rows):
    few = rows.assign(epoch=rows["epoch"] / 10)
    for axes in gradient_curves(few).axes:
        assert all(float(tick).is_integer() for tick in axes.get_xticks())


def test_gradients_of_single_layers_are_not_drawn(rows):
    other = rows.assign(layer="layer1", value=99.0)
    cosine, _ = gradient_curves(pandas.concat([rows, other])).axes
    assert max(cosine.containers[0][0].get_ydata()) < 2


def test_the_rates_of_the_assumptions_and_the_means_of_r_and_its_bound_are_drawn(rows):
    shown = dict(
        zip(
            ("p_assumption_1", "assumption_2", "assumption_2_r", "assumption_2_r1"),
            (0.7, 0.4, 1.5, 2.5),
            strict=True,
        )
    )
    first = rows[rows["metric"] == "kl_cosine"]
    table = pandas.concat(
        first.assign(metric=metric, layer=None, value=value + first["seed"] / 50)
        for metric, value in shown.items()
    )
    drawn = assumption_curves(table)
    shares, means = drawn.axes
    assert [item.get_label() for item in shares.containers[:2]] == [
        "CE, Assumption 1",
        "CE + SDD, Assumption 1",
    ]
    first_of_each = [float(item[0].get_ydata()[0]) for item in (*shares.containers[::2],)]
    np.testing.assert_allclose(first_of_each, [0.71, 0.41])
    np.testing.assert_allclose(
        [float(c[0].get_ydata()[0]) for c in means.containers[::2]], [1.51, 2.51]
    )
    assert shares.get_ylim() == (0, 1.02)
    words = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert words == ["CE", "CE + SDD", "Assumption 1, r", "Assumption 2, r₁"]
    assert assumption_curves(rows) is None, "an older history has no assumptions"
