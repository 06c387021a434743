"""The card of a single network: its worst class, over-confidence and threshold of confidence."""

from __future__ import annotations

import dataclasses
import html
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest

from sdd_eval.arrays import Arrays
from sdd_eval.evaluators.calibration import Calibration
from sdd_eval.evaluators.selective import Selective
from sdd_eval.metrics.selective import confidence_scores
from sdd_eval.report.tables.card import (
    Card,
    confidence_threshold,
    network_cards,
    shared_apart,
    worst_class,
)
from sdd_eval.report.tables.headline import headline
from sdd_eval.report.write import write_report


def logits_of(right: Any, labels: Any, margin: float) -> Any:
    """Return logits (n, 4) with a margin for the label where right, else for the next class."""
    predicted = np.where(right, labels, (labels + 1) % 4)
    return margin * np.eye(4, dtype=np.float32)[predicted]


def cards(synthetic: ModuleType, *runs: Any, names: tuple[str, ...] = ()) -> dict[str, Card]:
    results, arrays = synthetic.table(list(runs))
    return {card.title: card for card in network_cards(headline(results).rows, arrays, names)}


def test_the_worst_class_is_named_with_an_interval_for_the_lowest_of_all_classes() -> None:
    labels = np.repeat(np.arange(4), 50)
    right = (labels != 2) | (np.arange(200) % 2 == 0)
    arrays = Arrays.of({"logits": logits_of(right, labels, 5.0), "labels": labels})
    text = worst_class(arrays, ("ant", "bee", "cat", "dog"))
    assert text == "Lowest of 4 classes: class cat, 50.0 % (33.3 to 66.7)."
    assert "class 2," in worst_class(arrays)
    assert worst_class(Arrays()) == ""
    few = Arrays.of({"logits": logits_of(right, labels, 5.0)[:9], "labels": labels[:9]})
    assert worst_class(few) == "", "classes of so few images are not ranked"


@pytest.mark.parametrize(
    ("margin", "number"),
    [(8.0, "over-confident by 24.9 points"), (0.5, "under-confident by 39.5 points")],
)
def test_the_sign_of_the_calibration_error_is_stated_with_the_temperature_that_mends_it(
    synthetic: ModuleType, margin: float, number: str
) -> None:
    labels = np.arange(400) % 4
    right = np.arange(400) // 4 % 4 > 0
    arrays = Arrays.of({"logits": logits_of(right, labels, margin), "labels": labels})
    evaluator = Calibration()
    net = synthetic.network(0.0, 0)
    run = synthetic.run_of(net, "calibration", evaluator.score(arrays), arrays=arrays, n=400)
    card = cards(synthetic, run)["Calibration"]
    assert card.number == number
    low, high = map(float, card.detail.removesuffix(" points").split(" to "))
    assert low < float(number.split()[-2]) < high
    assert card.text.startswith("Divide the logits by T = ")
    assert "ECE 0." in card.text


def test_a_calibrated_network_is_not_called_over_confident(synthetic: ModuleType) -> None:
    labels = np.arange(400) % 4
    right = np.arange(400) // 4 % 4 > 0
    margin = float(np.log(9))  # softmax of a margin of log 9 over 3 others: .75
    arrays = Arrays.of({"logits": logits_of(right, labels, margin), "labels": labels})
    net = synthetic.network(0.0, 0)
    run = synthetic.run_of(net, "calibration", Calibration().score(arrays), arrays=arrays, n=400)
    assert cards(synthetic, run)["Calibration"].number == "no mean over-confidence"


def test_the_threshold_of_confidence_keeps_the_error_of_accepted_images_at_5_percent(
    synthetic: ModuleType,
) -> None:
    random = np.random.default_rng(0)
    labels = np.arange(1000) % 4
    margins = random.uniform(0, 6, 1000)
    right = random.random(1000) < 1 / (1 + 3 * np.exp(-margins))
    logits = logits_of(right, labels, 1.0) * margins[:, None]
    arrays = Arrays.of({"correct": right, "scores": confidence_scores(logits)})
    net = synthetic.network(0.0, 0)
    run = synthetic.run_of(net, "selective", Selective().score(arrays), arrays=arrays, n=1000)
    card = cards(synthetic, run)["When to abstain"]
    threshold = float(card.number.removeprefix("below "))
    accepted = 1 / (1 + 3 * np.exp(-margins)) >= threshold
    assert (~right[accepted]).mean() == pytest.approx(0.05, abs=0.01)
    assert f"accepts {100 * accepted.mean():.0f}" in card.text


def test_images_of_equal_score_are_accepted_together_or_not_at_all() -> None:
    assert confidence_threshold([2.0, 1.0, 1.0], [True, True, False]) == 2.0
    assert confidence_threshold([2.0, 2.0], [True, False]) is None


def test_the_weakest_corruption_and_the_weakest_set_are_named(synthetic: ModuleType) -> None:
    net = synthetic.network(0.0, 0)
    found = cards(synthetic, synthetic.corruption_run(net), synthetic.ood_run(net))
    assert found["Corruption"].text.startswith("Weakest: JPEG compression, 5")
    assert found["Corruption"].notes == ("Digits-C, regenerated",)
    assert found["Out-of-distribution"].number.startswith("AUROC 8")
    assert found["Out-of-distribution"].detail == "KNN"
    assert "the weakest of 3 sets" in found["Out-of-distribution"].text


def test_what_all_cards_note_is_apart_from_them_and_a_single_card_keeps_its_notes() -> None:
    cards = [Card("A", "a", "1", notes=("subset", "x")), Card("B", "b", "2", notes=("subset",))]
    apart, shared = shared_apart(cards)
    assert shared == ["subset"]
    assert [card.notes for card in apart] == [("x",), ()]
    assert shared_apart(cards[:1]) == (cards[:1], [])


def test_signs_of_masked_gradients_stand_at_the_audit_s_number(synthetic: ModuleType) -> None:
    card = cards(synthetic, synthetic.audit_run(synthetic.network(0.0, 0), ("zero_gradients",)))[
        "Adversarial"
    ]
    assert card.number.endswith(" at 2/255")
    assert card.notes == ("sign of masked gradients: Zero gradients",)


@pytest.mark.usefixtures("only_svg")
def test_the_page_of_one_network_shows_its_card_and_several_networks_have_none(
    synthetic: ModuleType, tmp_path: Path
) -> None:
    nets = synthetic.pair(seeds=1)
    alone = synthetic.write_study(tmp_path / "one", [synthetic.accuracy_run(nets[0])])
    page = write_report(alone).read_text()
    assert page.count('<section class="card">') == 1
    assert f"<h1>{nets[0].checkpoint}</h1>" in page
    both = synthetic.write_study(tmp_path / "two", [synthetic.accuracy_run(net) for net in nets])
    assert 'class="card"' not in write_report(both).read_text()


@pytest.mark.usefixtures("only_svg")
def test_networks_that_are_not_compared_have_a_card_each(
    synthetic: ModuleType, tmp_path: Path
) -> None:
    nets = [synthetic.network(0.0, 0, arch=arch) for arch in ("small_cnn", "resnet8")]
    runs = [synthetic.accuracy_run(nets[0]), *map(synthetic.corruption_run, nets)]
    page = write_report(synthetic.write_study(tmp_path / "study", runs)).read_text()
    parts = page.split('<div class="cards">')
    assert [part.count('<section class="card">') for part in parts[1:]] == [1, 2]
    headings = re.findall(r"<h2[^>]*>([^<]+) <span class=.where.>CE</span>", page)
    assert headings == ["Digits, ResNet-8", "Digits, small CNN"]


def test_each_card_names_classes_as_its_own_network_does(
    synthetic: ModuleType, tmp_path: Path
) -> None:
    labels = np.repeat(np.arange(4), 50)
    runs = []
    for arch, names in (
        ("small_cnn", ("ant", "bee", "cat", "dog")),
        ("resnet8", ("a", "b", "c", "d")),
    ):
        right = (labels != 2) | (np.arange(200) % 2 == 0)
        arrays = {"logits": logits_of(right, labels, 5.0), "labels": labels}
        run = synthetic.accuracy_run(synthetic.network(0.0, 0, arch=arch), arrays=arrays, n=200)
        provenance = msgspec.structs.replace(run.provenance, class_names=names)
        runs.append(dataclasses.replace(run, provenance=provenance))
    page = write_report(synthetic.write_study(tmp_path / "study", runs), figures=False).read_text()
    assert re.findall(r"Lowest of 4 classes: class (\w+)", page) == ["c", "cat"]


def test_a_note_that_all_cards_have_is_said_once(synthetic: ModuleType, tmp_path: Path) -> None:
    net, mine = synthetic.network(0.0, 0), {"digits": {"origin": "user's folder", "images": 360}}
    accuracy, corruption = synthetic.accuracy_run(net, data=mine), synthetic.corruption_run(net)
    data = {**mine, "digits_c_regenerated": {"origin": "regenerated"}}
    provenance = {**corruption.provenance.stored(), "data": data}
    runs = [accuracy, dataclasses.replace(corruption, provenance=provenance)]
    page = write_report(synthetic.write_study(tmp_path / "s", runs), figures=False)
    text = html.unescape(page.read_text())
    assert text.count('<p class="small flag">All numbers: Digits: user\'s folder.</p>') == 1
    cards = text.split('<div class="cards">')[1].split("<details>")[0]
    assert re.findall(r'class="remark">([^<]+)', cards) == ["Digits-C, regenerated"]
