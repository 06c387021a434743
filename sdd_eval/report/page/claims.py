"""Write the page of `sdd-eval paper claims`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from sdd_eval.paper.claim_details import TITLES, Row, detail_cells, won_and_lost
from sdd_eval.paper.claim_groups import GroupRow
from sdd_eval.paper.claim_rendering import KINDS, ClaimRow
from sdd_eval.paper.verdicts import Verdict
from sdd_eval.report.page.page import template
from sdd_eval.store import write_text
from sdd_eval.version import __version__

#: A table of details with more rows than this is folded.
MOST_ROWS = 20


def write_claims(
    folder: Path,
    rows: Sequence[ClaimRow],
    groups: tuple[Sequence[GroupRow], Sequence[str]],
    counts: Mapping[Verdict, int],
    details: Mapping[str, Sequence[Row]],
    notes: Sequence[str],
    titles: Sequence[str],
) -> Path:
    """Write `claims.html` into a folder; return its path.

    `rows` are the judged claims, `groups` those of `group_rows`, `counts` how many have each
    verdict, `details` the rows of further tables by name, `notes` the caveats and `titles` the
    titles of the studies. Raise InputError if the folder cannot be written.
    """
    sections = itertools.groupby(rows, key=lambda row: row.claim.section)
    html = template("claims.html.jinja").render(
        version=__version__,
        groups=groups[0],
        untested=groups[1],
        sections=[_section(name, list(members), details) for name, members in sections],
        counts=[(verdict, KINDS[verdict], count) for verdict, count in counts.items()],
        notes=notes,
        titles=titles,
        tested=sum(1 for row in rows if row.measured),
        claims=len(rows),
    )
    write_text(folder / "claims.html", html)
    return folder / "claims.html"


def _section(
    name: str, rows: Sequence[ClaimRow], details: Mapping[str, Sequence[Row]]
) -> dict[str, object]:
    """Return a section's tested claims, its other claims, and its details."""
    tables = [row.claim.details for row in rows if row.claim.details in details]
    return {
        "title": name,
        "id": "section-" + name.lower().replace(" ", "-"),
        "tested": [row for row in rows if row.measured],
        "untested": [row for row in rows if not row.measured],
        "details": [_detail(table, details[table]) for table in tables],
    }


def _detail(name: str, rows: Sequence[Row]) -> dict[str, object]:
    """Return a table of details as text."""
    cells = [detail_cells(name, row) for row in rows]
    return {
        "name": name,
        "title": TITLES[name],
        "columns": list(cells[0]),
        "rows": [list(row.values()) for row in cells],
        "folded": len(cells) > MOST_ROWS,
        "notes": list(won_and_lost(rows)) if name == "corruptions" else [],
    }
