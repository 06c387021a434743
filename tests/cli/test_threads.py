"""`--threads` is everywhere where something is computed, means the same, and is said once."""

from __future__ import annotations

import pytest

from sdd_eval import plugins
from sdd_eval.cli import COMMANDS, exit_code
from sdd_eval.cli.data_command import COMMANDS as DATA_COMMANDS
from sdd_eval.device import set_threads

#: What only reads and writes files.
NOTHING_IS_COMPUTED = {
    "plugins", "show", "data list", "data get", "data add", "data check", "data cache",
}  # fmt: skip
#: What a command must be told before it looks at threads.
TOLD = {
    "compare": "one other",
    "batch": "paper/table-2",
    "import": "mine --arch small_cnn --weights none.pt",
    "train-detector": "--from none",
    "detection": "none",
    "data corrupt": "digits",
}
EVERY = {
    *(name for name in COMMANDS if name != "data"),
    *(f"data {name}" for name in DATA_COMMANDS),
    *("paper claims", "paper figure-1"),
    *(name.replace("_", "-") for name in plugins.names("evaluators")),
    *(f"train --method {name}" for name in plugins.names("methods")),
}
COMPUTING = sorted(EVERY - NOTHING_IS_COMPUTED)


@pytest.mark.parametrize("command", COMPUTING)
def test_every_command_that_computes_takes_threads(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = TOLD.get(
        command, "none" if command.replace("-", "_") in plugins.names("evaluators") else ""
    )
    assert exit_code([*command.split(), *told.split(), "--threads", "0"]) == 2
    assert capsys.readouterr().err == "sdd-eval: --threads is 0; it must be 1 or more\n"
    assert list(tmp_path.iterdir()) == []


def test_what_is_called_to_compute_nothing_does_not_take_threads(capsys):
    for command in sorted(NOTHING_IS_COMPUTED):
        assert exit_code([*command.split(), "--threads", "1"]) == 2, command
        assert "--threads" in capsys.readouterr().err


def test_threads_are_those_of_numpys_products_and_of_torch(monkeypatch):
    import numpy as np
    import threadpoolctl
    import torch

    def counts():
        return {each["num_threads"] for each in threadpoolctl.threadpool_info()}

    before = torch.get_num_threads()
    with threadpoolctl.threadpool_limits():  # leaves all as it was
        for threads in (2, 1):
            set_threads(threads)
            np.ones((2, 2)) @ np.ones((2, 2))
            assert counts() == {threads}
            assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
