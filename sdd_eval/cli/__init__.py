"""The command line: flags become calls; the only room that prints, catches and exits.

The first word is matched against names; only then is that command's module imported, so that
`--help`, `data list`, `report` and `plugins` never wait for torch.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence

from sdd_eval import plugins
from sdd_eval.errors import InputError, ReportedElsewhere, unknown_name
from sdd_eval.version import __version__

#: Each command's module in this package, NAME_command, has `run(arguments) -> exit code`.
COMMANDS = {
    "quickstart": "everything, on images that ship with scikit-learn: no download, no GPU",
    "train": "train a checkpoint, with or without SD-Dropout",
    "train-detector": "fine-tune a Faster R-CNN on the backbone of a checkpoint",
    "detection": "mAP and mAP@0.5 of object detectors",
    "import": "make a checkpoint of weights from elsewhere, and measure its accuracy",
    "data": "list, get, add, corrupt and check data sets",
    "batch": "all trainings and evaluations of a study file, and what is missing of them only",
    "report": "one page, CSV and figures from the runs of a study",
    "compare": "networks on the same images: paired differences, intervals and tests",
    "paper": "measured numbers beside the paper's tables, and what its text claims",
    "show": "what is known of a checkpoint",
    "proposition": "the paper's Lemma 1 and Proposition 1, checked in numbers",
    "plugins": "what is installed, and what of it does not import",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `sdd-eval` and exit: 0 done, 1 failed, 2 bad input, 130 interrupted."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:  # torchrun ends the others so where one fails
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as of a cluster's scheduler
    sys.exit(exit_code(sys.argv[1:] if arguments is None else arguments))


def exit_code(arguments: Sequence[str]) -> int:
    """Run a command line; the user's mistakes become one line on standard error."""
    try:
        code = dispatch(list(arguments))
        sys.stdout.flush()  # a reader that is gone is noticed here, and not as Python ends
        return code
    except ReportedElsewhere:
        return 2
    except InputError as error:
        print(f"sdd-eval: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sdd-eval: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `sdd-eval … | head` has read enough: what is left goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def dispatch(arguments: list[str]) -> int:
    """Match the first word against commands and evaluators and hand over the rest."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"sdd-eval {__version__}")
        return 0
    name = arguments[0].replace("-", "_")
    _refuse_several(name)
    if name.replace("_", "-") in COMMANDS:
        command = importlib.import_module(f"sdd_eval.cli.{name}_command")
        return int(command.run(arguments[1:]))
    evaluators = plugins.names("evaluators")
    if name in evaluators:
        from sdd_eval.cli import evaluate_command

        return evaluate_command.run(name, arguments[1:])
    raise unknown_name("command", arguments[0], [*COMMANDS, *evaluators])


def _refuse_several(name: str) -> None:
    """Refuse to do what one process does in each of those that torchrun started."""
    several = "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("WORLD_SIZE") != "1"
    if name == "train" or not several:
        return
    if os.environ.get("RANK") != "0":
        raise ReportedElsewhere("the first process says it")
    raise InputError(f"torchrun is for train; {name.replace('_', '-')} runs in one process")


def usage() -> str:
    """The names of all commands."""
    width = max(map(len, COMMANDS)) + 2
    lines = [f"  {name:<{width}}{line}" for name, line in COMMANDS.items()]
    return "\n".join(
        [
            "usage: sdd-eval COMMAND …      (sdd-eval COMMAND --help tells its flags)",
            "",
            *lines,
            "",
            "evaluators: sdd-eval EVALUATOR CHECKPOINT… measures each checkpoint",
            f"  {'  '.join(plugins.names('evaluators'))}",
        ]
    )
