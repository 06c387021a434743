"""The verdicts of the examples and of the README follow from the committed numbers."""

from __future__ import annotations

import dataclasses
import html
import importlib.util
import json
import re
import shutil
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pandas
import pytest

from sdd_eval.arrays import Array, Arrays
from sdd_eval.cli import exit_code
from sdd_eval.paper.claim_rendering import claims_frame
from sdd_eval.paper.claims import paper_claims
from sdd_eval.paper.evidence import collect_evidence
from sdd_eval.paper.evidence_table import COLUMNS, read_evidence
from sdd_eval.paper.sides import study_sides
from sdd_eval.paper.verdicts import counts, decisive, judge
from sdd_eval.records import Recipe, encode
from sdd_eval.report.write import write_report
from sdd_eval.store import DamagedFile, write_record
from sdd_eval.studies import RECORD, read_study, read_study_record, record_of, study_file

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "reports/examples"
JUDGED = sorted(path.parent for path in EXAMPLES.glob("*/claims-evidence.csv"))
#: An archive of the sources has the tests without the examples.
needs_examples = pytest.mark.skipif(
    not EXAMPLES.is_dir(), reason="the examples are in the repository only"
)
#: Columns of `claims.csv` that must follow from the evidence.
TEXTS = ("id", "verdict", "study", "scale", "setting", "gone", "missing", "base", "other")
NUMBERS = ("base_mean", "other_mean", "difference", "low", "high", "p", "p_adjusted", "detectable")


@pytest.fixture(scope="module")
def make_example():
    """Return the module that writes the examples."""
    path = EXAMPLES / "make_example.py"
    spec = importlib.util.spec_from_file_location("make_example", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check(folder, readme, make_example):
    """Fail if a verdict in the files of an example or in the README is not that of its numbers."""
    evidence = read_evidence(pandas.read_csv(folder / "claims-evidence.csv"))
    judged = judge(paper_claims(), evidence)
    check_table(pandas.read_csv(folder / "claims.csv"), claims_frame(judged))
    records = json.loads((folder / "claims.json").read_text(encoding="utf-8"))
    assert [record["verdict"] for record in records] == [one.verdict for one in judged]
    check_page((folder / "claims.html").read_text(encoding="utf-8"), judged)
    table = make_example.verdict_table(folder)
    assert (folder / "claims.md").read_text(encoding="utf-8") == table
    begin, end = make_example.marks(folder.name)
    assert f"{begin}\n{table}{end}" in readme, "the table of the README is not that of the example"
    check_evidence(folder, evidence)


def check_page(page, judged):
    badges = re.findall(r'<span class="badge \w+">(?:(\d+) )?([^<]+)</span>', html.unescape(page))
    number = {name: int(many) for many, name in badges if many}
    assert number == {name: many for name, many in counts(decisive(judged)).items() if many}
    shown = Counter(name for many, name in badges if not many)
    assert shown == Counter(one.verdict for one in judged if one.evidence)


def check_table(written, expected):
    for name in TEXTS:
        texts = [list(frame[name].astype(object).fillna("")) for frame in (written, expected)]
        assert texts[0] == texts[1], name
    for name in NUMBERS:
        numbers = expected[name].astype(float)
        np.testing.assert_allclose(written[name], numbers, rtol=1e-6, atol=1e-9, err_msg=name)


def check_evidence(folder, evidence):
    """Compare the evidence with `results.csv`, but for what needs logits."""
    (path,) = folder.glob("results.csv*")
    results = pandas.read_csv(path, low_memory=False)
    record = read_study_record(folder)
    sides = {name: study_sides(record, {}) for name in results["study"].unique()}
    again = collect_evidence(paper_claims(), results, sides)
    stored = [without_logits(one) for one in evidence if one.scale != "timed now"]
    assert [one.claim for one in again] == [one.claim for one in stored]
    for one, other in zip(again, stored, strict=True):
        for measured, written in zip(one.contrasts, other.contrasts, strict=True):
            for side in ("base", "other"):
                values, names = (
                    [getattr(getattr(each, side), name) for each in (measured, written)]
                    for name in ("values", "checkpoints")
                )
                assert names[0] == names[1], one.claim
                assert values[0] == pytest.approx(values[1]), one.claim


def without_logits(evidence):
    claim = next(claim for claim in paper_claims() if claim.id == evidence.claim)
    names = {n for n, numbers in claim.checks.items() if any(k.equal_confidence for k in numbers)}
    kept = tuple(one for one in evidence.contrasts if one.name not in names)
    return dataclasses.replace(evidence, contrasts=kept)


@needs_examples
@pytest.mark.parametrize("folder", JUDGED, ids=lambda each: each.name)
def test_the_verdicts_of_the_readme_follow_from_the_committed_numbers(folder, make_example):
    check(folder, (REPOSITORY / "README.md").read_text(encoding="utf-8"), make_example)


def networks(synthetic, seeds=3):
    """Return the networks of a study in miniature: cross-entropy, SD-Dropout, label smoothing."""
    start = Recipe(arch="resnet10_s2", images_per_class=100, epochs=60, batch_size=64)
    sides = [({}, 0.0), ({"sd_dropout": 1.0}, 0.04), ({"method": "ls"}, 0.0)]
    return [
        synthetic.Network(dataclasses.replace(start, seed=seed, **fields), gain=gain)
        for fields, gain in sides
        for seed in range(seeds)
    ]


def logits(number, sure):
    """Return the arrays of a network that is too sure, or not."""
    generator = np.random.default_rng(number)
    labels = generator.integers(10, size=360)
    values = generator.normal(size=(360, 10))
    values[np.arange(360), labels] += 2.0
    return Arrays([
        Array("logits", np.float32((8.0 if sure else 2.0) * values), ("images", "classes")),
        Array("labels", labels),
    ])  # fmt: skip


def on_cifar100(run):
    provenance = msgspec.structs.replace(
        run.provenance, data={"cifar100": run.provenance.data["digits"]}
    )
    return dataclasses.replace(run, dataset="cifar100", provenance=provenance)


@pytest.fixture(scope="module")
def study(tmp_path_factory, synthetic):
    """Return the folder of a synthetic study with its report and its judged claims."""
    runs, nets = [], networks(synthetic)
    for number, net in enumerate(nets):
        arrays = logits(number, sure=not net.recipe.sd_dropout)
        calibration = dataclasses.replace(synthetic.calibration_run(net), arrays=arrays)
        runs += [
            on_cifar100(run)
            for run in (synthetic.accuracy_run(net), calibration, synthetic.fgsm_run(net))
        ]
    folder = synthetic.write_study(tmp_path_factory.mktemp("reports") / "mini", runs)
    record = record_of(read_study(study_file("paper/miniature")))
    recipes = {net.checkpoint: [encode(net.recipe)] for net in nets}
    write_record(
        folder / RECORD, dataclasses.replace(record, name="mini", stands_for=recipes, pairs=())
    )
    write_report(folder, figures=False, images=False)
    flags = ["--reports", str(folder.parent), "--no-cost"]
    assert exit_code(["paper", "claims", "mini", *flags]) == 0
    return folder


@pytest.fixture
def example(study, tmp_path, make_example):
    """Make an example of the study as the script does; return its folder and a README."""
    folder = tmp_path / "mini"
    make_example.copy_report(study, folder)
    make_example.copy_claims(study, folder)
    empty = "before\n{}\n{}\nafter".format(*make_example.marks("mini"))
    return folder, make_example.with_table(empty, make_example.verdict_table(folder), "mini")


@needs_examples
def test_the_example_in_miniature_names_how_its_hyper_parameters_were_chosen():
    chosen = read_study(study_file("paper/miniature")).chosen
    notes = read_study_record(EXAMPLES / "miniature").warnings
    page = html.unescape((EXAMPLES / "miniature/claims.html").read_text(encoding="utf-8"))
    for name, how in chosen.items():
        (note,) = (line for line in notes if line.startswith(name.replace("_", " ")))
        assert note.endswith(how)
        assert note in page
    assert "selected on the test set" not in page


@needs_examples
def test_an_example_of_a_synthetic_study_is_consistent_and_its_table_has_each_verdict(
    example, make_example
):
    folder, readme = example
    check(folder, readme, make_example)
    (row,) = (line for line in readme.splitlines() if "| Lower calibration error |" in line)
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[1] == "0.120 → 0.075"
    assert re.fullmatch(r"0.0\d\d → −?0.00\d; −0.04\d \(−0.0\d\d to −0.0\d\d\)", cells[2])
    assert cells[3] == (
        "**explained by lower confidence** (gone after temperature scaling of each side, "
        "at equal mean confidence; not checked: against tuned weight decay, R-Drop, "
        "confidence penalty, plain dropout)"
    )
    assert readme.startswith("before\n<!--")
    assert readme.endswith("-->\nafter")


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@needs_examples
@pytest.mark.parametrize(
    ("name", "before"),
    [
        *[("claims.csv", ""), ("claims.json", ""), ("claims.md", ""), ("claims.html", "")],
        ("claims.html", '">'),
    ],
)
def test_an_edited_verdict_is_found(example, make_example, name, before):
    folder, readme = example
    edit(folder / name, f"{before}explained by lower confidence", f"{before}shown")
    with pytest.raises(AssertionError):
        check(folder, readme, make_example)


@needs_examples
def test_an_edited_table_of_the_readme_is_found(example, make_example):
    folder, readme = example
    with pytest.raises(AssertionError, match="table of the README"):
        check(folder, readme.replace("explained by lower confidence", "shown"), make_example)


@needs_examples
@pytest.mark.parametrize("name", ["claims-evidence.csv", "results.csv"])
def test_an_edited_number_is_found(example, make_example, name):
    folder, readme = example
    (path,) = folder.glob(f"{name}*")  # compressed if it is large
    table = pandas.read_csv(path, low_memory=False)
    table.loc[table["metric"] == "ece", "value"] += 0.5
    table.to_csv(path, index=False)
    with pytest.raises(AssertionError):
        check(folder, readme, make_example)


def test_a_study_that_has_lost_its_arrays_keeps_its_verdicts(study, tmp_path):
    folder = tmp_path / "mini"
    shutil.copytree(study, folder)
    arrays = list(folder.glob("runs/*/*.npz"))
    assert arrays
    for path in arrays:
        path.unlink()
    before = (folder / "paper/claims.csv").read_bytes()
    assert b"explained by lower confidence" in before
    (folder / "paper/claims.csv").unlink()
    flags = ["--reports", str(tmp_path), "--no-cost"]
    assert exit_code(["paper", "claims", "mini", *flags]) == 0
    assert (folder / "paper/claims.csv").read_bytes() == before


def header_and(row):
    return (",".join(COLUMNS) + "\n" + row).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"of,another,version\n1,2,3\n",
        header_and("calibration,mini,miniature,s,claim,,ece,base,CE,a,much\n"),
        header_and('calibration,"mini\n'),
    ],
    ids=["empty", "bytes", "other columns", "no number", "open quote"],
)
def test_a_damaged_file_of_evidence_is_named_and_replaced(study, tmp_path, content):
    folder = tmp_path / "mini"
    shutil.copytree(study, folder)
    (folder / "paper/claims-evidence.csv").write_bytes(content)
    flags = ["--reports", str(tmp_path), "--no-cost"]
    with pytest.warns(DamagedFile, match="claims-evidence.csv"):
        assert exit_code(["paper", "claims", "mini", *flags]) == 0
    for name in ("claims.csv", "claims-evidence.csv"):
        assert (folder / "paper" / name).read_bytes() == (study / "paper" / name).read_bytes()


@needs_examples
def test_a_readme_without_the_two_comments_is_left_as_it_is(make_example):
    with pytest.raises(SystemExit, match="verdicts of reports/examples/mini"):
        make_example.with_table("nothing", "table", "mini")


@needs_examples
def test_a_large_table_is_compressed_and_linked_by_its_new_name(
    study, example, make_example, monkeypatch
):
    folder, _ = example
    monkeypatch.setattr(make_example, "LARGE", 50_000)
    monkeypatch.setattr(make_example, "MOST_TABLE", 50_000)
    make_example.copy_report(study, folder)
    assert (folder / "results.csv.xz").stat().st_size < 50_000
    assert "results.csv.xz" in (folder / "index.html").read_text(encoding="utf-8")
    pandas.testing.assert_frame_equal(
        pandas.read_csv(folder / "results.csv.xz", low_memory=False),
        pandas.read_csv(study / "results.csv", low_memory=False),
    )
