"""Freed memory is reused without page faults."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

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
