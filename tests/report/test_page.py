from __future__ import annotations

import base64
import csv
import dataclasses
import hashlib
import html.parser
import json
import os
import re
import signal
import subprocess
import sys
import threading
import xml.etree.ElementTree
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sdd_eval import plugins, store
from sdd_eval.errors import InputError
from sdd_eval.records import Measurement
from sdd_eval.report.drawing import draw
from sdd_eval.report.publish import publish, recover
from sdd_eval.report.tables.summary import measured_alike
from sdd_eval.report.write import write_report

#: All that the synthetic study has numbers for: it has no history of training.
#: All but those of the gradient study, which is of trainings.
FIGURES = [
    name
    for name in plugins.names("figures")
    if name not in ("gradient_curves", "assumption_curves")
]


@pytest.fixture(scope="module")
def written(synthetic: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a whole synthetic study."""
    study = synthetic.write_study(
        tmp_path_factory.mktemp("whole") / "synthetic", synthetic.whole(2)
    )
    return write_report(study)


class Elements(html.parser.HTMLParser):
    """Tags with attributes, and the text outside of style sheets."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    handle_startendtag = handle_starttag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def small(synthetic: ModuleType, study: Path, *more: Any) -> Path:
    """A study of two networks' accuracies, and other runs."""
    runs = [synthetic.accuracy_run(net) for net in synthetic.pair(seeds=1)]
    return synthetic.write_study(study, [*runs, *more])  # type: ignore[no-any-return]


def test_everything_is_written_beside_the_page(written: Path) -> None:
    folder = written.parent
    assert {"results.csv", "summary.csv", "index.html"} <= {each.name for each in folder.iterdir()}
    figures = {path.name for path in (folder / "figures").iterdir()}
    names = FIGURES
    expected = {
        f"{name}{width}.{kind}"
        for name in names
        for width in ("", "-single")
        for kind in ("pdf", "svg", "png")
    }
    assert figures == {*expected, *(f"{name}.csv" for name in names), "drawn.json"}
    tables = {path.name for path in (folder / "tables").iterdir()}
    assert tables >= {"headline.tex", "odin.tex", "corruption.tex"}
    assert not (folder / ".report").exists()
    assert not list(folder.rglob("*.part"))


def test_the_page_asks_nothing_of_the_network(written: Path) -> None:
    text = written.read_text()
    for tag, attributes in Elements(text).tags:
        assert tag not in ("iframe", "object", "link", "base"), tag
        for name in ("src", "href", "action", "xlink:href", "srcset"):
            value = attributes.get(name) or ""
            assert not re.match(r"(?:[a-z]+:)?//|data:|javascript:", value), (tag, value)
    assert not re.search(r"url\((?!#)|@import", text)
    policy = next(a["content"] for t, a in Elements(text).tags if "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy, "only the page's own script may run"
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|WebSocket|\seval\(", script)


def test_every_link_leads_to_something(written: Path) -> None:
    elements = Elements(written.read_text()).tags
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids)), "ids collide between the inline figures"
    for tag, attributes in elements:
        target = attributes.get("href") or ""
        if target.startswith("#"):
            assert target[1:] in ids, (tag, target)
        elif target:
            assert (written.parent / target).is_file(), target
        for used in re.findall(r"url\(#([^)]+)\)", " ".join(str(v) for v in attributes.values())):
            assert used in ids


def test_each_figure_has_a_name_for_screen_readers_its_values_and_its_numbers(
    written: Path,
) -> None:
    text = written.read_text()
    drawn = re.findall(r"<figure>.*?</figure>", text, flags=re.DOTALL)
    assert len(drawn) == len(FIGURES)
    for each in drawn:
        assert len(re.findall(r'<svg role="group" aria-label="[^"]{20,}"', each)) == 2
        for sheet in each.split('<div class="drawing')[1:]:
            values = sheet[sheet.index('<g class="values">') :]
            assert values.count("<path") > 7
        assert each.count("<title>") > 7
        own = "<details" in each and each.count("<tr>") > 2
        (above,) = re.findall(r'href="#([a-z_]+-numbers)"', each) or [""]
        assert own or f'<details id="{above}"' in text


def test_what_was_found_comes_first_and_the_paper_before_how_it_was_measured(
    written: Path,
) -> None:
    parts = re.findall(r'<h2 id="([a-z]+)', written.read_text())
    assert parts[:2] == ["found", "headline"]
    assert parts[-3:] == ["compared", "paper", "how"]
    assert set(parts[2:-3]) == {"chapter"}


def test_the_page_holds_the_numbers_their_protocols_and_their_provenance(written: Path) -> None:
    text = written.read_text()
    summary = store_summary(written)
    assert summary["accuracy"] in text
    for word in (
        "mean over 15 × 5",
        "sdd-eval odin digits-small_cnn-ce-seed0",
        "partial: 300 of 1,000",
        "digits_c_regenerated: regenerated",
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


def test_the_same_runs_give_the_same_bytes(
    synthetic: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = small(synthetic, tmp_path / "study", synthetic.calibration_run(synthetic.network(0, 0)))
    assert_bytes_again(write_report(study).parent, monkeypatch)


@pytest.mark.slow
def test_all_runs_give_the_same_bytes(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_bytes_again(written.parent, monkeypatch)


def assert_bytes_again(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw and write all of a report once more, at another time."""
    before = contents(study)
    assert any(name.endswith(".pdf") for name in before)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    (study / "figures" / "drawn.json").unlink()
    write_report(study)
    assert contents(study) == before


def test_hostile_names_come_out_as_text(synthetic: ModuleType, tmp_path: Path) -> None:
    nasty = "=cmd()<script>alert('x')</script>\n\"quoted\", $\\frac$ \u202eabc" + 300 * "n"
    net = dataclasses.replace(synthetic.network(0.0, 0, method=nasty), name="plain")
    runs = [make(net) for make in synthetic.MAKERS.values()]
    found = [Measurement(nasty, 0.5, nasty, {nasty: nasty}, nasty)]
    runs.append(synthetic.run_of(net, "stranger", found, command=nasty, data={nasty: {}}))
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
    assert (
        r"\textquotedbl{}quoted\textquotedbl{}, \$\textbackslash{}frac\$ ?abc"
        in (study / "tables" / "headline.tex").read_text()
    )
    for path in (study / "figures").glob("*.svg"):
        parsed = xml.etree.ElementTree.parse(path)
        assert not [each.tag for each in parsed.iter() if "script" in str(each.tag)]
    assert page.count("<script") == 1
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in page
    assert "could not be drawn" not in page
    assert len([t for t, _ in Elements(page).tags if t == "script"]) == 1


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def test_a_strangers_evaluator_has_a_section_rows_and_protocol(
    synthetic: ModuleType, tmp_path: Path
) -> None:
    found = [
        Measurement("flips", 0.25, "fraction", {"layer": "stem"}, "share of flips"),
        Measurement("flips", 0.75, "fraction", {"layer": "head"}, "share of flips"),
    ]
    run = synthetic.run_of(synthetic.network(0.0, 0), "zz_stranger", found)
    page = write_report(small(synthetic, tmp_path / "study", run)).read_text()
    section = page[page.index(">zz_stranger</h2>") :]
    assert "<th>stem<th>" in section or "<th>stem<td>" in section
    assert "0.7500" in section
    assert "share of flips" in section
    assert "zz_stranger" in (tmp_path / "study" / "results.csv").read_text()


def test_a_strangers_figure_is_drawn_and_one_that_fails_disturbs_no_other(
    synthetic: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def own(results: Any, arrays: Any = None) -> Any:
        from matplotlib.figure import Figure

        drawn = Figure(figsize=(3.3, 2))
        drawn.subplots().plot(results["value"].astype(float).to_list())
        return drawn

    def bad(results: Any, arrays: Any = None) -> Any:
        raise ValueError("no <luck>")

    strangers = {"own_plot": own, "bad": bad}
    load, names = plugins.load, plugins.names
    monkeypatch.setattr(plugins, "names", lambda group: (*names(group), *strangers))
    monkeypatch.setattr(
        plugins, "load", lambda group, name: strangers.get(name) or load(group, name)
    )
    page = write_report(small(synthetic, tmp_path / "study")).read_text()
    assert "Further figures" in page
    assert "Own plot" in page
    assert "could not be drawn: ValueError: no &lt;luck&gt;" in page
    assert (tmp_path / "study" / "figures" / "own_plot.pdf").is_file()


def test_a_broken_run_file_is_named_and_the_rest_reported(
    synthetic: ModuleType, tmp_path: Path
) -> None:
    study = small(synthetic, tmp_path / "study")
    broken = study / "runs" / "other" / "accuracy-digits-0.json"
    broken.parent.mkdir()
    broken.write_text('{"format": 1, "checkp')
    page = write_report(study).read_text()
    assert "accuracy-digits-0.json is not JSON" in page
    assert "95." in page


def test_runs_without_their_arrays_still_have_a_page(synthetic: ModuleType, tmp_path: Path) -> None:
    study = small(synthetic, tmp_path / "study", synthetic.odin_run(synthetic.network(0.0, 0)))
    for path in study.rglob("*.npz"):
        path.unlink()
    page = write_report(study).read_text()
    assert "ODIN AUROC" in page
    assert "ROC curves" not in page


def test_left_out_rows_subsets_and_origins_are_said(synthetic: ModuleType, tmp_path: Path) -> None:
    net = synthetic.network(0.0, 0)
    contradiction = dataclasses.replace(
        synthetic.accuracy_run(net),
        measurements=(Measurement("accuracy", 0.1, "fraction", protocol="other"),),
    )
    limited = synthetic.accuracy_run(synthetic.network(0.0, 5), limit=64, n=64)
    folder = synthetic.run_of(
        net, "stranger", [Measurement("x", 1.0, "")], data={"mine": {"origin": "user's folder"}}
    )
    lost = Measurement("missing", 5.0, "count", {"corruption": "fog"}, "fog.npy is cut short")
    cut = synthetic.run_of(net, "corruption", [lost])
    page = write_report(small(synthetic, tmp_path / "study", contradiction, limited, folder, cut))
    words = " ".join(Elements(page.read_text()).words)
    assert (
        f"Missing in corruption of {net.checkpoint} (study study): fog.npy is cut short." in words
    )
    assert "enter no mean: runs disagree under the same key" in words
    assert "limited rows are in results.csv but not on this page" in words
    assert "mine (user's folder) is a folder of the user's, not a published set." in words


def test_figures_set_nothing_beside_what_was_measured_otherwise_and_say_so(
    synthetic: ModuleType, tmp_path: Path
) -> None:
    runs = [synthetic.corruption_run(net) for net in synthetic.pair()]
    changed = [*runs[:3], *(dataclasses.replace(run, n=50, limit=50) for run in runs[3:])]
    page = write_report(synthetic.write_study(tmp_path / "study", changed)).read_text()
    assert 'id="corruption_heatmap"' in page
    assert 'id="corruption_differences"' not in page, "one side alone has no difference"
    left_out = [run.checkpoint for run in runs[3:]]
    assert page.count(f"Left out are numbers of {', '.join(left_out)}: other images") == 2
    alike = write_report(synthetic.write_study(tmp_path / "alike", runs)).read_text()
    assert 'id="corruption_differences"' in alike
    assert "Left out are" not in alike


def test_most_networks_decide_which_way_of_measuring_is_drawn(synthetic: ModuleType) -> None:
    runs = [synthetic.accuracy_run(net) for net in synthetic.pair()]
    runs[0] = dataclasses.replace(runs[0], data_fingerprint="a" * 64)
    table = synthetic.table(runs)[0]
    kept = measured_alike(table)
    assert set(table["checkpoint"]) - set(kept["checkpoint"]) == {runs[0].checkpoint}
    assert len(measured_alike(table.head(0))) == 0


def test_two_studies_make_one_report_and_stay_apart(synthetic: ModuleType, tmp_path: Path) -> None:
    first = small(synthetic, tmp_path / "first")
    second = small(synthetic, tmp_path / "second")
    page = write_report([first, second], into=tmp_path / "both")
    text = page.read_text()
    assert page == tmp_path / "both" / "index.html"
    assert "study first" in text
    assert "study second" in text
    assert "enter no mean" not in text


def test_an_imported_network_is_a_group_of_its_own(synthetic: ModuleType, tmp_path: Path) -> None:
    found = synthetic.Network(None, name="my-resnet")
    page = write_report(small(synthetic, tmp_path / "study", synthetic.accuracy_run(found)))
    text = page.read_text()
    assert "digits, resnet8" in text
    assert "Imported: how it was trained is not known." in text


def test_figures_that_are_no_longer_drawn_are_removed_and_others_stay(
    synthetic: ModuleType, tmp_path: Path
) -> None:
    study = small(synthetic, tmp_path / "study")
    (study / "figures").mkdir()
    for name in ("roc_curves.pdf", "roc_curves-old-digits.svg", "mine.pdf", "roc_curves.txt"):
        (study / "figures" / name).write_text("old")
    write_report(study)
    left = {path.name for path in (study / "figures").iterdir()}
    assert left == {"mine.pdf", "roc_curves.txt", "drawn.json"}


def contents(folder: Path) -> dict[str, bytes]:
    """All that a report has written, by name."""
    paths = [each for each in folder.rglob("*") if each.is_file() and "runs" not in each.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("broken", ["index.html", "results.csv", "headline.tex"])
def test_a_failing_disk_leaves_the_old_report_whole(
    broken: str, synthetic: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = small(synthetic, tmp_path / "study")
    write_report(study)
    before = contents(study)
    third = synthetic.accuracy_run(synthetic.network(0.0, 7))
    store.write_run(study / "runs" / third.checkpoint / "accuracy-digits-0.json", third)
    real = os.replace

    def failing(source: Any, target: Any) -> None:
        if str(target) == str(next(study.glob(f"**/{broken}"), study)):
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(InputError, match=rf"cannot write .*{broken}: No space left"):
        write_report(study)
    assert contents(study) == before
    monkeypatch.setattr(os, "replace", real)
    write_report(study)
    assert contents(study) != before


def test_a_process_killed_while_it_moves_files_is_finished_by_the_next(
    synthetic: ModuleType, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    publish(folder, {"a.txt": b"old", "b/c.txt": b"old"})
    code = (
        "import os, pathlib, signal, sys\n"
        "from sdd_eval.report.publish import publish\n"
        "real = os.replace\n"
        "def kill(source, target):\n"
        "    if str(target).endswith('b/c.txt') and '.report' not in str(target):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    real(source, target)\n"
        "os.replace = kill\n"
        "publish(pathlib.Path(sys.argv[1]), {'a.txt': b'new', 'b/c.txt': b'new'})\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (folder / "b/c.txt").read_bytes() == b"old"
    recover(folder)
    assert contents(folder) == {"a.txt": b"new", "b/c.txt": b"new"}


def test_of_two_reports_at_once_neither_throws_away_the_others_files(tmp_path: Path) -> None:
    """The first stops in the midst of writing aside; the second, meanwhile, must not clear up."""
    folder = tmp_path / "study"
    publish(folder, {"a.txt": b"old", "b.txt": b"old"})
    code = (
        "import pathlib, sys\n"
        "from sdd_eval.report import publish\n"
        "real = publish._write\n"
        "def slow(path, content):\n"
        "    real(path, content)\n"
        "    if path.name == 'a.txt':\n"
        "        print('half', flush=True)\n"
        "        sys.stdin.readline()\n"
        "publish._write = slow\n"
        "publish.publish(pathlib.Path(sys.argv[1]), {'a.txt': b'new', 'b.txt': b'new'})\n"
    )
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "half\n"
        second = threading.Thread(target=recover, args=(folder,))
        second.start()
        second.join(timeout=0.5)
        assert second.is_alive(), "it waits for the first"
        assert contents(folder)[".report/new/a.txt"] == b"new"
        first.communicate("go on\n")
        second.join()
    assert first.returncode == 0
    assert contents(folder) == {"a.txt": b"new", "b.txt": b"new"}


def test_figures_that_did_not_change_are_not_drawn_again(
    synthetic: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nets = synthetic.pair(seeds=1)
    runs = [make(net) for net in nets for make in (synthetic.selective_run, synthetic.attack_run)]
    study = small(synthetic, tmp_path / "study", *runs)
    write_report(study)
    before = contents(study)
    drawn: list[str] = []
    real = draw.drawn_in_widths

    def counted(plot: Any, *others: Any) -> Any:
        drawn.append(plot.title)  # also where there turns out to be nothing to draw
        return real(plot, *others)

    monkeypatch.setattr(draw, "drawn_in_widths", counted)
    write_report(study)
    assert drawn == []
    assert contents(study) == before
    other = synthetic.attack_run(nets[0], (2.0,))
    store.write_run(study / "runs" / other.checkpoint / "attack-digits-9.json", other)
    write_report(study)
    assert drawn == ["Robust accuracy under attack", "Gradient-masking audit"]
    (study / "figures" / "risk_coverage.svg").write_text("changed by hand")
    write_report(study)
    assert drawn[2:] == ["Risk–coverage curves"]
    assert contents(study)["figures/risk_coverage.svg"] == before["figures/risk_coverage.svg"]


def test_a_run_of_another_format_is_said_and_enters_no_mean(
    synthetic: ModuleType, tmp_path: Path
) -> None:
    old = dataclasses.replace(synthetic.accuracy_run(synthetic.network(0.0, 5)), format=0)
    page = write_report(small(synthetic, tmp_path / "study", old))
    words = " ".join(Elements(page.read_text()).words)
    assert "enter no mean: format 0 of the file; this version writes 1" in words


def test_a_missing_or_empty_study_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere is not there; evaluate a checkpoint first"):
        write_report(tmp_path / "nowhere")
    (tmp_path / "empty" / "runs" / "net").mkdir(parents=True)
    with pytest.raises(InputError, match=r"no finished run below .*empty.runs; .*--study empty"):
        write_report(tmp_path / "empty")
    (tmp_path / "empty" / "runs" / "net" / "accuracy-digits-0.json").write_text("[]")
    with pytest.raises(InputError, match=r"none of 1 run files can be read; the first: .*Run"):
        write_report(tmp_path / "empty")


def test_a_style_file_changes_the_figures_and_a_wrong_one_is_named(
    synthetic: ModuleType, tmp_path: Path
) -> None:
    study = synthetic.write_study(
        tmp_path / "study", [synthetic.calibration_run(synthetic.network(0.0, 0))]
    )
    write_report(study)
    before = (study / "figures" / "reliability.svg").read_bytes()
    style = tmp_path / "big.mplstyle"
    style.write_text("font.size: 12\naxes.labelsize: 12\n")
    write_report(study, style=style)
    assert (study / "figures" / "reliability.svg").read_bytes() != before
    with pytest.raises(InputError, match=r"nothing\.mplstyle is not a file"):
        write_report(study, style=tmp_path / "nothing.mplstyle")
    style.write_text("font.size: big\n")
    with pytest.raises(InputError, match=r"big\.mplstyle is not a matplotlib style file: .*big"):
        write_report(study, style=style)


def test_progress_is_told_to_the_end(synthetic: ModuleType, tmp_path: Path) -> None:
    class Listener:
        def __init__(self) -> None:
            self.total = self.done = 0

        def start(self, label: str, total: int) -> None:
            self.total += total

        def advance(self, units: int = 1, note: str = "") -> None:
            self.done += units

    listener = Listener()
    write_report(small(synthetic, tmp_path / "study"), progress=listener)
    assert listener.done == listener.total > 2


def test_a_run_of_before_provenance_was_complete_is_still_reported(
    synthetic: ModuleType, tmp_path: Path
) -> None:
    study = small(synthetic, tmp_path / "study")
    for path in store.run_paths(study):
        told = json.loads(path.read_text())
        told["provenance"] = {}
        path.write_text(json.dumps(told))
    page = write_report(study).read_text()
    assert "unknown architecture" in page
    assert "unknown" in page
