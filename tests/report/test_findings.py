"""Findings: which differences are described, and how strongly."""

from __future__ import annotations

import itertools
from types import ModuleType

from sdd_eval.records import Measurement
from sdd_eval.report.tables.headline import Headline, headline
from sdd_eval.report.text.findings import FEW_SEEDS, findings


def measured(synthetic: ModuleType, plain: list[float], with_it: list[float]) -> Headline:
    """A headline of accuracies, without and with SD-Dropout, a seed each."""
    runs = []
    for weight, values in ((0.0, plain), (0.1, with_it)):
        for seed, value in enumerate(values):
            finding = [Measurement("accuracy", value, "fraction", protocol="top-1")]
            runs.append(synthetic.run_of(synthetic.network(weight, seed), "accuracy", finding))
    return headline(synthetic.table(runs)[0])


def test_three_seeds_per_side_support_a_sentence_about_the_method(synthetic: ModuleType) -> None:
    (finding,) = findings(measured(synthetic, [0.90, 0.91, 0.92], [0.95, 0.96, 0.97]))
    assert finding.title == "CE + SD-Dropout λ 0.1 compared with CE (digits, small_cnn)"
    assert finding.sentences == (
        "With 3 seeds per side, SD-Dropout changes accuracy from 91.0 ± 1.0 % to 96.0 ± 1.0 %, by "
        "+5.0 points [95 % interval over seeds: +2.7 to +7.3; p = 0.0036]: better.",
    )


def test_a_difference_without_spread_over_seeds_is_not_called_better(synthetic: ModuleType) -> None:
    table = measured(synthetic, [0.99] * 3, [0.9925] * 3)
    ((sentence,),) = [item.sentences for item in findings(table)]
    assert table.marks == set()
    assert "better" not in sentence
    assert "there is no interval over seeds" in sentence


def test_a_decrease_is_called_worse(synthetic: ModuleType) -> None:
    (finding,) = findings(measured(synthetic, [0.95, 0.96, 0.97], [0.90, 0.91, 0.92]))
    assert finding.sentences[0].endswith("−2.7; p = 0.0036]: worse.")


def test_seed_noise_is_stated_with_the_smallest_detectable_difference(
    synthetic: ModuleType,
) -> None:
    (finding,) = findings(measured(synthetic, [0.90, 0.92, 0.94], [0.93, 0.95, 0.97]))
    assert "This is within seed noise; the smallest difference detectable" in finding.sentences[0]
    assert finding.sentences[0].endswith("with a power of 80 % is 6.1 points.")
    assert "better" not in finding.sentences[0]


def test_p_values_are_corrected_over_the_pairs_of_a_column_and_the_best_leads(
    synthetic: ModuleType,
) -> None:
    """Alone, the interval of the first pair would call it better; the best leads three others."""
    values = {
        ("ce", 0.0): [0.90, 0.92, 0.94], ("ce", 0.1): [0.9475, 0.9675, 0.9875],
        ("ls", 0.0): [0.90, 0.92, 0.94], ("ls", 0.1): [0.90, 0.92, 0.94],
    }  # fmt: skip
    runs = [
        synthetic.run_of(
            synthetic.network(weight, seed, method=method),
            "accuracy",
            [Measurement("accuracy", value, "fraction", protocol="top-1")],
        )
        for (method, weight), numbers in values.items()
        for seed, value in enumerate(numbers)
    ]
    first, second = (item.sentences[0] for item in findings(headline(synthetic.table(runs)[0])))
    assert "p = 0.175 after Holm–Bonferroni correction over 4 tests]" in first
    assert "This is not significant after the correction; the smallest difference" in first
    assert second.endswith(": no change.")


def test_fewer_seeds_support_sentences_about_these_networks_only(synthetic: ModuleType) -> None:
    (finding,) = findings(measured(synthetic, [0.9], [0.95]))
    assert finding.sentences == (
        FEW_SEEDS,
        "For these two networks, accuracy is 90.0 % without and 95.0 % with SD-Dropout.",
    )
    assert "no evidence about the method" in FEW_SEEDS
    (finding,) = findings(measured(synthetic, [0.9, 0.91, 0.92], [0.95, 0.96]))
    assert finding.sentences[0] == FEW_SEEDS
    assert finding.sentences[1].startswith("For these 5 networks, ")


def test_sentences_of_few_networks_come_after_those_of_many_seeds(synthetic: ModuleType) -> None:
    runs = []
    for weight, seed in itertools.product((0.0, 0.1), range(3)):
        network, value = synthetic.network(weight, seed), 0.9 + weight / 2 + 0.01 * seed
        accuracy = Measurement("accuracy", value, "fraction", {}, "top-1")
        ece = Measurement("ece", value, "fraction", {"bins": 10}, "ten bins")
        runs.append(synthetic.run_of(network, "calibration", [ece]))
        if seed == 0:  # accuracy is the table's first column
            runs.append(synthetic.run_of(network, "accuracy", [accuracy]))
    (finding,) = findings(headline(synthetic.table(runs)[0]))
    assert [sentence.split()[0] for sentence in finding.sentences] == ["With", "The", "For"]


def test_an_interval_over_images_is_labelled_as_such(synthetic: ModuleType) -> None:
    runs = [
        synthetic.run_of(
            synthetic.network(weight, 0),
            "accuracy",
            [Measurement("accuracy", 0.9, "fraction", {}, "top-1", 0.86, 0.93, 0.9)],
        )
        for weight in (0.0, 0.1)
    ]
    (finding,) = findings(headline(synthetic.table(runs)[0]))
    assert "intervals are for new images, not new seeds" in finding.sentences[0]
    assert "90.0 % [90 %: 86.0 to 93.0] without and" in finding.sentences[1]
