"""Write a model card of the Hugging Face Hub: metadata, findings, figures and conditions.

The metadata contain the results as a `model-index`, which the Hub shows beside the card.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sdd_eval import plugins, store
from sdd_eval.errors import InputError
from sdd_eval.export.numbers import IDENTITY, CheckpointNumbers
from sdd_eval.export.yaml import to_yaml
from sdd_eval.metrics.formatting import format_interval, format_setting, format_value
from sdd_eval.metrics.names import display_name
from sdd_eval.progress import Progress
from sdd_eval.records import OBJECT_DETECTION, task_of_arch
from sdd_eval.report.drawing.cache import read_cache
from sdd_eval.report.drawing.draw import ReportFigure, draw_figures
from sdd_eval.report.tables.card import network_cards, shared_apart
from sdd_eval.report.tables.columns import settings_label
from sdd_eval.report.tables.groups import method_label
from sdd_eval.report.tables.headline import Headline, HeadlineCell, HeadlineRow, headline
from sdd_eval.report.tables.provenance import data_sets, environment
from sdd_eval.report.tables.summary import comparable_results
from sdd_eval.statistics.intervals import LEVEL
from sdd_eval.version import __version__

#: The file that the Hub shows, and the comment by which a card of this package is recognised.
README, MARK = "README.md", "<!-- written by sdd-eval export model-card -->"


def write_model_card(
    source: CheckpointNumbers,
    folder: Path,
    *,
    license_name: str = "",
    progress: Progress | None = None,
) -> Path:
    """Write `README.md` and the folder `figures` for the Hub; return the path of the card.

    Figures that the study's report has with the same numbers are copied; others are drawn.

    Raises:
        InputError: the folder has a `README.md` that this function did not write.
    """
    card = folder / README
    if card.exists() and MARK not in card.read_text(encoding="utf-8", errors="replace"):
        raise InputError(f"{card} is not a card of sdd-eval; remove it, or use another --into")
    parts, arrays = comparable_results(source.results), source.collection.arrays
    cache = read_cache(source.study / "figures")
    names = plugins.names("figures")
    drawn, _ = draw_figures(names, parts, arrays, progress=progress, cache=cache)
    figures = [figure for figure in drawn if "png" in figure.formats]
    for figure in figures:
        content = figure.rendered.files[".png"]
        store.write_bytes(folder / "figures" / f"{figure.name}.png", content)
    tables = [headline(part.results) for part in parts]
    metadata = _metadata(source, tables, license_name)
    store.write_text(card, f"---\n{metadata}\n---\n{MARK}\n\n{_body(source, tables, figures)}")
    return card


def _metadata(source: CheckpointNumbers, tables: Sequence[Headline], license_name: str) -> str:
    tasks = {_task(row)["type"] for table in tables for row in table.rows}
    results = [
        {"task": _task(row), "dataset": _dataset(row), "metrics": metrics}
        for table in tables
        for row in table.rows
        if (metrics := [_metric(table, *pair) for pair in _measured(table, row)])
    ]
    index = {"model-index": [{"name": source.name, "results": results}]} if results else {}
    return to_yaml(
        {
            **({"license": license_name} if license_name else {}),
            "library_name": "sdd_eval",
            "pipeline_tag": sorted(tasks)[0],
            "tags": ["sdd_eval", "calibration", "robustness", "out-of-distribution"],
            **index,
        }
    )


def _task(row: HeadlineRow) -> dict[str, str]:
    if task_of_arch(row.comparison.arch) == OBJECT_DETECTION:
        return {"type": "object-detection", "name": "Object detection"}
    return {"type": "image-classification", "name": "Image classification"}


def _dataset(row: HeadlineRow) -> dict[str, str]:
    name = row.comparison.test_set
    return {"type": name, "name": display_name(name), "split": "test"}


def _measured(table: Headline, row: HeadlineRow) -> Iterator[tuple[int, HeadlineCell]]:
    """Yield the cells of one network that have a value, each with its column index."""
    for index, cell in enumerate(row.cells):
        if len(cell.values) == 1 and math.isfinite(cell.values[0]):
            yield index, cell


def _metric(table: Headline, index: int, cell: HeadlineCell) -> dict[str, Any]:
    """Return a number of the model index; its interval and conditions are its arguments."""
    column, (low, high, level) = table.columns[index], cell.intervals[0]
    ends = {} if math.isnan(low) else {"low": low, "high": high, "level": level}
    at = {k: getattr(v, "tolist", lambda v=v: v)() for k, v in column.at.items() if v is not None}
    arguments = {**at, "images": cell.images, **ends}
    return {
        "type": column.metric,
        "name": column.title,
        "value": cell.values[0],
        "args": arguments,
    }


def _body(
    source: CheckpointNumbers, tables: Sequence[Headline], figures: Sequence[ReportFigure]
) -> str:
    lines = [f"# {_plain(source.name)}", "", *_network(source)]
    lines += ["## Findings", ""]
    lines += [
        f"“A to B” after a number is its {100 * LEVEL:g} % interval. Written by sdd-eval "
        f"{__version__} from the runs of the study {_plain(source.study.name)}.",
        "",
    ]
    for table in tables:
        lines += _findings(source, table, several=len(tables) > 1)
    if figures:
        lines += ["## Figures", ""]
    for figure in figures:
        caption = _plain(f"{figure.plot.title}. {figure.plot.caption}".strip())
        lines += [f"![{_plain(figure.plot.title)}](figures/{figure.name}.png)", "", caption, ""]
    lines += ["## How it was measured", "", *_numbers(source, tables), *_conditions(source)]
    return "\n".join(lines)


def _network(source: CheckpointNumbers) -> Iterator[str]:
    """Yield a description of the network, and how to load it."""
    facts, model = source.facts, source.collection.runs[0].run.provenance.model or {}
    words = [display_name(facts["arch"] or "unknown architecture")]
    if "method" in facts:
        label = method_label(facts["method"], facts["sd_dropout"])
        words += [f"trained on {display_name(facts['dataset'])} with {label}"]
    if {"classes", "image_size"} <= set(model):
        side = model["image_size"]
        words += [f"{model['classes']} classes", f"images of {side} × {side} pixels"]
    yield f"{_plain(', '.join(words))}."
    yield from ("", "```python", "import sdd_eval", "")
    yield from (
        "network = sdd_eval.load(FOLDER)  # with card.json and weights.safetensors",
        "logits = network(images)  # pixels in [0, 1]",
        *("```", ""),
    )


def _findings(source: CheckpointNumbers, table: Headline, *, several: bool) -> Iterator[str]:
    """Yield a paragraph for each finding of the report's card."""
    if several:
        yield from (f"### {_plain(table.rows[0].comparison.title)}", "")
    collection = source.collection
    cards = network_cards(table.rows, collection.arrays, collection.class_names)
    cards, shared = shared_apart(cards)
    for card in cards:
        notes = [f"{note[:1].upper()}{note[1:]}." for note in card.notes]
        number = f"{card.number} ({card.detail})." if card.detail else f"{card.number}."
        text = " ".join(filter(None, [number, card.text, *notes]))
        yield from (f"**{_plain(card.title)}:** {_plain(text)}", "")
    if shared:
        yield from (f"All numbers: {_plain('; '.join(shared))}.", "")


def _numbers(source: CheckpointNumbers, tables: Sequence[Headline]) -> Iterator[str]:
    """Yield the table of the numbers of the model index."""
    yield "| data set | number | value | interval | images | protocol |"
    yield "|---|---|---|---|---|---|"
    for table in tables:
        for row in table.rows:
            for index, cell in _measured(table, row):
                column, (low, high, _) = table.columns[index], cell.intervals[0]
                interval = "" if math.isnan(low) else format_interval(column.entry, low, high)
                title = ", ".join(filter(None, (column.title, settings_label(column))))
                cells = (
                    *(display_name(row.comparison.test_set), title),
                    *(format_value(column.entry, cell.values[0]), interval, f"{cell.images:,}"),
                    source.protocols.get(cell.protocol, ""),
                )
                yield f"| {' | '.join(map(_plain, cells))} |"
    yield ""


def _conditions(source: CheckpointNumbers) -> Iterator[str]:
    """Yield the data, the recipe, the software and the hash of the weights."""
    runs, facts = source.collection.runs, source.facts
    for one in data_sets(runs):
        size = f"{one.images} images" if one.images[0].isdigit() else one.images
        details = f"{_plain(one.origin)}, {_plain(size)}, fingerprint `{one.fingerprint}`"
        yield f"- {_plain(display_name(one.name))}: {details}"
    recipe = {name.replace("_", " "): facts[name] for name in facts if name not in IDENTITY}
    if recipe:
        yield f"- Recipe: {_plain(format_setting(recipe))}"
    yield f"- Environment: {_plain(format_setting(dict(environment(runs))))}"
    yield from (f"- SHA-256 of the weights: `{facts['weights_sha256']}`", "")


def _plain(text: str) -> str:
    """Return text on one line, with markup characters escaped."""
    return re.sub(r"([\\`*_\[\]<>#|~])", r"\\\1", " ".join(text.split()))
