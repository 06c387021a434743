"""The paper's tables with the measured numbers, as cells and as a data frame."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sdd_eval.metrics import formatting
from sdd_eval.metrics.names import display_name
from sdd_eval.metrics.registry import metric
from sdd_eval.paper.comparison import PaperComparison
from sdd_eval.paper.tables import PaperNumber, best_values, paper_numbers, wrongly_bold

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

#: How this package interprets details that the paper leaves open, by table.
INTERPRETATIONS = {
    2: "ten bins of equal width, at T = 1",
    3: "λ = 0.1 as in the paper, or 1 as in its code",
    4: "torchvision's reference training of Faster R-CNN; .5x is 7 epochs, 1x is 12",
    5: "FGSM as in the authors' code: a step of 0.2 on standardised pixels against the network's "
    "own predictions, clipped to [0, 1] there, gradient in float32",
    7: "ODIN at T = 1000, ε = .0028 in pixels; detection error at the best threshold; AUPR by "
    "counts; lsun is LSUN-resize, svhn the first 1,000 of each class",
    8: "gradients with respect to the weights of the last linear layer, Euclidean norm",
    11: "the row with a dagger (equal_steps) equalises the training steps and does not say how; "
    "here it is CE(clean) + λ CE(dropped), the one candidate in the authors' code",
    12: "after layer1 to layer3 whole channels are dropped, and each masked map is propagated "
    "separately",
    13: "ReLU after the 512 units; the masks apply to the feature before them",
    14: "drop rate and λ are chosen on the test images",
}


@dataclass(frozen=True)
class Cell:
    """A comparison, and whether the printed and measured values are the best of their contests."""

    comparison: PaperComparison
    paper_best: bool
    measured_best: bool
    wrongly_bold: bool


def cells(comparisons: Sequence[PaperComparison]) -> tuple[Cell, ...]:
    """Return the cells of one or more tables, with the best values marked."""
    numbers = [comparison.number for comparison in comparisons]
    printed = best_values(numbers, {index: number.value for index, number in enumerate(numbers)})
    means = {
        i: compared.measured.mean for i, compared in enumerate(comparisons) if compared.measured.n
    }
    measured = best_values(numbers, means)
    wrong = wrongly_bold(paper_numbers())
    return tuple(
        Cell(compared, index in printed, index in measured, compared.number in wrong)
        for index, compared in enumerate(comparisons)
    )


def comparison_frame(comparisons: Sequence[PaperComparison]) -> pandas.DataFrame:
    """Return a row per number, with fractions where the paper has percent."""
    import pandas

    frame: pandas.DataFrame = pandas.DataFrame([_record(cell) for cell in cells(comparisons)])
    return frame


def _record(cell: Cell) -> dict[str, Any]:
    comparison, number = cell.comparison, cell.comparison.number
    names = ("table", "dataset", "model", "method", "sd_dropout", "metric")
    return {
        **{name: getattr(number, name) for name in names},
        "at": json.dumps(number.at) if number.at else "",
        "paper": number.value,
        "measured": comparison.measured.mean,
        "std": comparison.measured.std,
        "seeds": comparison.measured.n,
        **{name: getattr(comparison, name) for name in ("difference", "low", "high", "verdict")},
        "why": "; ".join(comparison.reasons),
        "paper_best": cell.paper_best,
        "measured_best": cell.measured_best,
        "wrongly_bold_in_paper": cell.wrongly_bold,
        "measured_metric": comparison.metric,
        "checkpoints": " ".join(comparison.checkpoints),
    }


def format_number(number: PaperNumber, value: float, sign: bool = False) -> str:
    """Format a value (a fraction for percent) like a printed number, with its sign if `sign`."""
    factor = 100 if number.percent else 1
    digits = max(0, round(-math.log10(2 * number.rounding * factor)))
    printed = replace(metric(number.metric), percent=number.percent, digits=digits)
    return formatting.format_number(printed, value, sign=sign)


_CONDITIONS = {"epsilon": "ε", "lambda": "λ", "hidden_layers": "hidden layers"}


def format_conditions(number: PaperNumber) -> str:
    """Format the conditions of a number, such as "λ 0.1, drop 0.1"."""
    return ", ".join(f"{_CONDITIONS.get(name, name)} {value}" for name, value in number.at.items())


#: What the row of a table names, by table; elsewhere method and `_VARIANTS`.
_ROWS = {
    **{5: ("dataset",), 6: ("corruption",), 7: ("outliers", "method"), 8: ("metric",)},
    **{10: ("model",), 14: ("lambda",)},
}
_VARIANTS = ("direction", "position", "variant", "hidden_layers")
#: What the column of a table names, by table; elsewhere the data set.
_COLUMNS = {
    **{2: ("metric",), 3: ("metric",), 4: ("metric", "epochs"), 5: ("method",), 6: ("method",)},
    **{7: ("metric",), 8: ("epoch",), 10: ("method",), 14: ("drop",)},
}


def _labels(number: PaperNumber) -> dict[str, str]:
    """Return the labels of everything that distinguishes a number within its table."""
    method = display_name(number.method) + (" + SD-Dropout" if number.sd_dropout else "")
    constant = ("bins", "detector", "epsilon") if number.table != 4 else ()
    at = {name: str(value) for name, value in number.at.items() if name not in constant}
    at |= {name: display_name(at[name]) for name in ("corruption", "outliers") if name in at}
    at |= {"lambda": f"λ {at['lambda']}"} if "lambda" in at else {}
    return {
        "dataset": display_name(number.dataset),
        "model": number.model,
        "method": method,
        "metric": metric(number.metric).title,
        **at,
    }


def row_label(number: PaperNumber) -> str:
    """Return the label of the row that a number is in."""
    labels = _labels(number)
    if number.table in _ROWS:
        names = [labels[name] for name in _ROWS[number.table] if name in labels]
        return ", ".join(names or [labels["metric"]]).replace("_", " ")
    variants = [f"{name} {labels[name]}" for name in _VARIANTS if name in labels]
    return labels["method"] + (f" ({', '.join(variants)})" if variants else "")


def column_label(number: PaperNumber) -> str:
    """Return the heading of the column that a number is in."""
    labels = _labels(number)
    names = _COLUMNS.get(number.table, ("dataset",))
    prefixes = {"epoch": "epoch ", "drop": "drop ", "epochs": "epochs "}
    return ", ".join(prefixes.get(name, "") + labels[name] for name in names if name in labels)
