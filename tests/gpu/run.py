"""Check, time and use one GPU for a limited time: python tests/gpu/run.py --minutes 10

1. Say in the first seconds what is missing: packages, a GPU, CIFAR-100. Nothing is installed.
2. Check bf16, torch.compile, determinism and CUDA graphs (`checks.py`).
3. Time a training and ten trainings at once (`throughput.py`).
4. Train and measure the study paper/core in the rest of the time.
5. Write at most eight files of less than 16 MiB into --out, the results first.

A later call with --state goes on; `merge.py` joins the outputs of all calls into one study. On any
machine, `--device cpu --small --minutes 2` tries all of it with small networks. The package can be
imported only after `environment.prepare`: functions import what needs it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import environment
import pack
import summary
from children import PATIENCE, Children
from environment import Found

#: Shares of the time after which checks and throughput are stopped.
CHECKS, THROUGHPUT = 0.3, 0.5
#: The share of the time that is kept for packing, its fewest and its most seconds.
PACKING, LEAST_PACKING, MOST_PACKING = 0.08, 15.0, 40.0
#: The fewest seconds for which the study is begun.
LEAST = 10.0
#: The checks, in the order in which `checks.py` runs them.
CHECK_NAMES = ("bf16", "compile", "determinism", "cuda_graphs")
#: What a folder of work contains.
WORK = {
    *("checkpoints", "reports", "training", "cache", "kernels"),
    *("study.toml", "log.txt", pack.RESULTS),
}
HERE = Path(__file__).resolve().parent


class Clock:
    """The time of a call."""

    def __init__(self, seconds: float) -> None:
        self.total, self.begun = seconds, time.monotonic()

    @property
    def left(self) -> float:
        """Seconds until the call must end."""
        return self.begun + self.total - time.monotonic()

    def until(self, share: float) -> float:
        """Return the seconds until a share of the time has passed."""
        return max(0.0, self.left - (1 - share) * self.total)

    def for_study(self) -> float:
        """Return the seconds that the study may take, so that packing has its time."""
        kept = min(MOST_PACKING, max(LEAST_PACKING, PACKING * self.total))
        return self.left - kept - PATIENCE


@dataclass(frozen=True)
class Call:
    """What all parts of a call share."""

    flags: argparse.Namespace
    clock: Clock
    work: Path
    children: Children
    results: dict[str, Any]

    @property
    def dataset(self) -> str:
        """The data set of the study."""
        return "digits" if self.flags.small else "cifar100"

    @property
    def small(self) -> list[str]:
        """The flag of a small call."""
        return ["--small"] if self.flags.small else []

    @property
    def data_root(self) -> list[str]:
        """The flag of the folder of data sets."""
        root = self.flags.data_root
        return ["--data-root", str(root.absolute())] if root else []


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the flags."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="time of the whole call")
    parser.add_argument("--out", type=Path, default=Path("gpu-results"), help="folder of output")
    parser.add_argument("--state", type=Path, help="folder to go on with: one that an earlier call "
                        "kept here, or the output of one; default: start anew")  # fmt: skip
    parser.add_argument("--wheels", type=Path, help="folder of wheels of missing packages")
    parser.add_argument("--data-root", type=Path, help="folder of data sets, as for sdd-eval")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--jobs", type=int, default=1, help="networks of the study at a time")
    parser.add_argument(
        "--at-once", type=int, default=5, help="of the ten trainings that are timed"
    )
    parser.add_argument("--small", action="store_true", help="small networks and digits")
    parser.add_argument("--no-study", action="store_true", help="only checks and throughput")
    parser.add_argument("--mib", type=float, default=pack.TOTAL / 2**20, help="most MiB of output")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run everything; return 0, 1 if a check or a job failed, or 2 if nothing could run."""
    flags = parse(arguments)
    clock = Clock(60 * flags.minutes)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="sdd-eval-gpu-") as scratch:
        variables = environment.prepare(Path(scratch), flags.wheels)
        dataset = "digits" if flags.small else "cifar100"
        found = environment.look(dataset, str(flags.data_root or ""), variables)
        problems = environment.problems(found, flags.device, "" if flags.no_study else dataset)
        try:
            pack.clear(flags.out)
            work = _work(flags.state, Path(scratch))
        except ValueError as error:
            problems.append(str(error))
        if problems:
            print("\n".join(f"run.py: {line}" for line in problems), file=sys.stderr)
            return 2
        say(f"{found.gpu or 'a CPU'}, torch {found.torch}, {clock.left:.0f} s left")
        variables["TORCHINDUCTOR_CACHE_DIR"] = str(work / "kernels")
        variables["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # before any check starts cuBLAS
        children = Children(variables, work / "log.txt")
        call = Call(flags, clock, work, children, _earlier_results(work, found))
        try:
            _perform(call)
        except KeyboardInterrupt:
            say("interrupted; what is done is packed")
        finally:
            _write_output(call)
        return int(_failed(call.results))


def _work(state: Path | None, scratch: Path) -> Path:
    """Return the folder of work: that of the state, or a temporary one with what was packed."""
    if state is None or pack.is_output(state):
        work = scratch / "work"
        work.mkdir()
        if state is not None and not pack.unpack(state, work):
            say(f"{state} is incomplete; what it has is used")
        return work
    state.mkdir(parents=True, exist_ok=True)
    others = sorted(path.name for path in state.iterdir() if path.name not in WORK)
    if others:
        raise ValueError(f"{state} has other files, such as {others[0]}; name a new folder")
    return state.absolute()


def _earlier_results(work: Path, found: Found) -> dict[str, Any]:
    """Return the results of earlier calls; checks and speed only if the machine is the same."""
    results: dict[str, Any] = {"calls": 0, "complete_seeds": [], "sent": [], "left_out": {}}
    with contextlib.suppress(OSError, ValueError):
        results |= json.loads((work / pack.RESULTS).read_text())
    machine = {"gpu": found.gpu, "torch": found.torch}
    if results.get("machine") != machine:
        results |= {"machine": machine, "checks": [], "throughput": {}}
    results["calls"] += 1
    results.pop("study_exit_code", None)
    return results


def _perform(call: Call) -> None:
    with _corrupting(call):
        if not call.results["checks"]:
            _check(call)
        if "ten_trainings_at_once_seconds" not in call.results["throughput"]:
            _throughput(call)
    _write_results(call)  # what ends this process later leaves them
    if not call.flags.no_study:
        _study(call)


@contextlib.contextmanager
def _corrupting(call: Call) -> Iterator[None]:
    """Write the corrupted test images on the CPU meanwhile, and wait for them within limits."""
    if call.flags.no_study:
        yield
        return
    command = [*_sdd_eval("data", "corrupt", call.dataset), *call.data_root]
    with call.children.started(command) as process:
        yield
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(call.clock.until(THROUGHPUT))


def _check(call: Call) -> None:
    """Run the checks; one that ends its process has failed, and those after it are skipped."""
    command = [sys.executable, str(HERE / "checks.py"), call.flags.device]
    lines, code = _measured(call, command, [], call.clock.until(CHECKS))
    done = {line["name"] for line in lines}
    for turn, name in enumerate(name for name in CHECK_NAMES if name not in done):
        status = "skip" if code is None or turn else "fail"
        reason = "out of time" if code is None else f"the process ended with exit code {code}"
        lines.append({"name": name, "status": status, "numbers": {}, "reason": reason})
    call.results["checks"] = lines
    for line in lines:
        say(summary.check_text(line))


def _throughput(call: Call) -> None:
    command = [sys.executable, str(HERE / "throughput.py"), call.flags.device]
    jobs = [str(2 if call.flags.small else call.flags.at_once)]
    lines, code = _measured(call, command, jobs, call.clock.until(THROUGHPUT))
    for line in lines:
        call.results["throughput"] |= line
    if code:
        call.results["throughput"]["failed"] = f"exit code {code}, see log.txt"
    say(summary.throughput_text(call.results["throughput"]))


def _measured(
    call: Call, command: Sequence[str], options: Sequence[str], seconds: float
) -> tuple[list[dict[str, Any]], int | None]:
    """Run a script that appends lines of JSON to a file; return them and its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lines.json"
        code = call.children.run([*command, str(file), *options, *call.small], seconds)
        text = file.read_text() if file.is_file() else ""
    return [json.loads(line) for line in text.splitlines()], code


def _study(call: Call) -> None:
    """Run the study as far as the time allows, without seeds that earlier calls completed."""
    import study

    study.write_file(call.work, _options(call.results["checks"], call.flags.device))
    planned, _ = study.planned(call.work, _root(call), call.flags.device, call.flags.small)
    seeds = set(study.seeds_of(planned).values()) - set(call.results["complete_seeds"])
    seconds = call.clock.for_study()
    if not seeds or seconds < LEAST:
        say("the study is complete" if not seeds else "no time is left for the study")
        return
    options = ["--device", call.flags.device, "--jobs", str(call.flags.jobs), *call.small]
    options += [*call.data_root, *(["--threads", "1"] if call.flags.device == "cpu" else [])]
    arguments = study.batch_command(
        call.work, seconds=seconds, seeds=sorted(seeds), options=options
    )
    say(f"study for {seconds:.0f} s, seeds {', '.join(map(str, sorted(seeds)))}")
    code = call.children.run(_sdd_eval(*arguments), seconds + PATIENCE)
    call.results["study_exit_code"] = code
    ends = {0: "all done", 4: "stopped at its deadline", None: "stopped after its deadline"}
    say(f"study: {ends.get(code, f'exit code {code}, see log.txt')}")


def _options(checks: Sequence[Mapping[str, Any]], device: str) -> dict[str, Any]:
    """Return the fastest options of the recipe that passed their checks; none on a CPU."""
    passed = {line["name"] for line in checks if line["status"] == "pass" and device != "cpu"}
    precision = "bf16" if "bf16" in passed else "float32"
    return {
        "precision": precision,
        "channels_last": device != "cpu",
        "compile": "compile" in passed,
    }


def _write_output(call: Call) -> None:
    """Write the results, and the archive of what is done."""
    import study

    results, needed = call.results, list[str]()
    _write_results(call)
    study.keep_histories(call.work)
    if (call.work / study.FILE).is_file():
        try:
            needed = _state_of_study(call)
        except Exception as error:  # what is done must be packed
            say(f"what is left of the study is not known: {error}")
    groups = pack.groups_of(call.work, results["sent"], needed)
    total = int(call.flags.mib * 2**20)
    packed, results["left_out"] = pack.pack(call.work, groups, call.flags.out, total=total)
    results["sent"] = sorted({*results["sent"], *(n for n in packed if n.startswith("reports/"))})
    say(_write_results(call))


def _write_results(call: Call) -> str:
    """Write the results into the output and the state; return them as text."""
    call.results["study"] = "paper-core-small" if call.flags.small else "paper-core"
    call.results["seconds"] = call.clock.total - call.clock.left
    text = summary.results_text(call.results)
    pack.write_results(call.flags.out, call.results, text)
    shutil.copyfile(call.flags.out / pack.RESULTS, call.work / pack.RESULTS)
    return text


def _state_of_study(call: Call) -> list[str]:
    """Note how much of the study is done; return the checkpoints that the rest needs."""
    import study

    planned, jobs = study.planned(call.work, _root(call), call.flags.device, call.flags.small)
    complete = study.complete_seeds(planned, jobs) | set(call.results["complete_seeds"])
    call.results["complete_seeds"] = sorted(complete)
    call.results["jobs_done"] = sum(job.state == "done" for job in jobs)
    call.results["jobs"] = len(jobs)
    return study.needed_checkpoints(jobs, complete, planned)


def _failed(results: Mapping[str, Any]) -> bool:
    """Return whether a check or a job of the study failed."""
    wrong = any(line["status"] == "fail" for line in results["checks"])
    return wrong or results.get("study_exit_code") not in (None, 0, 4)


def _sdd_eval(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "sdd_eval", *arguments]


def _root(call: Call) -> Path:
    from sdd_eval.data.root import data_root

    return data_root(call.flags.data_root)


def say(text: str) -> None:
    """Print text at once."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
