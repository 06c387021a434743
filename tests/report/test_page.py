"""The page: what it contains and that it is safe to open."""

from __future__ import annotations

import base64
import csv
import dataclasses
import functools
import hashlib
import re
import xml.etree.ElementTree
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas
import pytest
from page_elements import Elements

from sdd_eval import plugins, store
from sdd_eval.records import Measurement
from sdd_eval.report import write
from sdd_eval.report.drawing.draw import draw_figures
from sdd_eval.report.write import write_report
from sdd_eval.studies.run import record_of
from sdd_eval.studies.study import Study

#: The page shows SVG files; tests/report/test_write.py writes figures in all formats.
pytestmark = pytest.mark.usefixtures("only_svg")


@pytest.fixture(scope="module")
def elements(written: Path) -> Elements:
    """The parsed page of all evaluators."""
    return Elements(written.read_text())


def test_all_files_are_written_next_to_the_page(written: Path, synthetic: ModuleType) -> None:
    folder = written.parent
    assert {"results.csv", "summary.csv", "index.html"} <= {path.name for path in folder.iterdir()}
    figures = {path.name for path in (folder / "figures").iterdir()}
    suffixes = (".svg", "-single.svg", ".csv")
    names = (*synthetic.FIGURES, "forest")
    expected = {f"{name}{suffix}" for name in names for suffix in suffixes}
    assert figures == {*expected, "drawn.json"}
    tables = {path.name for path in (folder / "tables").iterdir()}
    assert tables >= {"headline.tex", "odin.tex", "corruption.tex"}
    assert not (folder / ".report").exists()
    assert not list(folder.rglob("*.part"))


def test_the_page_loads_nothing_from_the_network(written: Path, elements: Elements) -> None:
    text = written.read_text()
    for tag, attributes in elements.tags:
        assert tag not in ("iframe", "object", "link", "base"), tag
        for name in ("src", "href", "action", "xlink:href", "srcset"):
            value = attributes.get(name) or ""
            assert not re.match(r"(?:[a-z]+:)?//|data:|javascript:", value), (tag, value)
    assert not re.search(r"url\((?!#)|@import", text)
    policy = next(a["content"] for _, a in elements.tags if "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy, "only the page's own script may run"
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|WebSocket|\seval\(", script)


def test_tables_show_the_titles_of_metrics_and_csv_files_their_names(written: Path) -> None:
    shown = set(re.findall(r"<tr><th scope=row>([^<]*)", written.read_text()))
    assert {"FGSM accuracy", "FPR at 95 % TPR"} <= shown
    names = set(pandas.read_csv(written.with_name("results.csv"))["metric"])
    assert {"fgsm_accuracy", "fpr_at_95_tpr"} <= names
    assert not shown & {name for name in names if "_" in name}
    assert r"FPR at 95 \% TPR" in (written.parent / "tables/odin.tex").read_text()


def test_every_link_has_a_target(written: Path, elements: Elements) -> None:
    names = [attributes["id"] for _, attributes in elements.tags if "id" in attributes]
    ids = set(names)
    assert len(names) == len(ids), "ids collide between the inline figures"
    for tag, attributes in elements.tags:
        target = attributes.get("href") or ""
        if target.startswith("#"):
            assert target[1:] in ids, (tag, target)
        elif target:
            assert (written.parent / target).is_file(), target
        for used in re.findall(r"url\(#([^)]+)\)", " ".join(str(v) for v in attributes.values())):
            assert used in ids


def test_each_figure_has_an_accessible_name_values_and_a_table(
    written: Path, synthetic: ModuleType
) -> None:
    text = written.read_text()
    figures = re.findall(r"<figure>.*?</figure>", text, flags=re.DOTALL)
    assert len(figures) == len(synthetic.FIGURES)
    for figure in figures:
        assert len(re.findall(r'<svg role="group" aria-label="[^"]{20,}"', figure)) == 2
        for drawing in figure.split('<div class="drawing')[1:]:
            values = drawing[drawing.index('<g class="values">') :]
            assert values.count("<path") > 7
        assert figure.count("<title>") > 7
        has_table = "<details" in figure and figure.count("<tr>") > 2
        (earlier,) = re.findall(r'href="#([a-z_]+-numbers)"', figure) or [""]
        assert has_table or f'<details id="{earlier}"' in text


def test_verdicts_come_first_and_provenance_last(written: Path) -> None:
    parts = re.findall(r'<h2 id="([a-z]+)', written.read_text())
    assert (parts[0], parts[-1]) == ("found", "how")
    assert set(parts[1:-1]) == {"chapter"}


def test_the_page_contains_numbers_protocols_and_provenance(written: Path) -> None:
    text = written.read_text()
    summary = store_summary(written)
    assert summary["accuracy"] in text
    for word in (
        "mean over 15 × 5",
        "sdd-eval odin digits-small_cnn-ce-seed0",
        "partial: 300 of 1,000",
        "Digits: official; Digits-C, regenerated",
        "dddddddddddd",
        "3.11.7",
        "threads",
    ):
        assert word in text, word


def store_summary(written: Path) -> dict[str, str]:
    """The headline's accuracy of cross-entropy, from summary.csv."""
    import pandas

    rows = pandas.read_csv(written.parent / "summary.csv")
    row = rows[(rows["evaluator"] == "accuracy") & (rows["metric"] == "accuracy")]
    row = row[row["group"] == "CE"].iloc[0]
    assert row["n"] == 2
    return {"accuracy": f"{100 * row['mean']:.1f} ± {100 * row['std']:.1f}"}


@pytest.mark.usefixtures("only_svg")
def test_hostile_names_are_escaped_in_every_file(synthetic: ModuleType, tmp_path: Path) -> None:
    nasty = "=cmd()<script>alert('x')</script>\n\"quoted\", $\\frac$ \u202eabc" + 300 * "n"
    net = dataclasses.replace(synthetic.network(0.0, 0, method=nasty), name="plain")
    runs = [make(net) for make in synthetic.MAKERS.values()]
    measurements = [Measurement(nasty, 0.5, nasty, {nasty: nasty}, nasty)]
    runs.append(synthetic.run_of(net, "third_party", measurements, command=nasty, data={nasty: {}}))
    study = synthetic.write_study(tmp_path / "=a <b> & 'c'", runs)
    page = write_report(study).read_text()
    assert "\u202e" not in page, "it would turn the words behind the name, too"
    assert "[U+202E]abc" in page
    for table in ("results.csv", "summary.csv"):
        head, *rows = csv.reader((study / table).read_text().splitlines(keepends=True))
        assert {len(row) for row in rows} == {len(head)}
        assert rows[0][0] == "'=a <b> & 'c'"
        texts = [cell for row in (head, *rows) for cell in row if not _is_number(cell)]
        assert not [text for text in texts if text.startswith(("=", "+", "-", "@"))]
        assert any(text.startswith("'=cmd()<script>") for text in texts)
    latex = "".join(path.read_text() for path in (study / "tables").glob("headline*.tex"))
    for escaped in ("{''}quoted{''},", r"\$\textbackslash{}frac\$", "?abc"):
        assert escaped in latex
    assert r"\frac" not in latex
    for path in (study / "figures").glob("*.svg"):
        parsed = xml.etree.ElementTree.parse(path)
        assert not [element.tag for element in parsed.iter() if "script" in str(element.tag)]
    assert page.count("<script") == 1
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in page
    assert not re.search(r"Figure '\w+' of .* failed", page)
    assert len([t for t, _ in Elements(page).tags if t == "script"]) == 1


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def test_a_third_party_evaluator_has_a_section_with_rows_and_protocol(
    synthetic: ModuleType, tmp_path: Path
) -> None:
    measurements = [
        Measurement("flips", 0.25, "fraction", {"layer": "stem"}, "share of flips"),
        Measurement("flips", 0.75, "fraction", {"layer": "head"}, "share of flips"),
    ]
    run = synthetic.run_of(synthetic.network(0.0, 0), "zz_third_party", measurements)
    page = write_report(synthetic.small_study(tmp_path / "study", run)).read_text()
    section = page[page.index(">Zz third party</h2>") :]
    assert "<th>stem<th>" in section or "<th>stem<td>" in section
    assert "0.7500" in section
    assert "share of flips" in section
    assert "zz_third_party" in (tmp_path / "study" / "results.csv").read_text()


def test_a_failing_third_party_figure_is_reported_and_all_others_are_drawn(
    synthetic: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def own(results: Any, arrays: Any = None) -> Any:
        from matplotlib.figure import Figure

        drawn = Figure(figsize=(3.3, 2))
        drawn.subplots().plot(results["value"].astype(float).to_list())
        return drawn

    def bad(results: Any, arrays: Any = None) -> Any:
        raise ValueError("no <luck>")

    third_party = {"own_plot": own, "bad": bad}
    load, names = plugins.load, plugins.names
    monkeypatch.setattr(plugins, "names", lambda group: (*names(group), *third_party))
    monkeypatch.setattr(
        plugins, "load", lambda group, name: third_party.get(name) or load(group, name)
    )
    page = write_report(synthetic.small_study(tmp_path / "study")).read_text()
    assert "Further figures" in page
    assert "Own plot" in page
    assert "failed: ValueError: no &lt;luck&gt;" in page
    assert (tmp_path / "study" / "figures" / "own_plot.svg").is_file()


def test_the_study_s_title_and_labels_are_shown(synthetic: ModuleType, tmp_path: Path) -> None:
    nets = [*synthetic.pair(seeds=2), synthetic.network(0.5, 0), synthetic.Network(None, "alien")]
    study = synthetic.write_study(tmp_path / "study", [synthetic.accuracy_run(net) for net in nets])
    labels = {net.checkpoint: "Ours" for net in nets[2:5]} | {"alien": "Theirs"}
    description = Study(
        **{"name": "study", "title": "Does it help?", "small": False, "labels": labels},
        **dict.fromkeys(("tables", "figures", "notes", "compare", "trainings", "detectors"), ()),
        **dict.fromkeys(("evaluations", "varied", "varied_of_detectors"), ()),
        **{"names": {}, "families": {}},
    )
    store.write_record(study / "study.json", record_of(description))
    page = write_report(study).read_text()
    assert "<h1>Does it help?</h1>" in page
    assert {"CE", "Theirs", "Ours (CE + SD-Dropout λ 0.1)", "Ours (CE + SD-Dropout λ 0.5)"} == set(
        pandas.read_csv(study / "results.csv")["group"]
    )


def test_one_report_keeps_two_studies_apart(synthetic: ModuleType, tmp_path: Path) -> None:
    first = synthetic.small_study(tmp_path / "first")
    second = synthetic.small_study(tmp_path / "second")
    page = write_report([first, second], into=tmp_path / "both")
    text = page.read_text()
    assert page == tmp_path / "both" / "index.html"
    assert "study first" in text
    assert "study second" in text
    assert "excluded from means" not in text


def test_an_imported_network_is_a_separate_group(synthetic: ModuleType, tmp_path: Path) -> None:
    imported = synthetic.Network(None, name="my-resnet")
    page = write_report(synthetic.small_study(tmp_path / "study", synthetic.accuracy_run(imported)))
    text = page.read_text()
    assert "Digits, ResNet-8" in text
    assert "Imported; its training settings are unknown." in text


@pytest.mark.usefixtures("only_svg")
def test_a_figure_of_the_same_numbers_as_another_is_folded_unless_it_is_alone(
    synthetic: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [synthetic.calibration_run(net) for net in synthetic.pair(seeds=1)]
    study = synthetic.write_study(tmp_path / "study", runs)
    summary = "<summary>The same numbers in 1 other figure: Accuracy against confidence</summary>"
    for names, folded in ((["reliability", "confidence_lines"], 1), (["confidence_lines"], 0)):
        draw = functools.partial(draw_figures, names)
        monkeypatch.setattr(write, "draw_figures", lambda _, *rest, draw=draw: draw(*rest))
        page = write_report(study).read_text()
        assert page.count(summary) == folded
        assert page.count('id="confidence_lines"') == 1
        if folded:
            inside = page.split(summary)[1].split("</section>")[0]
            assert '<h3 id="confidence_lines">' in inside
            assert '<h3 id="reliability">' not in inside
