"""The results of all calls as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def check_text(line: Mapping[str, Any]) -> str:
    """Return a check as a line of text."""
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in line["numbers"].items())
    return f"check {line['name']}: " + "; ".join(
        filter(None, [line["status"], numbers, line["reason"]])
    )


def throughput_text(numbers: Mapping[str, Any]) -> str:
    """Return what was measured of the speed, a line each."""
    lines = []
    if "matrix_flops" in numbers:
        lines.append(f"bf16 matrix products: {numbers['matrix_flops'] / 1e12:.4g} TFLOP/s")
    if "images_per_second" in numbers:
        lines.append(
            f"training: {numbers['images_per_second']:,.0f} images/s, "
            f"{100 * numbers['share_of_matrix_rate']:.2g} % of that rate; "
            f"200 epochs of 50,000 images take {numbers['seconds_of_200_epochs']:,.0f} s"
        )
    if "ten_trainings_seconds" in numbers:
        lines.append(f"ten small trainings: {numbers['ten_trainings_seconds']:.1f} s")
    if "ten_trainings_at_once_seconds" in numbers:
        seconds = numbers["ten_trainings_at_once_seconds"]
        lines.append(f"… {numbers['jobs']} at a time: {seconds:.1f} s")
    if "failed" in numbers:
        lines.append(f"throughput failed: {numbers['failed']}")
    return "\n".join(lines)


def results_text(results: Mapping[str, Any]) -> str:
    """Return all results as text."""
    machine = results["machine"]
    lines = [f"call {results['calls']} on {machine['gpu'] or 'a CPU'}, torch {machine['torch']}"]
    lines += [check_text(line) for line in results["checks"]]
    lines += [throughput_text(results["throughput"])]
    if "jobs" in results:
        seeds = ", ".join(map(str, results["complete_seeds"])) or "none"
        lines.append(
            f"study: {results['jobs_done']} of {results['jobs']} jobs; complete seeds: {seeds}"
        )
    lines += [f"left out: {n} ({size / 1e6:.1f} MB)" for n, size in results["left_out"].items()]
    return "\n".join(filter(None, lines))
