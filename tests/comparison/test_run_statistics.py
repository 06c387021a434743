"""The statistics of a run give its measurements; swapping sums equals swapping images."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from pathlib import Path

import numpy as np
import pytest

from sdd_eval.arrays import Array, Arrays
from sdd_eval.comparison import differences, paired
from sdd_eval.comparison.compare import compare
from sdd_eval.comparison.matching import StoredRun
from sdd_eval.comparison.run_statistics import key, statistics_of, untested_lines
from sdd_eval.evaluators.adversarial.attack import Attack
from sdd_eval.evaluators.adversarial.fgsm import Fgsm
from sdd_eval.evaluators.adversarial.threat import EPSILONS
from sdd_eval.evaluators.calibration import Calibration
from sdd_eval.evaluators.corruption.corruption import Corruption
from sdd_eval.evaluators.evaluator import Intervals, score
from sdd_eval.evaluators.mask_variance import MaskVariance
from sdd_eval.evaluators.ood.detectors.odin import OdinGrid
from sdd_eval.evaluators.ood.ood import Odin, Ood
from sdd_eval.former_arrays import structured
from sdd_eval.metrics.adaptive_ece import adaptive_ece
from sdd_eval.metrics.classification import confidence_and_correct
from sdd_eval.metrics.corruption import FIFTEEN
from sdd_eval.records import Run, encode
from sdd_eval.statistics.closed_form import binned
from sdd_eval.statistics.sums import SumStatistic
from sdd_eval.store import write_run

N = 240
LABELS = np.arange(N) % 6
FEW = Intervals(resamples=20)


def calibration_arrays(random, temperature=False):
    logits = random.normal(0, 2, (N, 6)).astype(np.float32)
    logits[np.arange(N), LABELS] += 2 * (random.random(N) < 0.7)
    arrays = {"logits": logits, "labels": LABELS}
    if not temperature:
        return arrays
    return Arrays.of(arrays, temperature=1.3, temperature_error=0.1)


def flags(random, *shape):
    return random.random((N, *shape)) < random.uniform(0.2, 0.8)


def fgsm_arrays(random):
    evaluator = Fgsm()
    arrays = [Array("labels", LABELS), Array("predicted", random.integers(0, 6, N))]
    for variant in evaluator.variants:
        at = {"variant": variant, "gradient": "random"}
        arrays.append(Array("predicted", random.integers(0, 6, N), at=at))
    for attack in evaluator.attacks():
        table = random.integers(0, 6, (N, len(evaluator.sizes(attack))))
        arrays.append(Array("predicted", table, ("images", "epsilon"), attack.at))
        arrays.append(Array("zero_gradient", random.random(N) < 0.1, at=attack.at))
    return Arrays(arrays, temperature=1.3, mean=[0.5] * 3, std=[0.2] * 3)


def checks(random):
    return {
        f"{name}_{end}": random.random(N) < 0.1
        for name in ("zero_gradient", "zero_gradient_float32", "path_differs")
        for end in ("one", "fitted")
    } | {"temperature": np.full(N, 1.3)}


def audit_arrays(random):
    arrays = {"right": flags(random), "right_compared": flags(random)} | checks(random)
    for name in ("fgsm_one", "fgsm_fitted", "pgd_ce_one", "pgd_ce_fitted", "pgd_margin_one"):
        arrays[f"survives_{name}"] = flags(random, len(EPSILONS))
    for name in ("square_one", "transfer_one"):
        arrays[f"survives_{name}"] = flags(random, len(EPSILONS))
    return structured("attack", arrays)


def attack_arrays(random):
    threat = Attack(algorithm="AutoAttack", eps="8/255").threat(6)
    arrays = {"right": flags(random), "classes": np.full(N, 6), "channels": np.full(N, 3)}
    arrays |= checks(random)
    for end in ("one", "fitted"):
        arrays |= {
            f"survives_{end}": flags(random),
            f"broken_by_{end}": random.integers(0, 5, N),
            f"change_{end}": random.random(N) * 0.03,
        }
    facts = {"threat": dataclasses.asdict(threat), "cross_entropy": False}
    return structured("attack", arrays) | Arrays(**facts)


#: The number of images of the test set and of the OOD sets.
SIZES = {"": N, "svhn": 100, "dtd": 60}


def of_set(name):
    return {"outliers": name} if name else {}


def mask_arrays(random):
    return Arrays(
        Array(name, random.gamma(2.0, size=size), at=of_set(outliers))
        for name in ("squares", "spread")
        for outliers, size in SIZES.items()
    )


def odin_arrays(random, detector="odin"):
    arrays = []
    for name, shape in ((detector, ()), ("odin_grid", (len(OdinGrid().cells),))):
        for outliers, size in SIZES.items():
            values = random.normal(0.0 if outliers else 0.3, 1, (size, *shape))
            arrays.append(Array("scores", values, (), {"detector": name, **of_set(outliers)}))
    return Arrays(arrays)


def ood_arrays(random):
    return odin_arrays(random, "msp")


def corruption_arrays(random, base=0.25):
    arrays = {}
    for number, name in enumerate(["clean", *FIFTEEN]):
        shape = (N,) if name == "clean" else (N, 5)
        hard = 0.05 if name == "clean" else base + number / 60
        arrays[f"correct_{name}"] = random.random(shape) > hard
        arrays[f"confidence_{name}"] = random.random(shape).astype("f4")
    return structured("corruption", arrays) | Arrays(frost="official", origin="official")


KINDS = {
    "calibration": (Calibration(intervals=FEW), calibration_arrays),
    "validated": (
        Calibration(validation_set="x", intervals=FEW),
        lambda random: calibration_arrays(random, temperature=True),
    ),
    "fgsm": (Fgsm(intervals=FEW), fgsm_arrays),
    "attack": (Attack(algorithm="AutoAttack", eps="8/255", intervals=FEW), attack_arrays),
    "audit": (Attack(audit=True, transfer_from="third", intervals=FEW), audit_arrays),
    "mask_variance": (MaskVariance(outliers=("svhn", "dtd"), intervals=FEW), mask_arrays),
    "odin": (Odin(grid=True, training="digits", intervals=FEW), odin_arrays),
    "ood": (Ood(detectors=("msp",), grid=True, training="digits", intervals=FEW), ood_arrays),
    "corruption": (Corruption(baseline=("base",), intervals=FEW), corruption_arrays),
}
#: The metrics of each kind without a test. Of a grid only the best cell has none.
WITHOUT = {
    "calibration": {"ece_floor", "temperature_fitted"},
    "attack": {"attack_largest_change"},
    "audit": {"audit_flag", "audit_worst_case_both_right"},
}


#: Metrics that no method is known to cover.
NO_INTERVAL = ("mce", "ece_smooth")


def run_of(name, kind, arrays, baseline=None) -> Run:
    evaluator, _ = KINDS[kind]
    return Run(
        checkpoint=name,
        weights_sha256=name.encode().hex().ljust(64, "0"),
        dataset="digits",
        data_fingerprint="f" * 64,
        evaluator=evaluator.name,
        evaluator_version=evaluator.version,
        settings=encode(
            {f.name: getattr(evaluator, f.name) for f in dataclasses.fields(evaluator)}
        ),
        limit=None,
        n=N,
        measurements=score(evaluator, Arrays.of(arrays).against(baseline or {})),
        provenance={"created": "2026-01-02", "model": {"mean": [0.3], "std": [0.4]}},
        arrays=arrays,
    )


@functools.cache
def runs_of_kind(kind) -> list[Run]:
    """Return the runs of the networks "one" and "two", after that of a baseline if there is one."""
    make = KINDS[kind][1]
    arrays = {name: make(np.random.default_rng(s)) for s, name in enumerate(("base", "one", "two"))}
    baseline = {"base": arrays["base"]} if kind == "corruption" else None
    names = arrays if baseline else ("one", "two")
    return [run_of(name, kind, arrays[name], baseline) for name in names]


def written(folder: Path, runs) -> list[StoredRun]:
    """Write runs into a study and return them."""
    stored = []
    for run in runs:
        path = folder / "s/runs" / run.checkpoint / f"{run.evaluator}-digits-0.json"
        write_run(path, run)
        stored.append(StoredRun(path, run))
    return stored


@pytest.fixture(scope="module", autouse=True)
def _few_draws():
    """Draw few resamples and permutations: no test here depends on their number."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(differences, "RESAMPLES", 200)
        patch.setattr(paired, "permutations_needed", lambda size, exceedances: 199)
        patch.setattr(binned, "DRAWN_VALUES", 1)  # 200 draws, the fewest
        yield


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Return the comparison of two runs of a kind."""

    @functools.cache
    def compare_kind(kind):
        folder = tmp_path_factory.mktemp(kind)
        written(folder, runs_of_kind(kind))
        (pair,) = compare(folder / "s", ["one", "two"]).pairs
        return pair

    return compare_kind


@pytest.mark.parametrize("kind", KINDS)
def test_the_sums_over_images_give_the_measurements_of_the_run(kind, tmp_path):
    *_, stored, _ = written(tmp_path, runs_of_kind(kind))
    statistics = statistics_of(stored)
    assert statistics.problem == ""
    values = {}
    for part in (one for one in statistics.statistics if not one.untested):
        keys = [key(quantity.metric, quantity.at) for quantity in part.quantities]
        values |= dict(zip(keys, part.sums.values.tolist(), strict=True))
    without = set()
    for number in stored.run.measurements:
        value = values.get(key(number.metric, number.at))
        if value is None:
            assert statistics.untested_reason(number), number
            without.add((number.metric, number.at.get("grid")))
            continue
        near = {"rel": 0.01} if number.metric in ("ece_smooth",) else {"abs": 1e-4, "rel": 1e-4}
        assert value == pytest.approx(number.value, **near), (number.metric, number.at)
    metrics = {metric for metric, grid in without if grid != "best"}
    metrics -= {metric for metric in metrics if metric.startswith("bin_")}
    audit = stored.run.settings.get("audit")
    expected = WITHOUT.get("audit" if audit else stored.run.evaluator, set())
    assert metrics == expected & {m.metric for m in stored.run.measurements}


# Not "calibration", whose T would be fitted again after a swap, nor "odin" and "ood", whose scores
# are ranked within a network.
@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind not in ("calibration", "odin", "ood")]
)
def test_swapping_the_sums_equals_swapping_the_images(kind, tmp_path):
    """Swap the two networks' values of half of the images, drawn at random."""
    *_, one, two = written(tmp_path, runs_of_kind(kind))
    random = np.random.default_rng(9)
    coins: dict[int, np.ndarray] = {}

    def mixed(entry, other):
        first, second = entry.read(), other.read()
        size = len(first)
        coin = coins.setdefault(size, random.random(size) < 0.5)
        values = np.where(coin.reshape(-1, *[1] * (first.ndim - 1)), first, second)
        return dataclasses.replace(other, values=values)

    entries = zip(*(side.run.arrays.entries for side in (one, two)), strict=True)
    arrays = Arrays((mixed(*pair) for pair in entries), **two.run.arrays.facts)
    swapped = dataclasses.replace(two.run, arrays=arrays)
    stored = (one, two, StoredRun(two.path, swapped))
    parts = [statistics_of(item).statistics for item in stored]
    assert parts[0]
    for first, second, expected in zip(*parts, strict=True):
        if first.untested:
            continue
        sizes = second.sums.images
        sizes = (sizes,) if isinstance(sizes, int) else sizes
        coin = np.concatenate([coins[size] for size in sizes]).astype(np.float32)[None]
        ones = np.ones_like(coin)
        moved = ones @ second.sums.columns + coin @ (first.sums.columns - second.sums.columns)
        values = second.sums.finish(np.asarray(moved, dtype=np.float64))[0]
        np.testing.assert_allclose(values, expected.sums.values, rtol=1e-4, atol=2e-5)


def test_equal_mass_bins_are_exact_for_few_images():
    """The confidences of 150 images lie within a few thousandths; no two may share a cell."""
    random = np.random.default_rng(4)
    logits = random.normal(0, 1, (2, 150, 10)).astype(np.float32)
    labels = np.arange(150) % 10
    logits[:, np.arange(150), labels] += 8.0
    sides = [confidence_and_correct(item, labels) for item in logits]
    one, two = ({"logits": item, "labels": labels} for item in logits)
    first, second = (_adaptive_sums(item) for item in (one, two))
    assert first.values == pytest.approx(adaptive_ece(*sides[0], bins=10), abs=1e-7)
    coin = random.random(150) < 0.5
    mixed = [np.where(coin, *values) for values in zip(*sides, strict=True)]
    moved = _adaptive_sums({"logits": np.where(coin[:, None], *logits), "labels": labels})
    assert moved.values == pytest.approx(adaptive_ece(*mixed, bins=10), abs=1e-7)
    swapped = np.asarray(coin @ first.columns + ~coin @ second.columns, dtype=np.float64)[None]
    assert second.finish(swapped)[0] == pytest.approx(moved.values, abs=1e-7)


def _adaptive_sums(arrays) -> SumStatistic:
    parts = Calibration(bins=10).statistics(Arrays.of(arrays))
    return next(part.sums for part in parts if part.quantities[0].metric == "ece_adaptive")


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_has_a_p_value_or_the_reason_why_not(kind, compared):
    pair = compared(kind)
    assert pair.apart == ()
    for row in pair.rows:
        reason = row.test.startswith("no test: ")
        assert (row.p is None) == reason
        assert "not the runs' values" not in row.test, row
        if row.metric in NO_INTERVAL:
            assert row.low is row.high is row.both_low is None
            continue
        assert reason or row.low is None or row.low <= row.difference <= row.high
        assert row.low is None or row.p <= 0.05 or row.low <= 0 <= row.high
    lines = untested_lines(pair.rows)
    assert sum(row.p is None for row in pair.rows) == sum(
        int(line.split("(")[1].split(")")[0]) for line in lines
    )


def test_a_ratio_without_its_baseline_has_no_test(tmp_path):
    baseline, *_ = written(tmp_path, runs_of_kind("corruption"))
    baseline.path.unlink()
    (pair,) = compare(tmp_path / "s", ["one", "two"]).pairs
    rows = [row for row in pair.rows if "corruption_error" in row.metric]
    assert rows
    assert all("this study has no run of the baseline" in row.test for row in rows)


def test_audits_with_different_attacks_are_not_compared(tmp_path):
    one, two = written(tmp_path, runs_of_kind("audit"))
    other = dataclasses.replace(two.run, settings={**two.run.settings, "transfer_from": "one"})
    write_run(two.path, other)
    (pair,) = compare(tmp_path / "s", [one.run.checkpoint, "two"]).pairs
    assert pair.rows == ()
    assert "transfer from third and one (audits that did not try equally hard" in pair.apart[0]


def test_cells_of_a_grid_belong_to_no_family(compared):
    rows = compared("odin").rows
    grid = [row for row in rows if row.at.get("grid") == "cell"]
    assert len(grid) > 100
    assert {row.family for row in grid} == {""}
    assert all(row.p is not None and row.verdict == "" for row in grid)
    assert {row.size for row in rows if row.family == "cells"} == {4}


def test_every_calibration_error_detects_overconfidence(tmp_path):
    """Multiply the logits by 3: calibration errors differ, accuracy does not."""
    one = runs_of_kind("calibration")[0]
    logits = one.arrays["logits"]
    overconfident = run_of("two", "calibration", {"logits": 3 * logits, "labels": LABELS})
    written(tmp_path, [one, overconfident])
    (pair,) = compare(tmp_path / "s", ["one", "two"]).pairs
    errors = ("ece", "ece_adaptive", "ece_classwise", "ece_smooth", "ece_debiased", "nll")
    for row, metric in itertools.product(pair.rows, errors):
        if row.metric == metric and "temperature" not in row.at:
            assert row.p < 0.01, row
            assert row.metric == "ece_smooth" or row.low > 0
