"""Join outputs of run.py into one study: python tests/gpu/merge.py OUT… [--reports FOLDER]

Writes FOLDER/paper-core, which `sdd-eval report paper-core` and `sdd-eval paper claims paper-core`
read, and prints what was measured beside the numbers of the paper and of its authors' logs. Cards
and histories of the networks are in its folder `training`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import environment
import pack

if TYPE_CHECKING:
    from sdd_eval.paper.comparison import PaperComparison

#: The tables of the paper whose networks the study trains.
TABLES = (1, 2, 5, 6, 7)
#: Accuracy of ResNet-18 on CIFAR-100 in the authors' logs, without and with SD-Dropout: in %, mean
#: and standard deviation of five seeds, twice.
LOGS = {False: "74.76 ± 0.33, 74.90 ± 0.21", True: "76.82 ± 0.34, 76.81 ± 0.41"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Join the outputs; return 2 if there is nothing to join."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("outputs", type=Path, nargs="+", metavar="OUT", help="output of run.py")
    parser.add_argument("--reports", type=Path, default=Path("reports"), help="folder of studies")
    parser.add_argument("--wheels", type=Path, help="folder of wheels of missing packages")
    flags = parser.parse_args(arguments)
    if wrong := [path for path in flags.outputs if not pack.is_output(path)]:
        print(f"merge.py: {wrong[0]} is no output of run.py", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        environment.prepare(Path(scratch), flags.wheels)
        works = [unpacked(output, Path(scratch) / f"{i}") for i, output in enumerate(flags.outputs)]
        names = {results["study"] for _, results in works if "study" in results}
        if len(names) != 1 or not any(work.glob("reports/*/runs/*/*.json") for work, _ in works):
            found = " and ".join(sorted(names)) or "no study"
            print(
                f"merge.py: these outputs have no runs of one study, but {found}", file=sys.stderr
            )
            return 2
        study = flags.reports / names.pop()
        for line in join(works, study):
            print(line)
        print(comparison_text(study))
    print(f"\n{study}: sdd-eval report {study.name}; sdd-eval paper claims {study.name}")
    return 0


def unpacked(output: Path, into: Path) -> tuple[Path, dict[str, Any]]:
    """Unpack an output; return the folder and its results."""
    if not pack.unpack(output, into):
        print(f"{output} is incomplete; what it has is used")
    return into, json.loads((into / pack.RESULTS).read_text())


def join(works: Sequence[tuple[Path, Mapping[str, Any]]], study: Path) -> list[str]:
    """Write runs, histories, results and description of a study; return notes.

    Of several networks of one name, which calls trained independently, the one with the most runs
    is used, the later one if they are equal.
    """
    runs: dict[str, dict[tuple[str, str], Path]] = {}
    for work, _ in works:
        for path in sorted(work.glob(f"reports/{study.name}/runs/*/*.json")):
            runs.setdefault(path.parent.name, {})[_weights(path), path.name] = path
        for folder in work.glob("training/*/"):
            shutil.copytree(folder, study / "training" / folder.name, dirs_exist_ok=True)
    notes = []
    for checkpoint, paths in sorted(runs.items()):
        counts = Counter(weights for weights, _ in reversed(paths))
        ((chosen, number), *others) = counts.most_common()
        if others:
            notes.append(
                f"{checkpoint}: {number} runs of one training; {len(others)} other left out"
            )
        for (weights, _), path in paths.items():
            if weights == chosen:
                _copy_run(path, study / "runs" / checkpoint)
    _describe(works, study)
    return notes


def _weights(run: Path) -> str:
    """Return the hash of the weights that a run measured."""
    return str(json.loads(run.read_text(encoding="utf-8"))["weights_sha256"])


def _copy_run(path: Path, into: Path) -> None:
    """Copy a run, its arrays first."""
    into.mkdir(parents=True, exist_ok=True)
    if path.with_suffix(".npz").is_file():
        shutil.copyfile(path.with_suffix(".npz"), into / f"{path.stem}.npz")
    shutil.copyfile(path, into / path.name)


def _describe(works: Sequence[tuple[Path, Mapping[str, Any]]], study: Path) -> None:
    """Write `study.json` of the whole study, with all seeds."""
    from sdd_eval import studies
    from sdd_eval.store import update_record

    file = next(work / "study.toml" for work, _ in works if (work / "study.toml").is_file())
    whole = studies.read_study(file, small=study.name.endswith("-small"))
    update_record(study / studies.RECORD, studies.record_of(whole))


def comparison_text(study: Path) -> str:
    """Return what was measured beside the paper's numbers and those of its authors' logs."""
    from sdd_eval.paper import rendering
    from sdd_eval.text_table import text_table

    measured, small = _measured(study), study.name.endswith("-small")
    rows = [
        (
            f"{number.table}",
            number.method + (" + SD-Dropout" if number.sd_dropout else ""),
            number.metric,
            rendering.format_conditions(number),
            rendering.format_number(number, number.value),
            _mean(one),
            f"{one.measured.n}",
            one.verdict,
        )
        for one in measured
        for number in [one.number]
    ]
    head = ("table", "method", "metric", "at", "paper", "measured", "seeds", "")
    lines = ["", text_table(rows, head)] if rows else ["no number of the paper was measured"]
    for one in (one for one in measured if one.number.table == 1 and not small):
        name = "SD-Dropout" if one.number.sd_dropout else "cross-entropy"
        logs = LOGS[one.number.sd_dropout]
        lines.append(f"accuracy of {name}: {_mean(one)} here; in the authors' logs {logs}")
    return "\n".join(lines)


def _measured(study: Path) -> list[PaperComparison]:
    """Return the paper's numbers that were measured."""
    from sdd_eval.paper.comparison import Substitutes, compare_with_paper
    from sdd_eval.paper.tables import paper_numbers
    from sdd_eval.report.runs import read_runs
    from sdd_eval.report.tables.groups import recipe_of
    from sdd_eval.report.tables.results import tidy
    from sdd_eval.studies import read_study_record

    runs, record = read_runs([study]).runs, read_study_record(study)
    small = Substitutes(record.names, record.stands_for) if record and record.small else None
    recipes = {run.name: recipe_of(run) for run in runs}
    numbers = [number for number in paper_numbers() if number.table in TABLES]
    compared = compare_with_paper(tidy(runs), recipes, small, numbers)
    return [one for one in compared if one.measured.n]


def _mean(one: PaperComparison) -> str:
    """Return mean and standard deviation over seeds, as the paper prints the number."""
    from sdd_eval.paper import rendering

    mean, std = (
        rendering.format_number(one.number, value)
        for value in (one.measured.mean, one.measured.std)
    )
    return mean if std == "—" else f"{mean} ± {std}"


if __name__ == "__main__":
    sys.exit(main())
