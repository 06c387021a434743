"""Runs of wandb, TensorBoard and MLflow, written by the real libraries without a network."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sdd_eval.cli import exit_code
from sdd_eval.errors import InputError
from sdd_eval.export import CheckpointNumbers, to_mlflow, to_tensorboard

NAME = "digits-small_cnn-ce-seed0"

# the libraries, and what they import, may warn
pytestmark = pytest.mark.filterwarnings("default")


def test_tensorboard_reads_the_curves_and_the_numbers(
    project: Path, source: CheckpointNumbers, capsys: pytest.CaptureFixture[str]
) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tensors = pytest.importorskip("tensorboard.util.tensor_util")
    assert exit_code(["export", "tensorboard", NAME, "--logdir", "logs"]) == 0
    assert capsys.readouterr().out.strip() == f"logs/{NAME}"
    stored = events.EventAccumulator(f"logs/{NAME}").Reload()

    def scalars(tag: str) -> list[tuple[int, float]]:
        return [(e.step, float(tensors.make_ndarray(e.tensor_proto))) for e in stored.Tensors(tag)]

    assert scalars("training/loss") == [(1, 2.25), (2, 1.5)]
    assert scalars("accuracy/accuracy") == [(2, pytest.approx(0.8))]
    assert scalars("accuracy/accuracy low") == [(2, pytest.approx(0.755))]
    numbers = {name for number in source.numbers for name in number.values}
    curves = {"training/lr", "training/loss", "training/kl_cosine@layer1"}
    assert {*stored.Tags()["tensors"]} == numbers | curves
    description = stored.SummaryMetadata("accuracy/accuracy").summary_description
    assert "largest logit against the label" in description


def test_event_files_are_replaced_only_where_that_is_wanted(
    project: Path, source: CheckpointNumbers
) -> None:
    pytest.importorskip("tensorboard")
    folder = to_tensorboard(source, project)
    with pytest.raises(InputError, match="has event files already; use --overwrite"):
        to_tensorboard(source, project)
    to_tensorboard(source, project, overwrite=True)
    assert len([*folder.iterdir()]) == 1


@pytest.mark.slow
def test_mlflow_stores_the_curves_the_numbers_and_the_recipe(
    project: Path, source: CheckpointNumbers
) -> None:
    mlflow = pytest.importorskip("mlflow")
    old = int(mlflow.__version__.split(".")[0]) < 3  # of which the extra needs no database
    uri = str(project / "mlruns") if old else f"sqlite:///{project}/mlflow.db"
    run = to_mlflow(source, "robustness", uri)
    client = mlflow.MlflowClient(uri)
    stored = client.get_run(run)
    assert (stored.info.run_name, stored.info.status) == (NAME, "FINISHED")
    assert client.get_experiment(stored.info.experiment_id).name == "robustness"
    assert stored.data.params["weights_sha256"] == source.facts["weights_sha256"]
    assert stored.data.params["lr"] == "0.1"
    metrics = stored.data.metrics
    assert metrics["accuracy/accuracy"] == 0.8
    assert metrics["accuracy/accuracy high"] == 0.838
    assert metrics["calibration/ece temperature-cross-fitted bins-10"] == 0.01
    loss = [(m.step, m.value) for m in client.get_metric_history(run, "training/loss")]
    assert sorted(loss) == [(1, 2.25), (2, 1.5)]
    again = to_mlflow(source, "robustness", uri)
    assert client.get_run(again).info.experiment_id == stored.info.experiment_id
    with pytest.raises(InputError, match="MLflow: "):
        to_mlflow(source, "robustness", "nothing://here")


@pytest.fixture
def wandb(project: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The library, which keeps to the test's folder, prints nothing and reports to nobody."""
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "HOME"):
        monkeypatch.setenv(name, str(project / name.lower()))
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    return pytest.importorskip("wandb")


def wandb_records(path: Path) -> Iterator[bytes]:
    """Yield the records of a run of wandb: LevelDB's log format after a header of 7 bytes."""
    content, position, record = path.read_bytes(), 7, b""
    while position < len(content):
        left = 32768 - position % 32768
        if left < 7:  # no header fits before the end of the block
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, position)
        record += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or its last part
            yield record
            record = b""


@pytest.mark.slow
def test_wandb_stores_the_curves_the_numbers_and_the_recipe_offline(
    wandb: Any, source: CheckpointNumbers, capsys: pytest.CaptureFixture[str]
) -> None:
    from wandb.proto.wandb_internal_pb2 import Record

    assert exit_code(["export", "wandb", NAME, "--mode", "offline"]) == 0
    wandb.teardown()  # which flushes the file, as the end of the process does
    folder = Path(capsys.readouterr().out.strip())
    (path,) = folder.glob("*.wandb")
    records = [Record.FromString(content) for content in wandb_records(path)]
    curves = [item for r in records for item in r.history.item]
    loss = [item.value_json for item in curves if "training/loss" in (item.key, *item.nested_key)]
    assert loss == ["2.25", "1.5"]
    summary = {
        item.key or "/".join(item.nested_key): float(item.value_json)
        for record in records
        for item in record.summary.update
        if item.value_json[0] not in '{"'
    }
    assert summary["accuracy/accuracy"] == 0.8
    assert summary["accuracy/accuracy_low"] == 0.755
    assert summary["calibration/ece_temperature_cross_fitted_bins_10"] == 0.01
    config = {item.key: item.value_json for r in records for item in r.run.config.update}
    assert config["lr"] == "0.1"
    assert config["weights_sha256"] == f'"{source.facts["weights_sha256"]}"'


@pytest.mark.slow
@pytest.mark.usefixtures("wandb")
def test_wandb_without_an_account_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    assert exit_code(["export", "wandb", NAME]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("sdd-eval: wandb: ")
    assert error.endswith("--mode offline needs no account")
