"""Runs on disk: what identifies them, and what happens if they are damaged or cannot be written."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from working_folder import NAME, change_card, picture, runs

from sdd_eval import store
from sdd_eval.cli import exit_code
from sdd_eval.records import Run, decode


def test_a_changed_standardisation_on_the_card_repeats_the_evaluation(here, capsys):
    assert exit_code(["accuracy", NAME]) == 0
    change_card(here, lambda model: model.update(mean=[0.9]))
    capsys.readouterr()
    assert exit_code(["accuracy", NAME]) == 0
    assert ", measured" in capsys.readouterr().out
    assert len(runs(here)) == 2


def test_a_copy_of_a_checkpoint_is_stored_under_its_own_name(here):
    shutil.copytree(here / "checkpoints" / NAME, here / "checkpoints" / "copy")
    assert exit_code(["accuracy", "copy"]) == 0
    assert [path.parent.name for path in runs(here)] == ["copy"]


def test_a_limit_that_cuts_only_the_outliers_is_a_limit(here):
    assert exit_code(["odin", NAME, "--outliers", "uniform", "--limit", "800"]) == 0
    (path,) = runs(here)
    cut = store.read_run(path)
    assert (cut.limit, cut.n) == (800, 797)
    assert "797 against 800 images" in cut.measurements[0].protocol.text


def test_a_limit_below_the_number_of_training_images_does_not_cut_them(here):
    for index in range(3):
        picture(here / "data" / "few" / f"{index}.png")
    flags = "--detectors mahalanobis --outliers few --limit 900"
    assert exit_code(["ood", NAME, *flags.split()]) == 0
    (path,) = runs(here)
    fitted = store.read_run(path)
    assert fitted.provenance.data["digits training"].images == 1000
    assert fitted.limit is None


def test_a_limit_above_the_number_of_images_is_stored_as_no_limit(here, capsys):
    assert exit_code(["accuracy", NAME, "--limit", "5000"]) == 0
    assert exit_code(["accuracy", NAME]) == 0
    assert "stored run reused" in capsys.readouterr().out
    (path,) = runs(here)
    assert store.read_run(path).limit is None


@pytest.mark.parametrize("damage", ["arrays lost", "arrays cut", "json cut"])
def test_a_damaged_run_is_evaluated_again(here, capsys, damage):
    assert exit_code(["calibration", NAME]) == 0
    (path,) = runs(here)
    whole = path.read_text()
    arrays = path.with_suffix(".npz")
    if damage == "arrays lost":
        arrays.unlink()
    elif damage == "arrays cut":
        arrays.write_bytes(arrays.read_bytes()[:100])
    else:
        path.write_text(whole[:100])
    with pytest.warns(store.DamagedFile, match="the run is measured again"):
        assert exit_code(["calibration", NAME]) == 0
    assert capsys.readouterr().out.count(", measured") == 2
    assert store.read_run(path).measurements == decode(Run, json.loads(whole)).measurements
    assert "logits" in store.read_run(path).arrays


def test_a_folder_where_a_run_is_to_be_written_is_refused_before_the_evaluation(here, refused):
    assert exit_code(["accuracy", NAME]) == 0
    (path,) = runs(here)
    path.unlink()
    path.mkdir()
    arrays = path.with_suffix(".npz")
    before = arrays.stat().st_mtime_ns
    with pytest.warns(store.DamagedFile):
        assert f"{path.name}: it is a folder; move it away" in refused(f"accuracy {NAME}")
    assert arrays.stat().st_mtime_ns == before


def test_a_run_that_another_process_is_writing_is_refused(here, refused, capsys):
    assert exit_code(["accuracy", NAME, "--json"]) == 0
    (path,) = runs(here)
    path.unlink()
    with store.locked(path, "writing"):
        assert "another process is writing" in refused(f"accuracy {NAME}")
    assert exit_code(["accuracy", NAME]) == 0
    assert runs(here) == [path]


@contextmanager
def room_for(octets: int) -> Iterator[None]:
    """Limit the size of files, which simulates a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    signals = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, signals)


def test_a_full_disk_is_one_line_and_the_command_succeeds_once_there_is_space(here, refused):
    with room_for(4000):
        message = refused(f"calibration {NAME}")
    assert "cannot write" in message
    assert "File too large" in message
    assert runs(here) == []
    assert [p for p in here.rglob("*.part")] == []
    assert exit_code(["calibration", NAME]) == 0
    assert len(runs(here)) == 1


def test_an_evaluation_killed_while_writing_leaves_no_run_and_can_be_repeated(here):
    code = (
        "import os, signal\n"
        "from sdd_eval import store\n"
        "from sdd_eval.cli import main\n"
        "store.write_record = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "main()\n"
    )
    command = [sys.executable, "-c", code, "accuracy", NAME]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL
    assert runs(here) == []
    assert exit_code(["accuracy", NAME]) == 0
    assert len(runs(here)) == 1
