"""What every command that measures checkpoints shares: flags, the request, and what is said."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from sdd_eval import plugins
from sdd_eval.cli.flags import Work, command_line, prepared, table
from sdd_eval.cli.progress_bar import Bar
from sdd_eval.data.root import data_root
from sdd_eval.errors import InputError, unknown_name
from sdd_eval.records import Measurement, encode
from sdd_eval.store import folder_name

if TYPE_CHECKING:
    from sdd_eval.evaluation import Outcome, Request

#: More rows than this are not for a terminal: only the means are printed.
ROWS = 24

Checkpoints = Annotated[
    tyro.conf.Positional[tuple[str, ...]],
    tyro.conf.arg(help="folder of a checkpoint, or its name", metavar="CHECKPOINT…"),
]


@dataclass(frozen=True)
class Looking:
    """What to look at, and where results go."""

    dataset: str | None = None
    """Test set, or a folder of images; by default the one that the checkpoint was trained for."""
    limit: int | None = None
    """Look at only so many images: a seeded subset, balanced by class."""
    seed: int = 0
    """Seed of the subset and of everything random."""
    batch_size: int = 256
    """Images a step."""
    checkpoints: Path = Path("checkpoints")
    """Where checkpoints are looked for by name."""
    reports: Path = Path("reports")
    """Where studies lie."""
    study: str = "default"
    """The study that the run belongs to."""
    json: bool = False
    """Print the runs as JSON instead of a table."""


def require_checkpoints(names: Sequence[str], command: str) -> None:
    """Refuse a command line that names no checkpoint.

    Raises:
        InputError: it does not.
    """
    if not names:
        raise InputError(f"which checkpoint? sdd-eval {command} CHECKPOINT… names at least one")


def request_of(evaluator: Any, looking: Looking, work: Work) -> Request:
    """What the flags ask of every checkpoint.

    Raises:
        InputError: the study's name is none, or there is no such device.
    """
    device = prepared(work)

    from sdd_eval.evaluation import Request

    return Request(
        evaluator=evaluator,
        study=looking.reports / folder_name("--study", looking.study),
        data_root=data_root(work.data_root),
        dataset=looking.dataset,
        limit=looking.limit,
        seed=looking.seed,
        device=device,
        batch_size=looking.batch_size,
        command=command_line(),
        trust_code=work.trust_code,
    )


def measure(
    evaluate: Callable[[Path, Request, Bar], Outcome],
    names: Sequence[str],
    request: Request,
    looking: Looking,
) -> int:
    """Measure each checkpoint, and print what came out.

    Raises:
        InputError: one of them is not there, or cannot be measured.
    """
    name = request.evaluator.name
    for folder in [found_checkpoint(each, looking.checkpoints) for each in names]:
        with Bar(f"{name} {folder.name}: ", "images") as bar:
            outcome = evaluate(folder, request, bar)
        if looking.json:
            print(json.dumps(encode(outcome.run), indent=1, ensure_ascii=False))
        else:
            print(_told(outcome))
    return 0


def found_checkpoint(name: str, folder: Path) -> Path:
    """A checkpoint's folder from its path or its name.

    Raises:
        InputError: there is none; the message names those that are there.
    """
    for path in (Path(name), folder / name):
        if (path / "card.json").is_file():
            return path
        if path.name == "card.json" and path.is_file():
            return path.parent
    there = sorted(card.parent.name for card in folder.glob("*/card.json"))
    raise unknown_name("checkpoint", name, there)


def _told(outcome: Any) -> str:
    """A finished run as a person reads it."""
    run = outcome.run
    measured = list(run.measurements)
    if len(measured) > ROWS:
        evaluator = plugins.load("evaluators", run.evaluator)
        wanted = getattr(evaluator, "headline", ()) or {m.metric for m in measured}
        measured = _headline([m for m in measured if m.metric in wanted])
    how = "measured" if outcome.looked else "scored again" if outcome.scored else "already there"
    images = f"{run.n:,} images" + (f" (limited to {run.limit:,})" if run.limit else "")
    origins = {name: each["origin"] for name, each in run.provenance["data"].items()}
    data = ", ".join(f"{name}: {origin}" for name, origin in origins.items())
    levels = {m.level for m in measured if m.level is not None}
    intervals = [interval(m) + _level(m, levels) for m in measured]
    rows = [(m.metric, _place(m), shown(m), i) for m, i in zip(measured, intervals, strict=True)]
    left = len(run.measurements) - len(rows)
    more = f"\n… and {left} more in the run" if left else ""
    title = f"{run.checkpoint} · {run.evaluator} on {images} ({data}), {how}"
    heading = f"{100 * max(levels):g} % interval" if len(levels) == 1 else "interval"
    numbers = table(rows, ("metric", "at", "value", heading))
    return f"{title}\n{numbers}{more}\n{outcome.path}\n"


def _headline(measured: list[Measurement]) -> list[Measurement]:
    """Of very many numbers a few of each metric: means before the parts that they are of."""
    metrics = list(dict.fromkeys(m.metric for m in measured))
    share = max(3, ROWS // len(metrics))
    kept = []
    for metric in metrics:
        kept += sorted((m for m in measured if m.metric == metric), key=_rank)[:share]
    return kept


def _rank(measurement: Measurement) -> tuple[bool, int]:
    """Means come before their parts: those called so, then those that fewer axes tell apart."""
    at = measurement.at
    return not str(at.get("outliers", "average")).startswith("average"), len(at)


def _place(measurement: Measurement) -> str:
    return " ".join(f"{axis}={value}" for axis, value in measurement.at.items())


def _level(measurement: Measurement, levels: set[float]) -> str:
    """At what level an interval holds, where the heading cannot say it for all.

    >>> _level(Measurement("accuracy", 0.5, "fraction", {}, "", 0.4, 0.6, 0.95), {0.9, 0.95})
    ' at 95 %'
    """
    if len(levels) < 2 or measurement.level is None:
        return ""
    return f" at {100 * measurement.level:g} %"


def interval(measurement: Measurement) -> str:
    """An interval as people read it, in the unit of its value; empty where there is none.

    >>> interval(Measurement("accuracy", 0.5, "fraction", {}, "", 0.4, 0.6, 0.95))
    '[40.00, 60.00]'
    """
    low, high = measurement.low, measurement.high
    if low is None or high is None:
        return ""
    return f"[{_number(measurement, low)}, {_number(measurement, high)}]"


def shown(measurement: Measurement) -> str:
    """A value as people read it: fractions that are rates in percent, the rest as they are."""
    text = _number(measurement, measurement.value)
    return f"{text} %" if _is_rate(measurement) else text


def _is_rate(measurement: Measurement) -> bool:
    return measurement.unit == "fraction" and not measurement.metric.startswith(("ece", "mce"))


def _number(measurement: Measurement, value: float) -> str:
    """A number in the unit in which people read the measurement."""
    if _is_rate(measurement):
        return f"{100 * value:.2f}"
    return f"{value:,.0f}" if measurement.unit in ("images", "count") else f"{value:.4f}"
