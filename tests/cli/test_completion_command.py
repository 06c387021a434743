"""`sdd-eval completion`: the shell offers commands, flags, subcommands, checkpoints and files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sdd_eval.cli import COMMANDS, exit_code


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with two checkpoints, a file and an empty one."""
    folder = tmp_path_factory.mktemp("completion")
    for name in ("checkpoints/digits-a", "checkpoints/digits-b", "empty"):
        (folder / name).mkdir(parents=True)
    (folder / "mine.npy").touch()
    return folder


@pytest.fixture
def script(capsys: pytest.CaptureFixture[str]) -> str:
    assert exit_code(["completion", "bash"]) == 0
    return capsys.readouterr().out


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_words(script: str, folder: Path) -> None:
    for typed, offered in (
        ("eval", ["evaluate"]),
        ("evaluate --su", ["--suite"]),
        ("mask-variance --drop", ["--drop-rate"]),
        ("data ch", ["check"]),
        ("fgsm digits", ["digits-a", "digits-b"]),
        ("evaluate --logits mi", ["mine.npy"]),
        ("nothing --x", []),
    ):
        words = ["sdd-eval", *typed.split()]
        quoted = " ".join(words)
        complete = f"COMP_WORDS=({quoted}) COMP_CWORD={len(words) - 1}; _sdd_eval"
        command = f'{script}\n{complete}; printf "%s\\n" "${{COMPREPLY[@]}}"'
        shell = subprocess.run(
            ["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=True
        )
        assert shell.stdout.split() == offered, typed
        assert not shell.stderr


def test_every_shell_knows_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for shell in ("zsh", "fish"):
        assert exit_code(["completion", shell]) == 0
        output = capsys.readouterr().out
        assert all(command in output for command in COMMANDS)
        assert "fail-if" in output


def test_an_unknown_shell_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["completion"]) == 2
    assert "completion bash, zsh or fish" in capsys.readouterr().err
    assert exit_code(["completion", "csh"]) == 2
    assert "csh" in capsys.readouterr().err
