"""The scripts for a GPU, on a CPU: limits of packing and time, merging, and a whole call."""

import importlib.metadata
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import checks
import environment
import merge
import pack
import pytest
import run
import study
import throughput
import training
from children import Children

from sdd_eval import studies
from sdd_eval.paper.claims import paper_claims

HERE = Path(__file__).parent
MIB = 2**20


def noise(path, size, seed=0):
    """Write bytes that cannot be compressed."""
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(np.random.default_rng(seed).bytes(size))


def group(work, name, size, seed=0):
    noise(work / name, size, seed)
    return pack.Group(name, (name,))


def content(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != pack.RESULTS}


def test_an_output_is_at_most_eight_files_below_16_mib_and_comes_back_whole(tmp_path):
    work, out, back = tmp_path / "work", tmp_path / "out", tmp_path / "back"
    out.mkdir()
    groups = [group(work, f"part{i}", size * MIB, i) for i, size in enumerate((1, 20, 20, 2))]
    packed, left_out = pack.pack(work, groups, out, total=32 * MIB)
    pack.write_results(out, {"calls": 1}, "text")
    sizes = [path.stat().st_size for path in out.iterdir()]
    assert packed == ["part0", "part1", "part3"]
    assert list(left_out) == ["part2"]
    assert left_out["part2"] >= 20 * MIB
    assert len(sizes) <= pack.FILES
    assert max(sizes) < 16 * MIB
    assert sum(sizes) <= 32 * MIB
    assert pack.unpack(out, back)
    expected = {name: whole for name, whole in content(work).items() if name != "part2"}
    assert content(back) == expected


def test_the_number_of_files_also_limits_an_output(tmp_path):
    work, out = tmp_path / "work", tmp_path / "out"
    out.mkdir()
    groups = [group(work, f"part{i:02}", 100_000, i) for i in range(40)]
    packed, left_out = pack.pack(work, groups, out, size=400_000)
    assert len(pack.volumes(out)) <= pack.FILES - 2
    assert len(list(out.iterdir())) == len(pack.volumes(out))
    assert len(packed) + len(left_out) == 40
    assert 10 <= len(packed) < 24


def test_what_lies_before_a_missing_volume_is_still_unpacked(tmp_path):
    work, out, back = tmp_path / "work", tmp_path / "out", tmp_path / "back"
    out.mkdir()
    groups = [group(work, f"part{i:02}", 100_000, i) for i in range(9)]
    pack.pack(work, groups, out, size=400_000)
    pack.write_results(out, {}, "")
    (out / f"{pack.ARCHIVE}.1").unlink()
    assert not pack.unpack(out, back)
    whole = content(work)
    assert [name for name, found in content(back).items() if found == whole[name]]


def test_results_are_packed_before_weights_and_new_runs_before_those_of_earlier_calls(tmp_path):
    runs = "reports/paper-core/runs/net"
    for name in ("study.toml", "log.txt", "training/net/card.json", "checkpoints/net/weights"):
        noise(tmp_path / name, 10)
    for name in ("a.json", "a.npz", "b.json", "b.npz"):
        noise(tmp_path / runs / name, 10)
    noise(tmp_path / "checkpoints/net/.lock", 1)
    groups = list(pack.groups_of(tmp_path, [f"{runs}/a.json"], ["net", "absent"]))
    assert [one.paths for one in groups] == [
        ("study.toml", "log.txt"),
        ("training/net/card.json",),
        (f"{runs}/b.json", f"{runs}/b.npz"),
        (f"{runs}/a.json", f"{runs}/a.npz"),
        ("checkpoints/net/weights",),
    ]


def test_a_folder_with_other_files_is_neither_emptied_nor_used(tmp_path, capsys):
    (tmp_path / "thesis.tex").touch()
    (tmp_path / pack.RESULTS).touch()
    with pytest.raises(ValueError, match=r"thesis\.tex"):
        pack.clear(tmp_path)
    assert (tmp_path / pack.RESULTS).exists()


def test_the_parts_of_a_call_fit_into_its_time(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(run.time, "monotonic", lambda: now[0])
    clock = run.Clock(600)
    assert clock.until(run.CHECKS) == pytest.approx(180)
    now[0] += 200
    assert clock.until(run.CHECKS) == 0
    assert clock.until(run.THROUGHPUT) == pytest.approx(100)
    assert clock.for_study() == pytest.approx(400 - 40 - run.PATIENCE)
    assert run.Clock(60).for_study() == pytest.approx(60 - 15 - run.PATIENCE)


def test_the_study_uses_only_what_has_passed_its_check():
    lines = [{"name": "bf16", "status": "pass"}, {"name": "compile", "status": "fail"}]
    options = run._options(lines, "cuda")
    assert options == {"precision": "bf16", "channels_last": True, "compile": False}
    passed = [{"name": name, "status": "pass"} for name in ("bf16", "compile")]
    assert run._options(passed, "cuda") == training.FAST
    assert run._options(passed, "cpu")["precision"] == "float32"


def test_plugins_of_a_checkout_that_is_not_installed_are_found(tmp_path):
    environment.write_metadata(tmp_path)
    (found,) = importlib.metadata.distributions(path=[str(tmp_path)])
    points = {(point.group, point.name): point.value for point in found.entry_points}
    assert found.name == "sdd-eval"
    assert points["sdd_eval.models", "resnet18"] == "sdd_eval.models.builders:resnet18"
    assert points["console_scripts", "sdd-eval"] == "sdd_eval.cli:main"
    assert {"sklearn", "PIL", "torch", "tyro"} <= set(environment.required_modules())


def test_wheels_are_used_only_for_packages_that_are_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in ("made_up_package", "numpy"):
        with zipfile.ZipFile(wheels / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}.py", "VALUE = 7\n")
    found = environment.prepare(tmp_path / "scratch", wheels)
    assert [path.name for path in (tmp_path / "scratch/wheels").iterdir()] == ["made_up_package.py"]
    command = [sys.executable, "-c", "import made_up_package as m; print(m.VALUE)"]
    done = subprocess.run(command, env=found, capture_output=True, text=True, check=True)
    assert done.stdout == "7\n"


def test_everything_that_is_missing_is_named_at_once():
    broken = environment.Found({"tyro": "ModuleNotFoundError: No module named 'tyro'"})
    assert "tyro" in environment.problems(broken, "cuda", "cifar100")[0]
    bare = environment.Found(torch="2.6")
    gpu, data = environment.problems(bare, "cuda", "cifar100")
    assert "--device cpu --small" in gpu
    assert "sdd-eval data get cifar100" in data
    assert not environment.problems(environment.Found(data=True), "cpu", "digits")


def test_without_a_gpu_the_script_says_so_and_exits_with_2(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(environment, "look", lambda *_: environment.Found(torch="2.6", data=True))
    monkeypatch.setattr(run.signal, "signal", lambda *_: None)
    assert run.main(["--out", str(tmp_path / "out"), "--small"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_child_is_stopped_when_its_time_is_over(tmp_path):
    children = Children({}, tmp_path / "log.txt")
    assert children.run(["sleep", "60"], 0.1) is None
    assert children.run(["sh", "-c", "echo said; exit 3"], 5) == 3
    assert "said\n" in (tmp_path / "log.txt").read_text()


@pytest.fixture
def setup(tmp_path):
    return checks.Setup(replace(training.SMALL, steps=1), "cpu", tmp_path)


def test_a_check_that_raises_fails_and_the_others_run(setup):
    def broken(_):
        raise RuntimeError("no such kernel")

    outcomes = list(
        checks.run_checks(setup, {"a": broken, "determinism": checks.CHECKS["determinism"]})
    )
    assert [one.status for one in outcomes] == ["fail", "pass"]
    assert outcomes[0].reason == "RuntimeError: no such kernel"
    assert tuple(checks.CHECKS) == run.CHECK_NAMES


def test_wrong_arithmetic_fails_its_check(setup, monkeypatch):
    import torch

    assert checks.check_bf16(setup).status == "pass"
    monkeypatch.setattr(checks, "_gradient", lambda _, name: torch.tensor([1.0, name == "bf16"]))
    assert checks.check_bf16(setup).status == "fail"
    monkeypatch.setattr(setup.size.__class__, "recipe", replace(setup.size.recipe, epochs=1))
    seeds = iter((1, 2))
    trained = training.trained

    def unsteady(*args, **options):
        return trained(*args, **options, seed=next(seeds))

    monkeypatch.setattr(checks, "trained", unsteady)
    assert checks.check_determinism(setup).status == "fail"


def test_the_operations_of_resnet18_are_those_of_its_layers():
    assert throughput.operations(training.FULL) == pytest.approx(167e12 / 50_000, rel=0.01)


def test_the_study_file_keeps_the_options_of_the_first_call(tmp_path):
    study.write_file(tmp_path, training.FAST)
    study.write_file(tmp_path, {"precision": "float32"})
    resolved = studies.read_study(tmp_path / study.FILE)
    recipes = {(t.recipe.precision, t.recipe.compile, t.recipe.epochs) for t in resolved.trainings}
    assert recipes == {("bf16", True, 200)}
    builtin = studies.read_study(studies.study_file(study.STUDY))
    assert len(resolved.evaluations) == len(builtin.evaluations)


def test_complete_seeds_need_no_weights_and_the_others_those_of_their_jobs(tmp_path):
    study.write_file(tmp_path, {})
    resolved = studies.read_study(tmp_path / study.FILE, seeds=(0, 1))
    seeds = study.seeds_of(resolved)
    jobs = [
        studies.Planned(job, "missing" if seeds[job.checkpoint] == 1 else "done")
        for job in studies.jobs_of(resolved)
    ]
    assert study.complete_seeds(resolved, jobs) == {0}
    needed = study.needed_checkpoints(jobs, {0}, resolved)
    assert sorted(needed) == sorted(name for name, seed in seeds.items() if seed == 1)
    assert study.complete_seeds(resolved, [replace(job, state="done") for job in jobs]) == {0, 1}


def output(folder, synthetic, runs):
    """Write the output of a call that measured some runs."""
    work, out = folder / "work", folder / "out"
    out.mkdir(parents=True)
    synthetic.write_study(work / "reports/paper-core-small", runs)
    study.write_file(work, {})
    noise(work / "training" / runs[0].checkpoint / "history.csv", 10)
    pack.pack(work, pack.groups_of(work, [], []), out)
    pack.write_results(out, {"study": "paper-core-small", "calls": 1}, "")
    return out


def test_outputs_of_several_calls_become_one_study_with_one_training_of_each_network(
    tmp_path, synthetic, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "path", [*sys.path])
    base, other = (synthetic.network(weight, 0) for weight in (0.0, 1.0))
    first = [synthetic.accuracy_run(base), synthetic.calibration_run(base)]
    again = replace(base, weights="again")
    second = [synthetic.accuracy_run(again), synthetic.accuracy_run(other)]
    second[0] = replace(second[0], weights_sha256="f" * 64)
    outs = [output(tmp_path / "1", synthetic, first), output(tmp_path / "2", synthetic, second)]
    reports = tmp_path / "reports"
    assert merge.main([*map(str, outs), "--reports", str(reports)]) == 0
    printed = capsys.readouterr().out
    merged = reports / "paper-core-small"
    runs = {path.parent.name: [] for path in sorted(merged.glob("runs/*/*.json"))}
    for path in merged.glob("runs/*/*.json"):
        runs[path.parent.name].append(json.loads(path.read_text())["weights_sha256"])
        assert path.with_suffix(".npz").is_file()
    assert len(runs[base.checkpoint]) == 2
    assert set(runs[base.checkpoint]) == {first[0].weights_sha256}
    assert len(runs[other.checkpoint]) == 1
    assert f"{base.checkpoint}: 2 runs of one training; 1 other left out" in printed
    assert studies.read_study_record(merged).small
    assert (merged / "training" / base.checkpoint / "history.csv").is_file()


def test_folders_that_are_no_output_are_refused(tmp_path, capsys):
    assert merge.main([str(tmp_path)]) == 2
    assert "no output of run.py" in capsys.readouterr().err


def called(*arguments, folder):
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_every_check_runs_on_a_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    found = environment.prepare(tmp_path)
    results = tmp_path / "checks.json"
    command = [sys.executable, str(HERE / "checks.py"), "cpu", str(results), "--small"]
    subprocess.run(command, env=found, check=True, capture_output=True)
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert {line["name"]: line["status"] for line in lines} == {
        "bf16": "pass",
        "compile": "pass",
        "determinism": "pass",
        "cuda_graphs": "skip",
    }
    assert lines[3]["numbers"]["ms"] > 0


@pytest.mark.slow
def test_a_second_call_goes_on_and_the_merged_study_is_reported_and_judged(tmp_path):
    small = ["--device", "cpu", "--small", "--minutes", "3", "--data-root", tmp_path / "data"]
    called(HERE / "run.py", *small, "--out", "first", folder=tmp_path)
    called(HERE / "run.py", *small, "--out", "second", "--state", "first", folder=tmp_path)
    results = [
        json.loads((tmp_path / name / pack.RESULTS).read_text()) for name in ("first", "second")
    ]
    for name in ("first", "second"):
        sizes = [path.stat().st_size for path in (tmp_path / name).iterdir()]
        assert len(sizes) <= 8
        assert max(sizes) < 16 * MIB
    assert {line["status"] for line in results[0]["checks"]} <= {"pass", "skip"}
    assert results[1]["throughput"]["share_of_matrix_rate"] > 0
    assert results[1]["calls"] == 2
    assert results[0]["checks"] == results[1]["checks"]
    assert results[1]["jobs_done"] > results[0]["jobs_done"]
    assert pack.unpack(tmp_path / "first", tmp_path / "begun")
    (history,) = (tmp_path / "begun/training").glob("*-ce-6d8d75-seed0/history.csv")
    assert history.read_text().count("\n") > 1  # an epoch of the first network, which is kept
    called(HERE / "merge.py", "first", "second", folder=tmp_path)
    sdd_eval = ("-m", "sdd_eval")
    called(*sdd_eval, "report", "paper-core-small", "--no-images", folder=tmp_path)
    called(*sdd_eval, "paper", "claims", "paper-core-small", "--no-cost", folder=tmp_path)
    merged = tmp_path / "reports/paper-core-small"
    assert (merged / "index.html").is_file()
    judged = json.loads((merged / "paper/claims.json").read_text())
    assert len(judged) >= len(paper_claims())
