"""Device, threads, float32 precision, determinism and memory allocator of a process.

Torch is imported where it is used, so that quick commands can import this module without it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sdd_eval.errors import InputError

if TYPE_CHECKING:
    import torch

#: Parameters of `mallopt` in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def resolve_device(device: str) -> torch.device:
    """Return a torch device; "auto" is the first GPU if there is one, else the CPU.

    Raises:
        InputError: torch knows no such device, or this machine does not have it.
    """
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError:
        raise InputError(f"--device is {device!r}, not auto, cpu, cuda or cuda:N") from None
    if resolved.type == "cuda":
        gpus = torch.cuda.device_count()  # without a CUDA context, which would fill memory
        if (resolved.index or 0) >= gpus:
            available = f"{gpus} GPUs" if gpus else "no GPU"
            raise InputError(f"--device is {device}, but torch sees {available} here; use cpu")
        return resolved
    try:
        torch.empty(0, device=resolved)
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


def set_threads(threads: int | None) -> None:
    """Limit the threads of NumPy's libraries and of torch, if imported; None changes nothing.

    Raises:
        InputError: the number is not positive.
    """
    if threads is None:
        return
    if threads < 1:
        raise InputError(f"--threads is {threads}; it must be 1 or more")
    import numpy  # noqa: F401  # its libraries must be loaded to be limited
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
    """Make glibc's malloc keep freed memory for the rest of this process; return whether it does.

    The activations of a batch are freed and allocated again at every step. By default glibc returns
    large blocks to the kernel, and each page costs a page fault when it is allocated again: up to a
    third of the time of a forward pass and a tenth of a training step. Keeping the memory costs
    about an eighth more of it at the peak. Other C libraries are left as they are.
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
    """Apply the settings that affect bitwise reproducibility, and restore the previous ones.

    Torch's global random state is restored, too. A CPU always uses deterministic kernels. Without
    `tf32` a GPU computes in float32, unlike torch's default for convolutions.

    Raises:
        InputError: the number of threads is not positive.
    """
    import torch

    if threads < 1:
        raise InputError(f"--threads is {threads}; it must be 1 or more")
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
    """Let convolutions and matrix products on a GPU use TF32, or only full float32.

    TF32 rounds factors to 10 bits, which flips the signs of small gradients. `benchmark` is whether
    cuDNN measures which of its algorithms is fastest; None changes nothing.
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
    """Let a GPU compute only in full float32, not in TF32."""
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
