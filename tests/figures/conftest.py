"""The results of two methods, and figures of them that are drawn and laid out only once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from sdd_eval import plugins
from sdd_eval.figures.points import tooltips_of
from sdd_eval.figures.style import house_style


@pytest.fixture(scope="session")
def whole(synthetic: ModuleType) -> tuple[Any, Any]:
    """The results table and the arrays of two methods × two seeds."""
    return synthetic.table(synthetic.whole(seeds=2))  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def at_width() -> Callable[[str, float, tuple[Any, Any]], Any]:
    """Draw a built-in figure at the width of one or two columns."""

    def draw(name: str, width: float, table: tuple[Any, Any]) -> Any:
        with house_style(width=width):
            return plugins.load("figures", name)(*table)

    return draw


@pytest.fixture(scope="session")
def laid_out(
    whole: tuple[Any, Any], at_width: Callable[[str, float, tuple[Any, Any]], Any]
) -> Callable[[str, float], Any]:
    """A figure of the whole table, drawn and laid out only once."""

    @functools.cache
    def draw(name: str, width: float) -> Any:
        drawn = at_width(name, width, whole)
        drawn.draw_without_rendering()
        return drawn

    return draw


@pytest.fixture(scope="session")
def tooltips() -> Callable[[Any], list[str]]:
    """Return the texts of a figure's tooltips."""

    def texts(drawn: Any) -> list[str]:
        drawn.draw_without_rendering()
        return [value.text for value in tooltips_of(drawn)]

    return texts
