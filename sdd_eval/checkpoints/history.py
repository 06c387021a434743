"""Read `history.csv`: training curves, and the gradients of forward and reverse KL."""

from __future__ import annotations

import contextlib
import csv
import math
from collections.abc import Iterator
from pathlib import Path

from sdd_eval.errors import InputError
from sdd_eval.protocol import Protocol
from sdd_eval.records import Measurement

_CLASSES = "of classes × probe images; gradients by the weights of the last linear layer, L2 norm"
_WHOLE = "gradient of the SD-Dropout term, T² in front, probe images' mean, by all parameters of"

#: Unit and definition of each column.
GRADIENT_COLUMNS = {
    "p_assumption_1": ("fraction", f"{_CLASSES}: the larger of p and q has the larger gradient"),
    "assumption_2_r": ("nats", f"mean |log(p/q)| {_CLASSES}"),
    "assumption_2_r1": ("nats", f"mean log(ρ log(ρ + e − 1)) {_CLASSES}, ρ larger over smaller"),
    "assumption_2": ("fraction", f"{_CLASSES}: |log(p/q)| is at most its r₁"),
    "proposition_1": ("fraction", f"{_CLASSES}: D > 0, reverse larger than forward"),
    "kl_cosine": ("number", f"cosine of forward and reverse KL's {_WHOLE} the layer"),
    "kl_forward_l1": ("number", f"L1 norm, forward KL's {_WHOLE} the layer"),
    "kl_forward_l2": ("number", f"L2 norm, forward KL's {_WHOLE} the layer"),
    "kl_reverse_l1": ("number", f"L1 norm, reverse KL's {_WHOLE} the layer"),
    "kl_reverse_l2": ("number", f"L2 norm, reverse KL's {_WHOLE} the layer"),
}


def metric_of(column: str) -> tuple[str, str]:
    """Return a column's metric and layer; the layer is empty if the column has none.

    >>> metric_of("kl_cosine@layer1"), metric_of("loss")
    (('kl_cosine', 'layer1'), ('loss', ''))
    """
    metric, _, layer = column.partition("@")
    return metric, layer


def gradient_study(history: Path) -> list[Measurement]:
    """Read the gradient study of a `history.csv`, with axes `epoch` and `layer`; empty without one.

    Raise InputError if the file contains something other than numbers.
    """
    with _errors(history):
        return [number for row in _rows(history) for number in _of_row(row)]


def training_curves(history: Path) -> list[tuple[int, dict[str, float]]]:
    """Return each epoch of a `history.csv` with its values by column; empty without the file.

    Raise InputError if the file contains something other than numbers.
    """
    with _errors(history):
        return [
            (int(row["epoch"]), {k: float(v) for k, v in row.items() if v and k != "epoch"})
            for row in _rows(history)
        ]


@contextlib.contextmanager
def _errors(history: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(f"cannot read {history}: {error}") from error


def _rows(history: Path) -> list[dict[str, str]]:
    try:
        with history.open(newline="", encoding="utf-8") as file:
            return [*csv.DictReader(file)]
    except FileNotFoundError:
        return []


def _of_row(row: dict[str, str]) -> Iterator[Measurement]:
    for column, text in row.items():
        metric, layer = metric_of(str(column))
        if metric in GRADIENT_COLUMNS and text:
            unit, definition = GRADIENT_COLUMNS[metric]
            at = {"epoch": int(row["epoch"]), **({"layer": layer} if layer else {})}
            if not math.isfinite(value := float(text)):
                raise ValueError(f"{column} is {text} in epoch {row['epoch']}")
            yield Measurement(metric, value, unit, at, Protocol({"definition": definition}))
