"""Threads of a process, and memory that is reused without page faults."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sdd_eval import device
from sdd_eval.checkpoints import read_card
from sdd_eval.cli import exit_code
from sdd_eval.errors import InputError

#: Fills and frees 64 MiB 16 times; prints the page faults before and after the call.
PAGE_FAULTS = """
import resource
import torch
from sdd_eval.device import keep_freed_memory

def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(16):
        torch.empty(2**24).fill_(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

page_faults()
print(page_faults())
assert keep_freed_memory()
page_faults()
print(page_faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc is not glibc's")
def test_freed_memory_is_reused_without_page_faults() -> None:
    command = [sys.executable, "-c", PAGE_FAULTS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    pages = 16 * 2**26 // 4096
    assert before > pages / 600  # huge pages count as one of 512
    assert after < pages / 6000


@pytest.fixture
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with four cores and no limit of OpenMP."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Two threads of torch that nobody asked for."""
    before, requested = torch.get_num_threads(), [*device._requested]
    torch.set_num_threads(2)
    device._requested.clear()
    yield
    torch.set_num_threads(before)
    device._requested[:] = requested


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.usefixtures("four_cores")
@pytest.mark.parametrize(
    ("files", "threads"),
    [
        ({}, 4),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 4),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "50000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/b/cpu.max": "50000 100000\n"}, 4),
        ({"proc/self/cgroup": "nonsense\n", "sys/fs/cgroup/cpu.max": "x y z\n"}, 4),
        (
            {
                "proc/self/cgroup": "4:memory:/a\n2:cpu,cpuacct:/a\n",
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
    ],
)
def test_the_quota_of_a_container_limits_the_threads(files, threads, tmp_path):
    for name, text in files.items():
        write(tmp_path / name, text)
    assert device.available_threads(tmp_path) == threads


@pytest.mark.usefixtures("four_cores")
def test_openmps_limit_holds(monkeypatch, tmp_path):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert device.available_threads(tmp_path) == 3


@pytest.mark.usefixtures("two_threads", "four_cores")
def test_a_small_network_has_one_thread_unless_another_number_is_requested():
    small, large = torch.nn.Linear(10, 10), torch.nn.Linear(2000, 2000)
    assert device.default_threads(small, 128 * 64) == 1
    assert device.default_threads(large, 128 * 64) == 2
    with device.restored_threads():
        device.set_threads(2)
        assert device.default_threads(small, 128 * 64) == 2
        device.use_default_threads(large, 1)
        assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads", "four_cores")
@pytest.mark.parametrize(("flags", "threads"), [([], 1), (["--threads", "2"], 2)])
def test_a_training_records_the_threads_of_its_network(flags, threads, tmp_path):
    recipe = "--dataset digits --arch small_cnn --standardisation digits --augmentation none"
    command = ["train", *recipe.split(), "--epochs", "1", "--name", "a", *flags]
    assert exit_code([*command, "--checkpoints", str(tmp_path)]) == 0
    assert read_card(tmp_path / "a").provenance.threads == threads


def test_idle_threads_sleep_unless_the_environment_says_otherwise(monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    monkeypatch.delenv("OPENBLAS_THREAD_TIMEOUT", raising=False)
    device.wait_without_spinning()
    assert os.environ["OMP_WAIT_POLICY"] == "active"
    assert os.environ.pop("OPENBLAS_THREAD_TIMEOUT") == "4"


def test_a_device_whose_tensors_have_no_values_is_refused():
    with pytest.raises(InputError, match="--device is meta, which cannot be used"):
        device.resolve_device("meta")
