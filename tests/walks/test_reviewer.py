"""A reviewer gets a report in an archive, without checkpoints and data, and verifies it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TRAIN = (
    "train --dataset digits --arch small_cnn --epochs 2 --standardisation digits "
    "--augmentation none --quiet --name"
)


@pytest.fixture
def received(here, command, monkeypatch) -> Path:
    """Write a report of two networks, pack it, and unpack it in an otherwise empty folder."""
    for name in ("old", "new"):
        assert command(f"{TRAIN} {name} --seed {len(name)}").code == 0
    assert command("evaluate old new --evaluators accuracy calibration").code == 0
    archive = shutil.make_archive("mail", "zip", "reports", "default")
    inbox = here / "inbox"
    inbox.mkdir()
    shutil.unpack_archive(archive, inbox)
    for folder in ("checkpoints", "reports", "cache"):
        shutil.rmtree(here / folder, ignore_errors=True)
    monkeypatch.chdir(inbox)
    monkeypatch.setenv("SDD_EVAL_DATA", str(inbox / "data"))
    return inbox


def lines_of(output: str, state: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith(state)]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.usefixtures("only_svg")
def test_a_report_holds_where_it_was_sent_and_an_edited_number_is_named(received, command):
    done = command("verify default --all")
    assert done.code == 0, done.out
    assert not lines_of(done.out, "differs")
    holds = "\n".join(lines_of(done.out, "holds"))
    for part in ("runs/old/accuracy-", "results.csv", "comparisons/old--new.json", "index.html"):
        assert part in holds
    unchecked = "\n".join(lines_of(done.out, "not checked"))
    assert "weights of old" in unchecked

    (run,) = Path("default/runs/new").glob("accuracy-*.json")
    content = json.loads(run.read_text())
    number = next(m for m in content["measurements"] if m["metric"] == "accuracy")
    before, number["value"] = number["value"], number["value"] + 0.01
    shutil.copy(run, "run.json")
    run.write_text(json.dumps(content))
    done = command("verify default")
    assert done.code == 1
    (line,) = (one for one in lines_of(done.out, "differs") if "runs/" in one)
    assert run.name in line
    assert f"value of accuracy is {number['value']}, the arrays give {before}" in line
    shutil.copy("run.json", run)

    shutil.copy("default/index.html", "page.html")
    shown = f"{100 * before:.1f}"
    edit(Path("default/index.html"), shown, f"{100 * before + 1:.1f}")
    done = command("verify default")
    assert done.code == 1
    (line,) = lines_of(done.out, "differs")
    assert "index.html" in line
    assert shown in line
    shutil.copy("page.html", "default/index.html")
    assert command("verify default").code == 0
