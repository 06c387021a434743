"""Flags and help of every command, and the packages that keep `--help` from loading torch."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import threadpoolctl
import torch

import sdd_eval
from sdd_eval import plugins
from sdd_eval.cli import COMMANDS, exit_code
from sdd_eval.cli.data_command import COMMANDS as DATA_COMMANDS
from sdd_eval.cli.export_command import COMMANDS as EXPORT_COMMANDS
from sdd_eval.device import set_threads

EVALUATORS = tuple(name.replace("_", "-") for name in plugins.names("evaluators"))
EVERY_COMMAND = sorted(
    {
        *(name for name in COMMANDS if name not in ("data", "export")),
        *(f"data {name}" for name in DATA_COMMANDS),
        *(f"export {name}" for name in EXPORT_COMMANDS),
        *("paper claims", "paper figure-1"),
        *EVALUATORS,
        *(f"train --method {name}" for name in plugins.names("methods")),
    }
)
#: Commands that only read and write files.
WITHOUT_THREADS = {"completion", *(f"export {name}" for name in EXPORT_COMMANDS),
    "plugins", "show", "data list", "data get", "data add", "data check", "data cache",
}  # fmt: skip
#: Arguments that commands check before the number of threads.
REQUIRED = {
    "compare": "one other",
    "batch": "paper/table-2",
    "import": "mine --arch small_cnn --weights none.pt",
    "train-detector": "--from none",
    "data corrupt": "digits",
    **dict.fromkeys(EVALUATORS, "none"),
}
#: Titles of groups of flags.
GROUPS = {
    *("data", "inference", "storage", "intervals", "compute", "engine", "output"),
    *("recipe", "method", "model", "accuracy", "training", "gate", "suite", "files", "further"),
}
ROOT = Path(sdd_eval.__file__).parent
LAZY_PACKAGES = sorted(
    ".".join(("sdd_eval", *path.parent.relative_to(ROOT).parts))
    for path in ROOT.rglob("__init__.py")
    if "lazy_exports(" in path.read_text()
)


def test_the_general_help_has_a_summary_of_every_command_and_evaluator(capsys):
    assert exit_code(["--help"]) == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    summaries = {words[0]: words[1:] for words in lines if words}
    assert all(summaries[name] for name in (*COMMANDS, *EVALUATORS))


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_help_has_plain_groups_metavars_and_defaults(command, capsys):
    with pytest.raises(SystemExit) as end:
        exit_code([*command.split(), "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: sdd-eval {command.split(' --')[0]} ")
    for jargon in ("{None}", "[STR [", "(default: )", "default: None", "default: False"):
        assert jargon not in text
    # The frame around a title depends on the version of tyro.
    groups = re.findall(r"^(?:╭─)? (\S+) options [─ ]+╮?$", text, re.MULTILINE)
    assert set(groups) <= GROUPS
    assert groups or command in ("completion", "plugins")


@pytest.mark.parametrize(
    ("command", "warning"),
    [
        ("train --dataset digits --drop 1.0", "--drop is now called --drop-rate"),
        ("mask-variance none --drop 0.3", "--drop is now called --drop-rate"),
        ("fgsm none --held-out=none", "--held-out is now called --validation-set"),
        ("fgsm none --readings pixel authors", "--readings is now called --variants"),
    ],
)
def test_the_former_name_of_a_flag_is_accepted_with_a_warning(command, warning, capsys):
    with pytest.warns(DeprecationWarning, match=warning):
        assert exit_code(command.split()) == 2
    assert "unrecognized" not in capsys.readouterr().err.lower()


def test_the_warning_about_a_former_name_is_one_line_on_standard_error(tmp_path):
    command = [sys.executable, "-m", "sdd_eval", "fgsm", "none", "--held-out", "none"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    first, second = done.stderr.splitlines()
    assert first == (
        "sdd-eval: DeprecationWarning: --held-out is now called --validation-set; use that name"
    )
    assert second.startswith("sdd-eval: unknown checkpoint 'none'")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train --image-size x", "--image-size: 'x' is not an integer"),
        ("train --milestones 1 b", "--milestones: 'b' is not an integer"),
        ("train --lr fast", "--lr: 'fast' is not a number"),
        ("import mine --mean .5 a", "--mean: 'a' is not a number"),
    ],
)
def test_a_value_of_another_type_is_refused_in_the_words_of_the_flag(arguments, message, capsys):
    assert exit_code(arguments.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"sdd-eval: {message} (see sdd-eval {arguments.split()[0]} --help)"


@pytest.mark.parametrize(
    ("command", "further"),
    [("fgsm", ""), ("corruption", ""), ("calibration", ""), ("batch", "numpy")],
)
def test_help_loads_only_what_it_shows(command, further):
    code = (
        "import sys\n"
        "from sdd_eval.cli import exit_code\n"
        f"try:\n    exit_code(['{command}', '--help'])\n"
        "except SystemExit:\n    pass\n"
        "slow = {'torch', 'scipy', 'pandas', 'PIL', 'typeguard', 'filelock'}\n"
        f"sys.exit(' '.join(sorted({{*slow, '{further}'}} & set(sys.modules))))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == "\n"
    assert done.stdout.startswith(f"usage: sdd-eval {command}")


@pytest.mark.parametrize("command", sorted(set(EVERY_COMMAND) - WITHOUT_THREADS))
def test_every_command_that_computes_takes_threads(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = REQUIRED.get(command, "").split()
    assert exit_code([*command.split(), *arguments, "--threads", "0"]) == 2
    assert capsys.readouterr().err == "sdd-eval: --threads is 0; it must be 1 or more\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", sorted(WITHOUT_THREADS))
def test_a_command_that_computes_nothing_does_not_take_threads(command, capsys):
    assert exit_code([*command.split(), "--threads", "1"]) == 2
    assert "--threads" in capsys.readouterr().err


def test_threads_limit_numpy_and_torch():
    def counts() -> set[int]:
        return {library["num_threads"] for library in threadpoolctl.threadpool_info()}

    before = torch.get_num_threads()
    with threadpoolctl.threadpool_limits():  # restores the limits afterwards
        for threads in (2, 1):
            set_threads(threads)
            np.ones((2, 2)) @ np.ones((2, 2))
            assert counts() == {threads}
            assert torch.get_num_threads() == threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", LAZY_PACKAGES)
def test_every_lazy_export_exists_and_is_not_hidden_by_a_submodule(name):
    package = importlib.import_module(name)
    for _ in range(2):  # the first use imports the submodule
        for exported in package.__all__:
            assert not isinstance(getattr(package, exported), ModuleType), exported
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = package.no_such_name
