"""The device, threads, float32 precision, determinism and memory allocator of a process.

Torch is imported where it is used, so that fast commands can import this module without it.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdd_eval.errors import InputError
from sdd_eval.validation import THREADS, check_bound

if TYPE_CHECKING:
    import torch

#: Number of operations up to which several threads do not speed up a forward pass: about 10 ms of
#: one thread.
SHORT_PASS = 4e9

#: Parameters of `mallopt` in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def resolve_device(device: str) -> torch.device:
    """Return a torch device; "auto" is the first GPU if there is one, else the CPU.

    Raises:
        InputError: torch does not know this device, or this machine does not have it.
    """
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError:
        raise InputError(f"--device is {device!r}, not auto, cpu, cuda or cuda:N") from None
    if resolved.type == "cuda":
        gpus = torch.cuda.device_count()  # without a CUDA context, which would use memory
        if (resolved.index or 0) >= gpus:
            available = f"{gpus} GPUs" if gpus else "no GPU"
            raise InputError(f"--device is {device}, but torch sees {available} here; use cpu")
        return resolved
    try:
        torch.zeros(1, device=resolved).item()  # fails on "meta", whose tensors have no values
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"--device is {device}, which cannot be used: {reason}; use cpu"
        ) from error
    return resolved


def device_name(device: torch.device) -> str:
    """Return the product name of a GPU, or the type of another device, such as "cpu"."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def device_and_threads(device: str) -> dict[str, Any]:
    """Return the name of the device and the number of threads, which rounding depends on."""
    import torch

    return {"device": device_name(torch.device(device)), "threads": torch.get_num_threads()}


def wait_without_spinning() -> None:
    """Let idle threads of OpenMP and OpenBLAS sleep; effective until these libraries are loaded.

    By default, they spin between operations. When other processes are busy, they then occupy the
    cores that the working threads need, and a small network takes ten times the processor time.
    """
    for name, value in {"OMP_WAIT_POLICY": "passive", "OPENBLAS_THREAD_TIMEOUT": "4"}.items():
        os.environ.setdefault(name, value)


def available_threads(root: Path = Path("/")) -> int:
    """Return the number of cores this process may use given its affinity, cgroup and OpenMP limit.

    A container's processor quota is a limit of its cgroup; the limit of OpenMP is
    `OMP_NUM_THREADS`. `root` is the folder with the file systems `proc` and `sys`.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    limits = [len(affinity(0)) if affinity else os.cpu_count() or 1, *_cgroup_quotas(root)]
    openmp = os.environ.get("OMP_NUM_THREADS", "")
    if openmp.isdigit():
        limits.append(int(openmp))
    return max(1, math.ceil(min(limits)))


def _cgroup_quotas(root: Path) -> Iterator[float]:
    """Yield the numbers of cores that the cgroups (version 1 or 2) of this process may use."""
    with contextlib.suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            mount = root / "sys/fs/cgroup" / controllers
            for group in (mount / path.strip("/"), *(mount / path.strip("/")).parents):
                if group.is_relative_to(mount):
                    yield from _quota(group)


def _quota(group: Path) -> Iterator[float]:
    """Yield the number of cores of a cgroup, if it is limited: its quota divided by its period."""
    with contextlib.suppress(OSError, ValueError):
        if (group / "cpu.max").is_file():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            quota, period = ((group / name).read_text().strip() for name in names)
        if quota not in ("max", "-1"):
            yield float(quota) / float(period)


#: The number of threads that the user requested, which no default overrides.
_requested: list[int] = []


def default_threads(network: torch.nn.Module, pixels: int) -> int:
    """Return the number of threads for a network on batches of this many pixels.

    This is the number passed to `set_threads`, or else that of torch, limited to the available
    cores. It is one if a forward pass is so short that threads mostly wait for each other: at most
    `SHORT_PASS` operations, assuming that every parameter is used at every pixel.
    """
    import torch

    threads = torch.get_num_threads()
    if _requested:
        return threads
    operations = 2 * pixels * sum(parameter.numel() for parameter in network.parameters())
    return 1 if operations <= SHORT_PASS else min(threads, available_threads())


def use_default_threads(network: torch.nn.Module, pixels: int) -> None:
    """Set torch's threads to the default for a network on batches of this many pixels."""
    import torch

    torch.set_num_threads(default_threads(network, pixels))


@contextlib.contextmanager
def restored_threads() -> Iterator[None]:
    """Restore torch's number of threads on exit."""
    import torch

    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def set_threads(threads: int | None) -> None:
    """Limit the threads of NumPy's libraries and of torch, if imported.

    None limits them to the available cores if these are fewer than the machine has.

    Raises:
        InputError: the number is not positive.
    """
    _requested[:] = [] if threads is None else [threads]
    if threads is None:
        threads = available_threads()
        if threads == os.cpu_count():
            return
    check_bound("--threads", threads, THREADS)
    import numpy  # noqa: F401  # libraries must be loaded to be limited
    import threadpoolctl

    threadpoolctl.threadpool_limits(threads)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(threads)


def prepare_device(device: str, threads: int | None) -> str:
    """Set up this process and return its device's name; raise InputError for a wrong device."""
    import torch  # noqa: F401  # `set_threads` sets its threads too

    set_threads(threads)
    keep_freed_memory()
    return str(resolve_device(device))


def keep_freed_memory() -> bool:
    """Make glibc's malloc keep freed memory for the rest of this process; return success.

    The activations of a batch are freed and reallocated at every step. By default, glibc returns
    large blocks to the kernel, and each page causes a page fault when it is reallocated: up to a
    third of the time of a forward pass and a tenth of a training step. Keeping the memory raises
    peak memory by about an eighth. Other C libraries are left unchanged.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # not glibc, or not even a Unix
        return False
    return bool(mallopt(_TRIM_THRESHOLD, -1)) and bool(mallopt(_MMAP_MAX, 0))


@contextlib.contextmanager
def training_settings(
    device: torch.device, threads: int, deterministic: bool, tf32: bool = False
) -> Iterator[None]:
    """Apply settings that affect bitwise reproducibility, and restore the previous ones on exit.

    Torch's global random state is restored as well. A CPU always uses deterministic kernels.
    Without `tf32`, a GPU computes in float32, unlike torch's default for convolutions.

    Raises:
        InputError: the number of threads is not positive.
    """
    import torch

    check_bound("--threads", threads, THREADS)
    on_gpu = device.type == "cuda"
    with contextlib.ExitStack() as restored:
        restored.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(threads)
        if on_gpu:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
            previous = torch.are_deterministic_algorithms_enabled()
            restored.callback(torch.use_deterministic_algorithms, previous)
            torch.use_deterministic_algorithms(deterministic)
            restored.enter_context(float32_precision(tf32=tf32, benchmark=not deterministic))
        restored.enter_context(torch.random.fork_rng([device.index or 0] if on_gpu else []))
        yield


@contextlib.contextmanager
def float32_precision(*, tf32: bool, benchmark: bool | None = None) -> Iterator[None]:
    """Allow TF32 for convolutions and matrix products on a GPU, or only full float32.

    TF32 rounds factors to 10 bits, which flips the signs of small gradients. `benchmark` sets
    whether cuDNN benchmarks its algorithms to find the fastest; None changes nothing.
    """
    import torch

    precision, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn
    flags = cudnn.flags(
        enabled=cudnn.enabled,
        benchmark=cudnn.benchmark if benchmark is None else benchmark,
        deterministic=cudnn.deterministic,
        allow_tf32=tf32,
    )
    try:
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        with flags:
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


def full_float32() -> contextlib.AbstractContextManager[None]:
    """Make a GPU compute in full float32 only, not in TF32."""
    return float32_precision(tf32=False)


def tf32_enabled(device: str) -> bool:
    """Return whether convolutions on a device currently use TF32."""
    import torch

    return device.startswith("cuda") and bool(torch.backends.cudnn.allow_tf32)


@contextlib.contextmanager
def explain_batch_errors(batch_size: int) -> Iterator[None]:
    """Turn torch errors that depend on the batch size into an InputError with advice."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"the device has too little memory for batch_size {batch_size}; "
            f"try {max(1, batch_size // 2)}"
        ) from error
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise InputError(
            f"with batch_size {batch_size} the last batch holds one image, and the network's last "
            "map one pixel: batch norm needs more than one value; choose another batch_size"
        ) from error
