"""Every number that the package computes is the one that it computed when these files were made.

The networks are the small ones of `checkpoints/`, so nothing here depends on training. Commands run
in this process through the command line alone, on one thread, with fixed seeds. A public name that
changes is entered in the tables `RENAMED_…` of `make.py`; the numbers stay.

Tolerances, relative and absolute:

- 1e-6 for metrics that are smooth in the logits (`SMOOTH`): their last digits are those of float32
  forward and backward passes, which another processor or another version of torch rounds otherwise.
- 1e-9 for all others. They count images, or compare ranks of images, and so do not move with the
  last digits of a logit. On another processor an image may still lie so close to a decision (the
  label of an adversarial image, the order of two scores) that it falls on the other side; such a
  number then differs by a whole image, here 1 of 10 to 100, and no tolerance below that helps.
"""

from __future__ import annotations

import importlib.util
import math
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
    """The package's numbers, with corrupted digits at hand and no cache of the user's."""
    folder = tmp_path_factory.mktemp("golden")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        found = make.Measured(folder)
        found.corrupt()
        yield found


@pytest.fixture(scope="module")
def evaluated(measured):
    """What every evaluator says of the four networks, by command."""
    return {
        command: measured.evaluated("compared", command, *make.FOUR, *flags)
        for command, flags in make.COMPARED.items()
    }


def tolerance(metric):
    """How far a number may lie from the golden one."""
    return 1e-6 if metric.startswith(SMOOTH) else 1e-9


def differences(name, found):
    """A line for each number that is missing, new, or not the golden one."""
    golden = make.read(name)
    yield from (f"{name}: {' '.join(key)} is missing" for key in golden if key not in found)
    yield from (f"{name}: {' '.join(key)} is new" for key in found if key not in golden)
    for key in golden.keys() & found.keys():
        allowed = tolerance(key[-2])
        for column, expected in golden[key].items():
            value = found[key][column]
            if not same(value, expected, allowed):
                yield f"{name}: {' '.join(key)}: {column} is {value or 'empty'}, not {expected}"


def same(value, expected, allowed):
    """Whether two numbers, as text, agree; no number agrees only with no number."""
    if "" in (value, expected):
        return value == expected
    return math.isclose(float(value), float(expected), rel_tol=allowed, abs_tol=allowed)


def require_same(tables):
    """Fail with the first lines of what differs."""
    lines = [line for name, table in tables.items() for line in differences(name, table)]
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


def test_a_report_tabulates_the_golden_numbers_and_their_means_over_seeds(measured):
    require_same(measured.report())


def test_a_number_that_moves_by_more_than_its_tolerance_is_noticed():
    golden = make.read("accuracy")
    key = next(key for key in golden if key[-2] == "nll")
    moved = {**golden, key: {**golden[key], "value": str(float(golden[key]["value"]) + 1e-5)}}
    assert not list(differences("accuracy", golden))
    assert len(list(differences("accuracy", moved))) == 1
    del moved[key]
    assert len(list(differences("accuracy", moved))) == 1
