"""`sdd-eval evaluate --logits FILE --labels FILE`: evaluate logits without the network."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sdd_eval import evaluation, report, studies
from sdd_eval.cli.flags import command_line, require_positive
from sdd_eval.cli.terminal import print_warnings, relative, say, width
from sdd_eval.data.images import open_npy
from sdd_eval.errors import InputError
from sdd_eval.records import encode
from sdd_eval.store import folder_name


@dataclass(frozen=True)
class GivenLogits:
    """Logits computed elsewhere, instead of checkpoints; only what needs no network is measured."""

    logits: tuple[Path, ...] = ()
    """Files of logits, .npy (images, classes), one per network."""
    labels: Path | None = None
    """Class indices of the images, .npy (images,)."""
    outlier_logits: Mapping[str, Path] = field(default_factory=dict)
    """Logits of OOD sets as NAME FILE pairs; for a single network only."""
    outputs: Literal["logits", "probabilities"] | None = None
    """Content of the files: logits, or probabilities, of which the log is taken."""


def evaluate_logits(flags: Any) -> int:
    """Measure everything that needs only logits, and write the report."""
    given, study = flags.files, flags.storage.reports / folder_name("--study", flags.storage.study)
    _check(flags)
    require_positive("--limit", flags.data.limit)
    labels = open_npy(given.labels or Path())
    outliers = {name: open_npy(path) for name, path in given.outlier_logits.items()}
    runs, warnings = [], dict[str, None]()
    for path in given.logits:
        for step in _steps(flags.suite, outliers):
            evaluator = studies.configured(step.evaluator, step.settings)
            if not (flags.suite.evaluators or getattr(evaluator, "from_logits", False)):
                continue
            run = evaluation.evaluate_logits(
                open_npy(path),
                labels,
                evaluator,
                outliers=outliers,
                name=folder_name("--logits", path.stem),
                dataset=folder_name("--labels", (given.labels or path).stem),
                outputs=given.outputs,
                limit=flags.data.limit,
                study=study,
                command=command_line(),
            )
            runs.append(encode(run))
            warnings |= dict.fromkeys(run.provenance.warnings or ())
    print_warnings(warnings)
    page = report.write_report(study, images=flags.output.images)
    if flags.output.json:
        print(
            json.dumps({"page": str(page.absolute()), "runs": runs}, indent=1, ensure_ascii=False)
        )
    else:
        say(f"{report.headline_text(study, width=width())}\n")
        print(relative(page.absolute()))
    return 0


def _check(flags: Any) -> None:
    """Reject flags that cannot be combined with logits."""
    given = flags.files
    if flags.checkpoint:
        raise InputError("--logits replaces checkpoints; name one or the other")
    if given.labels is None:
        raise InputError("--logits needs --labels FILE.npy, the class index of each image")
    for flag, value in (
        ("--outliers", flags.data.outliers),
        ("--corrupted", flags.data.corrupted),
        ("--dataset", flags.model.dataset),
        ("--arch", flags.model.arch),
    ):
        if value:
            raise InputError(f"{flag} names images, but only logits are given; leave it out")
    stems = [path.stem for path in given.logits]
    if len({*stems}) < len(stems):
        raise InputError(f"--logits has two files of one name: {' '.join(stems)}; rename one")
    if given.outlier_logits and len(stems) > 1:
        raise InputError("--outlier-logits are of one network; give one file of --logits")


def _steps(suite: Any, outliers: Collection[str]) -> Iterator[studies.Step]:
    """Yield the steps of a suite that can be measured with these OOD sets."""
    steps = studies.SUITES[suite.suite]
    chosen = studies.steps_of(suite.evaluators, steps) if suite.evaluators else steps
    yield from (step for step in chosen if outliers or step.evaluator != "ood")
