"""The Ray engine: errors without a cluster, and a cluster of two nodes, one of which is killed."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sdd_eval.cli import exit_code
from sdd_eval.errors import InputError
from sdd_eval.studies.jobs import Workspace, jobs_of
from sdd_eval.studies.ray_engine import _device
from sdd_eval.studies.resolve import read_study
from sdd_eval.studies.run import JobOutcome, run_jobs

STUDY = """
name = "many"
seeds = [0, 1, 2]
[recipe]
dataset = "digits"
arch = "small_cnn"
standardisation = "digits"
augmentation = "none"
epochs = 12
[[train]]
sd_dropout = [0.0, 0.1]
[[evaluate]]
evaluator = ["accuracy", "calibration"]
"""

#: A backbone, a detector on it of three steps, and its evaluation.
DETECTORS = """
name = "many"
[recipe]
dataset = "digits"
arch = "resnet18w16"
standardisation = "digits"
augmentation = "none"
epochs = 1
[[train]]
[[train-detector]]
dataset = "shapes"
epochs = 1
batch_size = 2
min_size = 32
max_size = 64
channels = 8
regions = 8
[[evaluate]]
evaluator = "detection"
"""


def test_the_error_about_missing_ray_names_its_installation(tiny, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert exit_code(["batch", "study.toml", "--engine", "ray"]) == 2
    assert "pip install 'sdd-eval[ray]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--address", "10.0.0.1:6379"],
            "it needs --engine ray",
        ),
        (
            ["--engine", "ray", "--device", "cuda:1"],
            "use auto, cpu or cuda",
        ),
    ],
)
def test_flags_that_need_or_exclude_a_cluster_are_refused(flags, message, study_file, capsys):
    study_file('[[train]]\n[[evaluate]]\nevaluator = "accuracy"\n')
    assert exit_code(["batch", "study.toml", "--dry-run", *flags]) == 2
    assert message in capsys.readouterr().err


def test_jobs_use_the_devices_of_the_cluster_and_not_of_this_machine():
    def cluster(**resources):
        return SimpleNamespace(cluster_resources=lambda: resources)

    assert _device(cluster(CPU=8.0, GPU=4.0), "auto") == "cuda"
    assert _device(cluster(CPU=8.0), "auto") == "cpu"
    assert _device(cluster(GPU=1.0), "cpu") == "cpu"
    with pytest.raises(InputError, match="no node of the Ray cluster has a GPU"):
        _device(cluster(CPU=8.0), "cuda")


@contextmanager
def cluster() -> Iterator[Any]:
    """Start a head node without cores, so that all jobs run on the added nodes."""
    ray = pytest.importorskip("ray", reason="Ray is not installed (pip install 'sdd-eval[ray]')")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Ray's 15 stand still next to a busy process.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112
    from ray.cluster_utils import Cluster

    nodes_of_cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": 2**27},
    )
    try:
        yield nodes_of_cluster
    finally:
        ray.shutdown()
        nodes_of_cluster.shutdown()


def workspace(folder: Path) -> Workspace:
    reports = folder / "reports" / "many"
    return Workspace(folder / "checkpoints", reports, folder / "data", threads=1)


def content(folder: Path) -> dict[str, Any]:
    """Return the weights and numbers of a study, without times."""
    weights = {p.parent.name: p.read_bytes() for p in folder.rglob("*.safetensors")}
    runs = {
        p.name: json.loads(p.read_text())["measurements"] for p in folder.rglob("runs/*/*.json")
    }
    return {**weights, **runs}


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_killed_node_loses_and_repeats_no_job(here):
    (here / "study.toml").write_text(STUDY)
    jobs = jobs_of(read_study(here / "study.toml"))
    from sdd_eval.studies.ray_engine import run_on_ray

    logging.disable(logging.WARNING)
    with cluster() as nodes:
        doomed = nodes.add_node(num_cpus=1, object_store_memory=2**27)
        nodes.add_node(num_cpus=1, object_store_memory=2**27)
        nodes.wait_for_nodes()
        ended_jobs: list[JobOutcome] = []

        def ended(outcome: JobOutcome) -> None:
            ended_jobs.append(outcome)
            if len(ended_jobs) == 5:  # both nodes are in the middle of something
                nodes.remove_node(doomed, allow_graceful=False)

        outcomes = run_on_ray(jobs, workspace(here), address=nodes.address, on_outcome=ended)
    logging.disable(logging.NOTSET)
    assert [item.key for item in outcomes] == [job.key for job in jobs]
    assert sorted(item.key for item in ended_jobs) == sorted(job.key for job in jobs)
    assert all(item.succeeded for item in outcomes), [o.reason for o in outcomes if not o.succeeded]
    assert len({item.worker for item in outcomes}) >= 2
    for history in here.rglob("history.csv"):
        epochs = [line.split(",")[0] for line in history.read_text().splitlines()[1:]]
        assert epochs == [str(epoch) for epoch in range(1, 13)], history
    first = content(here)
    assert len(first) == len(jobs)

    again = run_jobs(jobs, workspace(here), {}, Quiet())
    assert {item.result for item in again} == {"already done"}
    other = here / "elsewhere"
    run_jobs(jobs, workspace(other), {}, Quiet())
    assert content(other) == first


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_detector_comes_after_its_backbone_on_a_cluster_too(here, write_coco):
    from sdd_eval.studies.ray_engine import run_on_ray

    write_coco(here / "data")
    (here / "study.toml").write_text(DETECTORS)
    jobs = jobs_of(read_study(here / "study.toml"))
    assert len(jobs) == 3
    with cluster() as nodes:
        nodes.add_node(num_cpus=2, object_store_memory=2**27)  # for two jobs at once
        nodes.wait_for_nodes()
        outcomes = run_on_ray(jobs, workspace(here), address=nodes.address)
    assert [(item.key, item.result) for item in outcomes] == [(job.key, "done") for job in jobs], [
        item.reason for item in outcomes
    ]
    assert len(content(here)) == len(jobs)
    again = run_jobs(jobs, workspace(here), {}, Quiet())
    assert {item.result for item in again} == {"already done"}


class Quiet:
    """Return an address without a listener."""

    def start(self, label: str, total: int) -> None: ...

    def advance(self, units: int = 1, note: str = "") -> None: ...

    @contextmanager
    def job(self, label: str, seconds: float, one_piece: bool = False) -> Iterator[None]:
        yield
