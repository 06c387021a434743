"""Export to MLflow."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from itertools import islice

from sdd_eval.errors import InputError, one_line
from sdd_eval.export.libraries import required
from sdd_eval.export.numbers import CheckpointNumbers

#: Most metrics and parameters that a server accepts at once, and characters of a parameter.
METRICS, PARAMETERS, LONGEST = 1000, 100, 500


def to_mlflow(source: CheckpointNumbers, experiment: str, tracking_uri: str | None = None) -> str:
    """Create an MLflow run with a checkpoint's numbers and curves; return its id.

    The recipe is logged as parameters. The step of a curve is the epoch, that of a number the last
    epoch. Characters that MLflow does not allow in names become dashes. `tracking_uri` defaults to
    MLflow's own settings.

    Raises:
        InputError: MLflow is not installed, or the server or store refuses the run.
    """
    with required("mlflow"):
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param
        from mlflow.exceptions import MlflowException

    now = int(1000 * time.time())
    metrics = (Metric(name, value, now, step) for name, value, step in _values(source))
    facts = ((name, str(value)[:LONGEST]) for name, value in source.facts.items())
    parameters = (Param(name, text) for name, text in facts)
    try:
        client = MlflowClient(tracking_uri)
        known = client.get_experiment_by_name(experiment)
        where = client.create_experiment(experiment) if known is None else known.experiment_id
        run = client.create_run(where, run_name=source.name).info.run_id
        while batch := list(islice(parameters, PARAMETERS)):
            client.log_batch(run, params=batch)
        while batch := list(islice(metrics, METRICS)):
            client.log_batch(run, metrics=batch)
        client.set_terminated(run)
    except (MlflowException, ImportError) as error:  # a database needs SQLAlchemy
        raise InputError(f"MLflow: {one_line(error)}") from error
    return str(run)


def _values(source: CheckpointNumbers) -> Iterator[tuple[str, float, int]]:
    """Yield the name, value and step of each metric."""
    for epoch, values in source.epochs:
        for column, value in values.items():
            yield _key(f"training/{column}"), value, epoch
    last = max((epoch for epoch, _ in source.epochs), default=0)
    for number in source.numbers:
        for name, value in number.values.items():
            yield _key(name), value, last


def _key(name: str) -> str:
    return re.sub(r"[^\w\-./ ]+", "-", name)
