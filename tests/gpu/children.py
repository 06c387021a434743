"""Child processes whose output goes to a log, and which end when their time is over."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Seconds for a child to end after an interrupt.
PATIENCE = 10.0


@dataclass(frozen=True)
class Children:
    """Starts processes with an environment, and writes their output to a log."""

    environment: Mapping[str, str]
    log: Path

    def run(self, command: Sequence[str], seconds: float) -> int | None:
        """Run a command; return its exit code, or None if it was stopped after so many seconds."""
        with self.started(command) as process, contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(max(0.0, seconds))
        return None

    @contextlib.contextmanager
    def started(self, command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
        """Start a command, and stop it at the end if it still runs."""
        with self.log.open("a") as log:
            print(f"$ {' '.join(command)}", file=log, flush=True)
            process = subprocess.Popen(
                command,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that its own children can be stopped with it
            )
            try:
                yield process
            finally:
                _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Interrupt a process and its children, and kill them if they go on."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        end = time.monotonic() + PATIENCE
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(end - time.monotonic())
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
