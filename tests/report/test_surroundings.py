"""What the page says of the machine and its arithmetic."""

from types import SimpleNamespace

from sdd_eval.report.tables.provenance import surroundings


def run(**provenance):
    return SimpleNamespace(run=SimpleNamespace(provenance=provenance))


def test_folding_and_tf32_are_told_and_every_value_where_runs_differ():
    told = dict(
        surroundings(
            [
                run(tf32=False, folding={"folded": 20, "batch_norms": 20}, device="cpu"),
                run(tf32=True, folding={"folded": 0, "batch_norms": 20}, device="cpu"),
                run(device="cpu"),  # of another version
            ]
        )
    )
    assert told["batch norms folded"] == "20 of 20, 0 of 20"
    assert told["device"] == "cpu"
    assert told["tf32"] == "no, yes, —"
