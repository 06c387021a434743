"""Freed memory is reused without page faults."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

#: 16 times 64 MiB are filled and freed; how many pages of them the kernel had to find.
AGAIN = """
import resource
import torch
from sdd_eval.device import keep_freed_memory
{call}
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(16):
        torch.empty(2**24).fill_(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def faults(call: str) -> int:
    ended = subprocess.run(
        [sys.executable, "-c", AGAIN.format(call=call)], capture_output=True, text=True, check=True
    )
    return int(ended.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc is told")
def test_freed_memory_is_reused_without_page_faults() -> None:
    pages = 16 * 2**26 // 4096
    assert faults("pass") > pages / 600  # huge pages count as one of 512
    assert faults("assert keep_freed_memory()") < pages / 6000
