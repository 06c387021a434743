"""Run jobs on a Ray cluster: one core or GPU per job, in folders that all nodes share.

A job whose node dies is restarted elsewhere: a training run resumes after its last complete epoch,
and finished work is reused. File locks keep two workers from running the same job.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from sdd_eval import store
from sdd_eval.device import keep_freed_memory
from sdd_eval.errors import InputError
from sdd_eval.progress import NoProgress
from sdd_eval.studies.jobs import Job, Workspace
from sdd_eval.studies.run import WAIT, JobOutcome, not_run, run_job

#: Number of nodes or workers that may die during one job before it counts as failed.
MAX_RETRIES = 20


def run_on_ray(
    jobs: Sequence[Job],
    workspace: Workspace,
    *,
    address: str | None = None,
    on_outcome: Callable[[JobOutcome], object] = lambda outcome: None,
) -> list[JobOutcome]:
    """Submit all jobs to a cluster and wait; a job starts when those that it needs have ended.

    Each job must come after those that it needs. The workspace has absolute paths that every node
    can access. If None, the address is $RAY_ADDRESS, else that of a cluster on this machine. Raise
    InputError if Ray is not installed, or there is no cluster at the address.
    """
    ray = _connect(address)
    try:
        workspace = dataclasses.replace(workspace, device=_device(ray, workspace.device))
        gpus, threads = int(workspace.device.startswith("cuda")), workspace.threads or 1
        resources = {"num_cpus": threads, "num_gpus": gpus}
        work = ray.remote(_work).options(**resources, max_retries=MAX_RETRIES)
        submitted: dict[str, Any] = {}
        for job in jobs:
            needed = [submitted[key] for key in job.needs if key in submitted]
            submitted[job.key] = work.remote(job, workspace, *needed)
        references = dict(zip(submitted.values(), jobs, strict=True))
        return _collect(ray, references, on_outcome)
    finally:
        ray.shutdown()


def require_ray() -> Any:
    """Import and return Ray; raise InputError if it is not installed."""
    try:
        import ray
    except ImportError as error:
        raise InputError("--engine ray needs Ray: pip install 'sdd-eval[ray]'") from error
    return ray


def _connect(address: str | None) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray = require_ray()
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False if address is None and not os.getenv("RAY_ADDRESS") else None,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        cause = " ".join(str(error).split())
        raise InputError(f"no Ray cluster at {address or 'this machine'}: {cause}") from error
    return ray


def _device(ray: Any, requested: str) -> str:
    """Return the device of the jobs; "auto" is a GPU if the cluster has one."""
    gpus = ray.cluster_resources().get("GPU", 0)
    if requested == "cuda" and not gpus:
        raise InputError("--device is cuda, but no node of the Ray cluster has a GPU; use cpu")
    return ("cuda" if gpus else "cpu") if requested == "auto" else requested


def _work(job: Job, workspace: Workspace, *needed: JobOutcome) -> JobOutcome:
    """Run one job in a worker; wait while another process is running it."""
    import torch

    failed = [outcome for outcome in needed if not outcome.succeeded]
    if failed:
        return not_run(job, failed[0])
    torch.set_num_threads(workspace.threads or 1)
    keep_freed_memory()
    while True:
        try:
            return run_job(job, workspace, NoProgress())
        except store.Busy:
            time.sleep(WAIT)


def _collect(
    ray: Any, references: dict[Any, Job], on_outcome: Callable[[JobOutcome], object]
) -> list[JobOutcome]:
    outcomes: dict[str, JobOutcome] = {}
    waiting = list(references)
    try:
        while waiting:
            ended, waiting = ray.wait(waiting, num_returns=1, timeout=1.0)
            for reference in ended:
                job = references[reference]
                try:
                    outcome: JobOutcome = ray.get(reference)
                except ray.exceptions.RayError as error:
                    kind, text = type(error).__name__, str(error).strip()
                    reason = f"{kind}: {(text or kind).splitlines()[0]}"
                    outcome = JobOutcome(job.key, job.label, "failed", reason=reason, trace=text)
                outcomes[job.key] = outcome
                on_outcome(outcome)
    except BaseException:
        for reference in waiting:
            ray.cancel(reference, force=True)
        raise
    return [outcomes[job.key] for job in references.values()]
