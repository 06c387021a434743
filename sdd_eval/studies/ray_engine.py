"""The engine of a Ray cluster: a core or a GPU a job, results to the folders that all nodes share.

A job whose node dies is started again elsewhere: a training goes on after its last whole epoch, and
what was finished is found so. Locks on the files keep two workers from doing the same.
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
from sdd_eval.studies.jobs import Job, Places
from sdd_eval.studies.run import Outcome, not_run, perform

#: How many nodes or workers may die under one job before it counts as failed.
DEATHS = 20
#: Seconds between two looks at a job that another worker is doing.
WAIT = 2.0


def run_on_ray(
    jobs: Sequence[Job],
    places: Places,
    *,
    address: str | None = None,
    ended: Callable[[Outcome], object] = lambda outcome: None,
) -> list[Outcome]:
    """Hand all jobs to a cluster, and wait; a job starts when those that it needs are over.

    Args:
        jobs: in an order in which each comes after what it needs.
        places: absolute paths that every node sees.
        address: of the cluster; $RAY_ADDRESS if None, else a cluster of this machine's own.
        ended: hears each outcome when it is there.

    Raises:
        InputError: Ray is not installed, or there is no cluster at the address.
    """
    ray = _connected(address)
    try:
        places = dataclasses.replace(places, device=_device(ray, places.device))
        work = ray.remote(_work).options(**_resources(places), max_retries=DEATHS)
        handed: dict[str, Any] = {}
        for job in jobs:
            before = [handed[key] for key in job.needs if key in handed]
            handed[job.key] = work.remote(job, places, *before)
        return _collected(ray, dict(zip(handed.values(), jobs, strict=True)), ended)
    finally:
        ray.shutdown()


def _connected(address: str | None) -> Any:
    """Ray, connected to a cluster."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise InputError("--engine ray needs Ray: pip install 'sdd-eval[ray]'") from error
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


def _device(ray: Any, asked: str) -> str:
    """Where the jobs compute: "auto" is on GPUs where the cluster has one.

    Raises:
        InputError: GPUs are asked for, and the cluster has none.
    """
    gpus = ray.cluster_resources().get("GPU", 0)
    if asked == "cuda" and not gpus:
        raise InputError("--device is cuda, but no node of the Ray cluster has a GPU; use cpu")
    return ("cuda" if gpus else "cpu") if asked == "auto" else asked


def _resources(places: Places) -> dict[str, Any]:
    """What a job holds of a node: its threads, and a GPU if it runs on one."""
    gpu = places.device.startswith("cuda")
    return {"num_cpus": places.threads or 1, "num_gpus": 1 if gpu else 0}


def _work(job: Job, places: Places, *before: Outcome) -> Outcome:
    """One job in a worker; while another holds its files it waits, then finds them there."""
    import torch

    failed = [each for each in before if not each.good]
    if failed:
        return not_run(job, failed[0])
    torch.set_num_threads(places.threads or 1)
    keep_freed_memory()
    while True:
        try:
            return perform(job, places, NoProgress())
        except store.Busy:
            time.sleep(WAIT)


def _collected(
    ray: Any, handed: dict[Any, Job], ended: Callable[[Outcome], object]
) -> list[Outcome]:
    """The outcomes in the order of the jobs."""
    outcomes: dict[str, Outcome] = {}
    waiting = list(handed)
    try:
        while waiting:
            over, waiting = ray.wait(waiting, num_returns=1, timeout=1.0)
            for reference in over:
                job = handed[reference]
                outcomes[job.key] = _outcome(ray, reference, job)
                ended(outcomes[job.key])
    except BaseException:
        for reference in waiting:
            ray.cancel(reference, force=True)
        raise
    return [outcomes[job.key] for job in handed.values()]


def _outcome(ray: Any, reference: Any, job: Job) -> Outcome:
    """What a worker gave back, or why none could."""
    try:
        found: Outcome = ray.get(reference)
    except ray.exceptions.RayError as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = f"{type(error).__name__}: {lines[0]}"
        return Outcome(job.key, job.label, "failed", reason=reason, trace=str(error))
    return found
