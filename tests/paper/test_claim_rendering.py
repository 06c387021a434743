"""The verdicts as rows of the short table, as a page, as JSON and in LaTeX."""

from __future__ import annotations

import dataclasses
import json
import re

from claim_studies import BETTER, CE, CLAIMS, SDD, everyone, evidence_for, study

from sdd_eval.paper.claim_groups import group_rows, groups_markdown
from sdd_eval.paper.claim_rendering import (
    claim_rows,
    claims_latex,
    judgement_record,
    printed_text,
)
from sdd_eval.paper.claims import paper_claims
from sdd_eval.paper.evidence import collect_evidence
from sdd_eval.paper.verdicts import counts, decisive, judge
from sdd_eval.report.page.claims import write_claims


def test_claims_of_a_group_are_one_row_with_the_number_of_each_verdict():
    better = {**BETTER, "auroc": CE["auroc"]}
    metrics = ("fpr_at_95_tpr", "detection_error", "aupr_in", "aupr_out")
    base, other = ({**means, **dict.fromkeys(metrics, means["auroc"])} for means in (CE, better))
    results = study(({}, base, 3), (SDD, {**other, "aupr_in": 0.9, "aupr_out": 0.9}, 3))
    judged = judge(paper_claims(), collect_evidence(paper_claims(), *results))
    text = groups_markdown(decisive(judged))
    (row,) = (line for line in text.splitlines() if "by ODIN" in line)
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[0] == "Better detection of outliers by ODIN (5 claims)"
    assert cells[1].startswith("FPR at 95 % TPR: ")
    assert cells[3].startswith(
        "**2 shown against the paper's baseline only (AUPR in, AUPR out); 3 not shown** "
        "(not checked: "
        "against tuned weight decay (2 of 5), "
    )
    assert text.count("| More accurate |") == 1
    untested = text.splitlines()[-1]
    assert untested.startswith("Not tested here (`sdd-eval paper claims` names the command")
    assert "Better object detection" in untested
    assert "ODIN" not in untested


def test_a_claim_names_each_baseline_and_check_that_was_not_measured(tmp_path):
    better = {name: mean for name, mean in BETTER.items() if name not in ("pgd", "audit")}
    sides = [({}, CE, 5), (SDD, better, 5), ({"method": "ls"}, CE, 3)]
    judged = judge(paper_claims(), collect_evidence(paper_claims(), *study(*sides)))
    found = {one.claim.id: one for one in judged}["fgsm-cifar100"]
    assert found.verdict == "shown against the paper's baseline only"
    unchecked = (
        "not checked: under PGD and the audit, ε = 1/255, against tuned weight decay, "
        "R-Drop, confidence penalty, plain dropout"
    )
    assert judgement_record(found)["reason"] == unchecked
    (row,) = (line for line in groups_markdown([found]).splitlines() if "under FGSM" in line)
    assert row.endswith(f"| **shown against the paper's baseline only** ({unchecked}) |")
    rows = claim_rows(judged, decisive(judged))
    assert "(not checked: against tuned weight decay" in claims_latex(rows)
    more = (group_rows(decisive(judged)), counts(decisive(judged)), {}, [], [])
    assert unchecked in write_claims(tmp_path, rows, *more).read_text()


def test_a_group_says_how_many_of_its_claims_were_tested_and_the_seeds_that_would_decide():
    far, near = [0.3, 0.32, 0.34], [0.3, 0.33, 0.34]
    names = ("position-1", "position-2")
    judged = judge(paper_claims(), [evidence_for(name, far, near) for name in names])
    rows, _ = group_rows(decisive(judged))
    assert [row.name for row in rows] == ["Masks are best on the last feature (2 of 3 claims)"]
    beyond = evidence_for("position-3", far, [0.5, 0.51, 0.52])
    (mixed,) = group_rows(
        decisive(judge(paper_claims(), [evidence_for("position-1", far, near), beyond]))
    )[0]
    assert mixed.verdict == "1 shown (against stage 3); 1 not shown (against stage 1)"
    assert re.match(r"not shown: \d+ seeds a side detect the printed", mixed.reason)
    (one,) = group_rows(decisive(judge(paper_claims(), [evidence_for("accuracy", far, near)])))[0]
    assert one.verdict == "not shown"
    assert one.reason.endswith("seeds a side detect the printed difference with a power of 80 %")


def test_a_row_says_that_there_are_too_few_seeds():
    evidence = collect_evidence(paper_claims(), *study(({}, CE, 2), (SDD, BETTER, 2)))
    text = groups_markdown(decisive(judge(paper_claims(), evidence)))
    (row,) = (line for line in text.splitlines() if line.startswith("| More accurate |"))
    assert row.endswith("| **not shown** (2 of at least 3 seeds a side) |")


def test_printed_numbers_that_point_the_other_way_are_marked_and_constants_are_not_printed():
    printed = {name: printed_text(claim) for name, claim in CLAIMS.items()}
    assert printed["with-dml-cifar100"] == "78.9 → 78.8 % (the opposite)"
    assert printed["odin-aupr_in"] == "85.8 → 83.1 % (the opposite)"
    assert printed["accuracy"] == "74.8 → 77.0 %"
    assert printed["assumption-1-half"] == "65.3 %"
    opposite = {name for name, text in printed.items() if "opposite" in text}
    assert len(opposite) < len(printed) / 5


def test_numbers_of_a_small_study_say_so_in_the_short_table():
    small = dataclasses.replace(
        evidence_for("accuracy", [0.1, 0.11, 0.12], [0.5, 0.51, 0.52]), scale="small"
    )
    text = groups_markdown(decisive(judge(paper_claims(), [small])))
    assert "of a small study, which says nothing about the method" in text


def test_the_page_has_each_claim_once_with_its_verdicts_reasons_and_checks(tmp_path):
    sdd = {**BETTER, "ece_scaled": CE["ece_scaled"]}
    evidence = collect_evidence(paper_claims(), *study(*everyone(sdd, ls=BETTER)))
    judged = judge(paper_claims(), evidence)
    decided = decisive(judged)
    rows = claim_rows(judged, decided)
    more = (group_rows(decided), counts(decided), {}, ["a <note>"], ["A study"])
    page = write_claims(tmp_path, rows, *more).read_text()
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(CLAIMS) <= set(ids)
    assert "gone against label smoothing (" in page
    assert "gone after temperature scaling of each side (" in page
    assert page.count('<span class="badge none">explained by lower confidence</span>') == 1
    assert "1 explained by lower confidence" in page
    assert "a &lt;note&gt;" in page


def test_the_json_and_the_latex_have_every_tested_claim():
    evidence = collect_evidence(paper_claims(), *study(*everyone()))
    judged = judge(paper_claims(), evidence)
    content = json.loads(json.dumps([judgement_record(one) for one in judged], allow_nan=False))
    accuracy = next(record for record in content if record["id"] == "accuracy")
    assert accuracy["verdict"] == "shown"
    assert accuracy["low"] < accuracy["difference"] < accuracy["high"]
    assert accuracy["base_n"] == accuracy["other_n"] == 5
    latex = claims_latex(claim_rows(judged, decisive(judged)))
    assert latex.count(r"\\") > len(evidence)
    assert "74.8 $\\to$ 77.0" in latex
    assert latex.isascii()
