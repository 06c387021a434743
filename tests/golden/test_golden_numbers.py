"""The evaluators, comparisons and reports give the golden numbers.

The networks are the small ones of `checkpoints/`, so nothing here depends on training. Commands run
in this process through the command line alone, on one thread, with fixed seeds. A public name that
changes is entered in the tables `RENAMED_…` of `make.py`; the numbers stay.

Tolerances, relative and absolute:

- 1e-6 for metrics that are smooth in the logits (`SMOOTH`): their last digits are those of float32
  forward and backward passes, which another processor or another version of torch rounds otherwise.
  Where two means have moved within it, their p-value over seeds may move as far as follows from
  that, which is more if they are nearly equal.
- 1e-9 for all others. They count images, or compare ranks of images, and so do not move with the
  last digits of a logit. On another processor an image may still lie so close to a decision (the
  label of an adversarial image, the order of two scores) that it falls on the other side; such a
  number then differs by a whole image, here 1 of 10 to 100, and no tolerance below that helps.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location("golden_make", Path(__file__).with_name("make.py"))
make = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(make)

SMOOTH = (
    *("brier", "nll", "ece", "mce", "bin_confidence", "bin_accuracy_calibrated"),
    *("temperature_fitted", "mask_variance", "attack_largest_change"),
)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The package's numbers, with a corrupted set on disk and no cache of the user's."""
    folder = tmp_path_factory.mktemp("golden")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        result = make.Measured(folder)
        result.corrupt()
        yield result


@pytest.fixture(scope="module")
def evaluated(measured):
    """Return the measurements of the four networks by command."""
    return {
        command: measured.evaluated("compared", command, *make.FOUR, *flags)
        for command, flags in make.COMPARED.items()
    }


def tolerance(metric):
    """Return the tolerance of a number."""
    return 1e-6 if metric.startswith(SMOOTH) else 1e-9


def require_same(tables):
    """Fail with the first differences."""
    lines = [
        f"{name}: {line}"
        for name, table in tables.items()
        for line in make.differences(table, make.read(name), tolerance)
    ]
    assert not lines, "\n".join([f"{len(lines)} numbers differ", *lines[:40]])


def test_every_evaluator_measures_the_golden_numbers_of_four_networks(evaluated):
    require_same(evaluated)


@pytest.mark.parametrize("name", make.MORE)
def test_further_settings_of_evaluators_give_the_golden_numbers(name, measured):
    require_same({name: measured.evaluated("more", *make.MORE[name])})


@pytest.mark.parametrize("name", make.COMPARISONS)
def test_a_comparison_gives_the_golden_differences_intervals_and_p_values(
    name, measured, evaluated
):
    require_same({name: measured.compared(*make.COMPARISONS[name])})


@pytest.mark.usefixtures("one_figure")
def test_a_report_tabulates_the_golden_numbers_and_their_means_over_seeds(measured):
    require_same(measured.report())


def test_a_p_value_over_seeds_may_move_only_as_far_as_its_means_have():
    golden = make.read("compared-seeds")
    (key,) = (k for k in golden if k[-2:] == ("ece_smooth", "temperature=cross-fitted"))

    def noticed(**changes):
        moved = {name: str(float(golden[key][name]) + by) for name, by in changes.items()}
        return len(list(make.differences({**golden, key: golden[key] | moved}, golden, tolerance)))

    assert noticed(p=1.5e-6) == 1
    assert noticed(p=1.5e-6, base=5e-8) == 0
    assert noticed(p=1.5e-5, base=5e-8) == 1


@pytest.mark.parametrize(("metric", "allowed"), [("nll", 1e-6), ("accuracy", 1e-9)])
def test_a_change_beyond_the_tolerance_is_detected(metric, allowed):
    golden = make.read("accuracy")
    key = next(key for key in golden if key[-2] == metric)

    def noticed(factor):
        value = str(float(golden[key]["value"]) * factor)
        moved = {**golden, key: {**golden[key], "value": value}}
        return len(list(make.differences(moved, golden, tolerance)))

    assert [noticed(1 + allowed / 2), noticed(1 + allowed * 2)] == [0, 1]


def test_a_missing_or_new_number_is_detected():
    golden = make.read("accuracy")
    fewer = dict(list(golden.items())[1:])
    assert len(list(make.differences(fewer, golden, tolerance))) == 1
    assert len(list(make.differences(golden, fewer, tolerance))) == 1
