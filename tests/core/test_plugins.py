from __future__ import annotations

import os
import shutil
from importlib.metadata import EntryPoint

import pytest

from sdd_eval import plugins
from sdd_eval.errors import InputError


def test_built_in_plugins_are_entry_points():
    assert {"accuracy", "calibration", "fgsm", "corruption", "odin"} <= set(
        plugins.names("evaluators")
    )
    assert "ce" in plugins.names("methods")
    assert plugins.names("no_such_group") == ()


def test_an_unknown_plugin_name_suggests_similar_names():
    with pytest.raises(InputError, match="unknown evaluator 'calibraton'; did you mean 'calib"):
        plugins.load("evaluators", "calibraton")


def test_an_import_error_of_a_plugin_is_reported_with_its_cause(monkeypatch):
    broken = EntryPoint("broken", "no_such_module:Thing", "sdd_eval.evaluators")
    monkeypatch.setattr(plugins, "points", lambda group: {"broken": broken})
    with pytest.raises(
        InputError, match=r"'broken' \(no_such_module:Thing\) cannot be imported: Mod"
    ):
        plugins.load("evaluators", "broken")


def test_plugins_installed_or_removed_later_are_noticed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    assert "guess" not in plugins.names("evaluators")
    info = tmp_path / "guesser-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: guesser\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sdd_eval.evaluators]\nguess = guesser:Guess\n")
    os.utime(tmp_path, (1e9, 1e9))  # a clock as coarse as some file systems' would miss it
    assert plugins.points("evaluators")["guess"].value == "guesser:Guess"
    shutil.rmtree(info)
    assert "guess" not in plugins.names("evaluators")


def test_installed_plugins_are_read_once(monkeypatch):
    plugins.names("models")
    monkeypatch.setattr(plugins, "entry_points", lambda: pytest.fail("read again"))
    assert "resnet18" in plugins.names("models")
    assert plugins.names("datasets")
    plugins.points("models").clear()  # what is handed out is the asker's own
    assert "resnet18" in plugins.names("models")
