"""The command line. Only this package prints, catches errors and exits.

The first word selects the module to import, so that `--help`, `data list`, `report` and `plugins`
never load torch.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

from sdd_eval import plugins
from sdd_eval.cli.terminal import open_standard_streams
from sdd_eval.device import wait_without_spinning
from sdd_eval.errors import InputError, ReportedElsewhere, unknown_name
from sdd_eval.lazy import lazy_exports
from sdd_eval.version import __version__

if TYPE_CHECKING:
    from sdd_eval.cli.progress_bar import Bar, LogHandler, Overall
else:
    __getattr__, __all__ = lazy_exports(__name__)

#: Each command with its summary.
COMMANDS = {
    "evaluate": "measure checkpoints by a suite of evaluators and write the report",
    "quickstart": "train, evaluate and report on scikit-learn's digits; no download, no GPU",
    "train": "train an image classifier, with or without SD-Dropout",
    "train-detector": "fine-tune a Faster R-CNN on the backbone of a trained classifier",
    "import": "convert existing weights to a checkpoint and check their accuracy",
    "batch": "run all missing trainings and evaluations of a study file",
    "report": "write the report of a study: an HTML page, CSV tables and figures",
    "verify": "recompute a report from its runs: numbers, tables, comparisons, page",
    "compare": "compare networks on the same images: differences, intervals, tests",
    "plan": "estimate how many seeds or images would show a difference",
    "paper": "compare measured numbers with the tables and claims of the paper",
    "proposition": "check Lemma 1 and Proposition 1 of the paper numerically",
    "data": "list, download, add, corrupt and verify data sets",
    "export": "write a model card, or log to wandb, TensorBoard or MLflow",
    "show": "print the card of a checkpoint: architecture, recipe, metrics",
    "completion": "print a script by which a shell completes commands and flags",
    "plugins": "list the installed plugins and those that fail to import",
}

#: Commands not implemented by `run` in a module NAME_command.
_FUNCTIONS = {
    "quickstart": ("batch_command", "run_quickstart"),
    "train_detector": ("train_command", "run_detector"),
    "proposition": ("paper_command", "run_proposition"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `sdd-eval` and exit: 0 success, 1 failure, 2 invalid input, 130 interrupted."""
    open_standard_streams()
    wait_without_spinning()
    if "TORCHELASTIC_RUN_ID" not in os.environ:  # torchrun ends its processes by SIGTERM
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # sent by cluster schedulers
    warnings.filterwarnings("default", ".* is now called ", DeprecationWarning)
    warnings.formatwarning = _one_line
    sys.exit(exit_code(sys.argv[1:] if arguments is None else arguments))


def _one_line(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> str:
    return f"sdd-eval: {category.__name__}: {message}\n"


def exit_code(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code; errors are one line on standard error."""
    try:
        code = dispatch(list(arguments))
        sys.stdout.flush()  # raises here rather than when Python exits
        return code
    except ReportedElsewhere:
        return 2
    except InputError as error:
        _report(str(error))
        return 2
    except KeyboardInterrupt:
        _report("interrupted; run the same command again to resume")
        return 130
    except BrokenPipeError:  # `sdd-eval … | head` has read enough
        _discard(sys.stdout)
        return 0
    except OSError as error:  # a full disk, a folder without permission, a full standard output
        _discard(sys.stdout)
        _report(f"{error.filename or 'cannot write'}: {error.strerror or error}")
        return 1


def _report(message: str) -> None:
    """Print an error as one line on standard error, if possible."""
    with contextlib.suppress(OSError):
        print(f"sdd-eval: {' '.join(message.split())}", file=sys.stderr)
    _discard(sys.stderr)


def _discard(stream: TextIO) -> None:
    """Discard output that a stream does not accept, so that Python does not fail when it exits."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def dispatch(arguments: list[str]) -> int:
    """Call the command or evaluator named by the first argument with the remaining arguments."""
    for argument in arguments:
        if "\0" in argument:
            raise InputError(f"{argument!r} contains a null character, which no name or path may")
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"sdd-eval {__version__}")
        return 0
    name = arguments[0].replace("-", "_")
    _refuse_torchrun(name)
    if name.replace("_", "-") in COMMANDS:
        module, function = _FUNCTIONS.get(name, (f"{name}_command", "run"))
        command = importlib.import_module(f"sdd_eval.cli.{module}")
        return int(getattr(command, function)(arguments[1:]))
    evaluators = plugins.names("evaluators")
    if name in evaluators:
        command = importlib.import_module("sdd_eval.cli.evaluator_command")
        return int(command.run(name, arguments[1:]))
    known = [*COMMANDS, *(evaluator.replace("_", "-") for evaluator in evaluators)]
    raise unknown_name("command", arguments[0], known)


def _refuse_torchrun(name: str) -> None:
    """Refuse to run a command in several processes started by torchrun."""
    several = "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("WORLD_SIZE") != "1"
    if name == "train" or not several:
        return
    if os.environ.get("RANK") != "0":
        raise ReportedElsewhere("the first process reports it")
    raise InputError(f"torchrun is for train; run {name.replace('_', '-')} without it")


def usage() -> str:
    """Return the help of `sdd-eval` itself."""
    evaluators = {
        name.replace("_", "-"): plugins.summary("evaluators", name)
        for name in plugins.names("evaluators")
    }
    width = max(map(len, [*COMMANDS, *evaluators])) + 2
    return "\n".join(
        [
            "usage: sdd-eval COMMAND [OPTIONS]",
            "       sdd-eval EVALUATOR CHECKPOINT… [OPTIONS]",
            "",
            "Train image classifiers and measure their calibration and robustness.",
            "",
            "commands:",
            *(f"  {name:<{width}}{summary}" for name, summary in COMMANDS.items()),
            "",
            "evaluators:",
            *(f"  {name:<{width}}{summary}".rstrip() for name, summary in evaluators.items()),
            "",
            "`sdd-eval COMMAND --help` and `sdd-eval EVALUATOR --help` list the options.",
        ]
    )
