from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from sdd_eval import plugins
from sdd_eval.errors import InputError


def test_the_built_in_plugins_are_entry_points_like_everybodys():
    assert {"accuracy", "calibration", "fgsm", "corruption", "odin"} <= set(
        plugins.names("evaluators")
    )
    assert "ce" in plugins.names("methods")
    assert plugins.names("no_such_group") == ()


def test_an_unknown_plugin_is_answered_with_what_was_meant():
    with pytest.raises(InputError, match="unknown evaluator 'calibraton'; did you mean 'calib"):
        plugins.load("evaluators", "calibraton")


def test_a_plugin_that_does_not_import_says_why(monkeypatch):
    broken = EntryPoint("broken", "no_such_module:Thing", "sdd_eval.evaluators")
    monkeypatch.setattr(plugins, "points", lambda group: {"broken": broken})
    with pytest.raises(InputError, match=r"'broken' \(no_such_module:Thing\) does not import: Mod"):
        plugins.load("evaluators", "broken")
