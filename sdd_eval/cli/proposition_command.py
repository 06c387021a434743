"""`sdd-eval proposition`: the paper's Lemma 1 and Proposition 1, checked in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sdd_eval.cli.flags import Threads, limit, parse

#: How far autograd may be from Lemma 1's closed form, in float64.
TOLERANCE = 1e-10


@dataclass(frozen=True)
class Flags:
    """Where the page goes."""

    reports: Path = Path("reports")
    """Where studies lie; the page is `proposition/index.html` there."""
    work: Threads = field(default_factory=Threads)


def run(arguments: Sequence[str]) -> int:
    """Check, write the page, tell what held; 1 if something did not."""
    title = "Lemma 1 and Proposition 1 of the paper's section 3.3, checked in numbers."
    flags = parse(Flags, arguments, "proposition", title)
    from sdd_eval.paper.proposition import check_proposition
    from sdd_eval.report.page.proposition import write_proposition
    from sdd_eval.training.analysis.kl_gradients import check_lemma_1

    limit(flags.work)
    checked, lemma = check_proposition(), check_lemma_1()
    page = write_proposition(flags.reports / "proposition", checked, lemma)
    exact = max(lemma.values()) < TOLERANCE
    print(f"Lemma 1 {'holds' if exact else 'FAILS'}: relative error {max(lemma.values()):.1e}")
    print(
        f"Proposition 1 {'holds' if checked.holds else 'FAILS'} on {checked.k.size:,} points: "
        f"least k(r)/r² {checked.k.min():.3g}"
    )
    print(page)
    return 0 if exact and checked.holds else 1
