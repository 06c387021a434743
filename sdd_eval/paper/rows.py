"""A table of the paper with what was measured of it, row by row, for terminals and CSV."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdd_eval.paper.comparison import Beside
from sdd_eval.paper.leaders import leaders, wrongly_bold
from sdd_eval.paper.tables import PaperNumber, paper_numbers

if TYPE_CHECKING:
    import pandas

TITLES = {
    1: "Accuracy of every method, with and without SD-Dropout",
    2: "Expected calibration error",
    3: "ImageNet, ResNet-152",
    4: "Object detection on COCO, Faster R-CNN",
    5: "Accuracy under FGSM, ε = 0.2",
    6: "Accuracy on corrupted images (CIFAR-100-C)",
    7: "Out-of-distribution detection by ODIN",
    8: "Assumptions 1 and 2 during training",
    9: "Direction of distillation",
    10: "Other networks",
    11: "Standard dropout against SD-Dropout",
    12: "Position of the two masks",
    13: "Two fully connected layers",
    14: "Weight λ × drop rate",
}

#: What a table leaves open, and how it is read here.
READ_AS = {
    2: "ten bins of equal width, at T = 1",
    3: "λ 0.1 as the paper says, or 1 as its code does",
    4: "torchvision's reference of Faster R-CNN; .5x is 7 epochs, 1x is 12",
    5: "FGSM as the authors ran it: a step of 0.2 on standardised pixels against the network's own "
    "predictions, clipped to [0, 1] there, gradient in float32",
    7: "ODIN at T = 1000, ε = .0028 in pixels; detection error at the best threshold; AUPR by "
    "counts; lsun is LSUN-resize, svhn the first 1,000 of each class",
    8: "gradients by the weights of the last linear layer, their Euclidean norm",
    11: "the row with a dagger (equal_steps) equalises the training steps and does not say how; "
    "here it is CE(clean) + λ CE(dropped), the one candidate in the authors' code",
    12: "after layer1 to layer3 whole channels fall, and each masked map runs on by itself",
    13: "ReLU after the 512 units; masks fall on the feature before them",
    14: "drop rate and λ are chosen on the test images",
}


@dataclass(frozen=True)
class Line:
    """A number beside its measurement, and whether each of the two leads its contest."""

    beside: Beside
    leads: bool
    measured_leads: bool
    wrongly_bold: bool


def lines(besides: Sequence[Beside]) -> tuple[Line, ...]:
    """The numbers of one or more tables with their leaders."""
    numbers = [each.number for each in besides]
    printed = leaders(numbers, {index: number.value for index, number in enumerate(numbers)})
    means = {i: each.measured.mean for i, each in enumerate(besides) if each.measured.n}
    measured = leaders(numbers, means)
    wrong = [_key(number) for number in wrongly_bold(paper_numbers())]
    return tuple(
        Line(each, index in printed, index in measured, _key(each.number) in wrong)
        for index, each in enumerate(besides)
    )


def frame(besides: Sequence[Beside]) -> pandas.DataFrame:
    """The tidy table that is written as CSV: fractions where the paper has percent."""
    import pandas

    found: pandas.DataFrame = pandas.DataFrame([_record(line) for line in lines(besides)])
    return found


def _record(line: Line) -> dict[str, Any]:
    beside, number = line.beside, line.beside.number
    return {
        "table": number.table,
        "dataset": number.dataset,
        "model": number.model,
        "method": number.method,
        "sd_dropout": number.sd_dropout,
        "metric": number.metric,
        "at": json.dumps(number.at) if number.at else "",
        "paper": number.value,
        "measured": beside.measured.mean,
        "std": beside.measured.std,
        "seeds": beside.measured.n,
        "difference": beside.difference,
        "low": beside.judged.low,
        "high": beside.judged.high,
        "verdict": beside.judged.verdict,
        "why": "; ".join(beside.judged.why),
        "paper_best": line.leads,
        "measured_best": line.measured_leads,
        "wrongly_bold_in_paper": line.wrongly_bold,
        "measured_metric": beside.metric,
        "checkpoints": " ".join(beside.checkpoints),
    }


def shown(number: PaperNumber, value: float, sign: bool = False) -> str:
    """A value as the paper prints it, or a difference with its sign; "—" for none."""
    if math.isnan(value):
        return "—"
    factor = 100 if number.percent else 1
    digits = max(0, round(-math.log10(2 * number.rounding * factor)))
    text = f"{value * factor:{'+' if sign else ''}.{digits}f}"
    return text.replace("-", "−")


def place(number: PaperNumber) -> str:
    """Where a number holds, in words."""
    return ", ".join(f"{_WORDS.get(name, name)} {value}" for name, value in number.at.items())


_WORDS = {"epsilon": "ε", "lambda": "λ", "hidden_layers": "hidden layers"}


def _key(number: PaperNumber) -> str:
    return repr(number)
