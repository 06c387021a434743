"""The built-in studies: the paper's protocol, their small versions, and the quickstart."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import sdd_eval
from sdd_eval import store
from sdd_eval.cli import exit_code
from sdd_eval.paper import paper_numbers
from sdd_eval.paper.cell_query import matches_recipe, query_for
from sdd_eval.paper.comparison import deviations
from sdd_eval.records import encode
from sdd_eval.studies import builtin
from sdd_eval.studies.builtin import builtin_names, study_file
from sdd_eval.studies.jobs import jobs_of
from sdd_eval.studies.resolve import read_study
from sdd_eval.studies.selection import varied
from sdd_eval.studies.study import warnings

TABLES = [name for name in builtin_names() if "table-" in name]
GUIDE = Path(sdd_eval.__file__).parent.parent / "docs/how-to/study.md"


@pytest.mark.parametrize("name", TABLES)
def test_a_table_s_study_trains_every_cell_by_the_paper_s_protocol(name):
    study = read_study(study_file(name))
    recipes = {t.name: encode(t.recipe) for t in study.trainings}
    recipes |= {d.name: encode(d.stands_for[0]) for d in study.detectors}
    measured = {(e.checkpoint, e.evaluator) for e in study.evaluations}
    for number in paper_numbers():
        if number.table not in study.tables:
            continue
        query = query_for(number)
        own = {
            n: r
            for n, r in recipes.items()
            if matches_recipe(query, r) and not deviations(query, r, ())
        }
        assert {r["seed"] for r in own.values()} == {0, 1, 2}, number
        if query.evaluator == "history":  # seen in training, at epochs that were asked for
            assert all(number.at["epoch"] in r["probe_epochs"] for r in own.values()), number
        else:
            assert {(n, query.evaluator) for n in own} <= measured, number


@pytest.mark.parametrize("name", builtin_names())
def test_the_small_size_of_every_study_needs_only_built_in_data(name):
    study = read_study(study_file(name), small=True)
    assert {t.recipe.dataset for t in study.trainings} == {"digits"}
    assert max(t.recipe.epochs for t in study.trainings) <= (200 if study.tables == (8,) else 5)
    assert {t.recipe.seed for t in study.trainings} == {0}
    full = read_study(study_file(name))
    represented = {encode_once(r) for t in study.trainings for r in t.stands_for}
    assert represented == {encode_once(t.recipe) for t in full.trainings if t.recipe.seed == 0}
    assert {d.recipe.dataset for d in study.detectors} <= {"digit_scenes"}
    represented = {encode_once(r) for d in study.detectors for r in d.stands_for}
    assert represented == {
        encode_once(r) for d in full.detectors for r in d.stands_for if r["seed"] == 0
    }


def test_the_study_of_the_main_comparison_completes_one_seed_after_the_other():
    jobs = jobs_of(read_study(study_file("paper/core")))
    seeds = [int(job.checkpoint.rsplit("-seed", 1)[1]) for job in jobs]
    assert seeds == sorted(seeds)
    assert {seed: seeds.count(seed) for seed in seeds} == dict.fromkeys(range(5), len(jobs) // 5)
    trained = [job.checkpoint for job in jobs if job.key.startswith("train ")]
    assert len(trained) == 20
    sides = [(1e-4, 0.0), (1e-4, 1.0), (5e-4, 0.0), (5e-4, 1.0)]  # the paper's come first
    recipes = [job.work.recipe for job in jobs if job.key.startswith("train ")]
    assert [(r.weight_decay, r.sd_dropout) for r in recipes] == sides * 5
    keys = [job.key for job in jobs]
    first, second = (keys.index(f"train {name}") for name in trained[:2])
    measured = {job.checkpoint for job in jobs[first:second]}
    assert measured == {trained[0]}  # a network is measured before the next one is trained
    assert second - first > 5


def test_the_networks_of_the_main_comparison_are_those_of_the_tables():
    core, table = (
        {training.name for training in read_study(study_file(name)).trainings}
        for name in ("paper/core", "paper/table-2")
    )
    assert len(core & table) == 6


def test_the_study_in_miniature_measures_everything_on_each_network():
    study = read_study(study_file("paper/miniature"))
    names = {training.name for training in study.trainings}
    for evaluator in ("accuracy", "calibration", "selective", "fgsm", "attack", "corruption"):
        measured = [e.checkpoint for e in study.evaluations if e.evaluator == evaluator]
        assert sorted(measured) == sorted(names), evaluator


def test_what_the_study_in_miniature_varies_was_chosen_before_it():
    notes = warnings(read_study(study_file("paper/miniature")))
    assert [note.partition(" was chosen before this study: ")[0] for note in notes] == [
        *("sd dropout", "direction", "position", "weight decay")
    ]
    assert notes[-1].partition(": ")[2].startswith("the paper's 1e-4")
    assert "validation images" in notes[-1]
    assert "  " not in notes[-1]


def encode_once(recipe):
    return repr(sorted(encode(recipe).items()))


def test_table_14_warns_about_selection_on_the_test_set():
    assert "selected on the test set" in warnings(read_study(study_file("paper/table-14")))[0]
    assert warnings(read_study(study_file("paper/table-1"))) == ()


@pytest.mark.skipif(not GUIDE.exists(), reason="the documentation is not installed")
def test_the_study_file_of_the_documentation_is_valid(tmp_path):
    (text,) = re.findall(r"```toml [^\n]*\n(name = .*?)```", GUIDE.read_text(), flags=re.DOTALL)
    (tmp_path / "weights.toml").write_text(text)
    study = read_study(tmp_path / "weights.toml")
    assert (len(study.trainings), len(study.evaluations)) == (10, 30)


@pytest.mark.parametrize("name", builtin_names())
def test_only_studies_that_try_values_have_a_selection(name):
    tried = {
        "paper/core": ("weight_decay",),
        "paper/miniature-choice": ("sd_dropout", "weight_decay"),
        "paper/table-9": ("direction",),
        "paper/table-12": ("position",),
        "paper/table-14": ("sd_dropout", "drop_rate"),
    }
    study = read_study(study_file(name))
    assert study.varied == tried.get(name, ())
    assert study.varied_of_detectors == (("epochs",) if name == "paper/table-4" else ())
    recipes = [encode(training.recipe) for training in study.trainings]
    assert study.varied == varied(recipes, study.chosen)


@pytest.fixture
def short_quickstart(tmp_path, monkeypatch):
    """The built-in quickstart with one seed and one epoch, and an empty working folder."""
    text = study_file("quickstart").read_text()
    assert "seeds = [0, 1, 2]" in text
    assert "epochs = 60" in text
    text = text.replace("seeds = [0, 1, 2]", "seeds = [0]").replace("epochs = 60", "epochs = 1")
    folder = tmp_path / "builtin"
    folder.mkdir()
    (folder / "quickstart.toml").write_text(text)
    monkeypatch.setattr(builtin, "FOLDER", folder)
    working = tmp_path / "working"
    working.mkdir()
    monkeypatch.chdir(working)
    return working


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("one_figure")
def test_quickstart_trains_evaluates_and_reports_and_a_second_call_has_no_work(
    short_quickstart, capfd
):
    assert exit_code(["quickstart", "--limit", "8"]) == 0
    first = capfd.readouterr()
    assert "[13/13] report" in first.err
    assert first.out.splitlines()[-1] == "reports/quickstart/index.html"
    assert "CE + SD-Dropout λ 0.3" in first.out
    assert "ODIN FPR95 ↓" in first.out
    runs = [store.read_run(p) for p in store.run_paths(short_quickstart / "reports/quickstart")]
    assert len(runs) == 10
    assert len({run.evaluator for run in runs}) == 5
    assert {run.limit for run in runs} == {8}
    assert {path.name for path in (short_quickstart / "checkpoints").iterdir()} == {
        f"digits-small_cnn_wide-ce{term}-imagesperclass10-seed0" for term in ("", "-sdd0.3")
    }
    before = times(short_quickstart)
    assert exit_code(["quickstart", "--limit", "8"]) == 0
    assert before.items() <= times(short_quickstart).items()
    assert capfd.readouterr().out == first.out.replace("12 done", "12 already done")


def test_quickstart_has_three_seeds_with_and_without_sd_dropout():
    recipes = [training.recipe for training in read_study(study_file("quickstart")).trainings]
    assert {(recipe.dataset, recipe.images_per_class) for recipe in recipes} == {("digits", 10)}
    assert {(recipe.drop_rate, recipe.temperature) for recipe in recipes} == {(0.5, 3.0)}
    assert [(recipe.seed, recipe.sd_dropout) for recipe in recipes] == [
        (seed, weight) for seed in (0, 1, 2) for weight in (0.0, 0.3)
    ]
