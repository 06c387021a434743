"""What around a training decides its last bits: device, threads, deterministic kernels."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch

from sdd_eval.errors import InputError
from sdd_eval.randomness import derived_seed


def usable(device: str) -> torch.device:
    """The device of a name; "auto" is the GPU where there is one, else the CPU.

    Raises:
        InputError: there is no such device here.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
        return torch.device(device)
    except (RuntimeError, AssertionError) as error:  # without CUDA torch asserts
        reason = str(error).splitlines()[0]
        raise InputError(f"device {device!r} cannot be used: {reason}; use cpu") from error


def described(device: torch.device) -> str:
    """The device in words, e.g. "cpu", or the GPU's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@contextlib.contextmanager
def surroundings(
    device: torch.device, threads: int, deterministic: bool, tf32: bool = False
) -> Iterator[None]:
    """Train with so many threads and such kernels; the caller's settings come back after it.

    A GPU computes in float32, and not in TF32 as torch lets convolutions, unless that is asked for.
    """
    if threads < 1:
        raise InputError(f"threads is {threads}; it must be 1 or more")
    before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    products, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn
    convolutions, benchmark = cudnn.allow_tf32, cudnn.benchmark
    torch.set_num_threads(threads)
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
        torch.use_deterministic_algorithms(deterministic)
        cudnn.benchmark, cudnn.allow_tf32 = not deterministic, tf32
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
    gpus = [device.index or 0] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=gpus):
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        cudnn.benchmark, cudnn.allow_tf32 = benchmark, convolutions
        torch.set_float32_matmul_precision(products)


@contextlib.contextmanager
def explained(batch_size: int) -> Iterator[None]:
    """Say what to do about the two failures of torch that the batch size decides.

    Raises:
        InputError: the device's memory does not do, or batch norm got a single value.
    """
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
            f"with batch_size {batch_size} a batch holds one image, and at the end of this network "
            "one pixel: batch norm needs more; choose another batch_size"
        ) from error


def seed_layers(seed: int, purpose: str, index: int = 0) -> None:
    """Seed torch's global state, which initialisation and a network's own layers draw from."""
    torch.manual_seed(derived_seed(seed, purpose, index))
