"""The model card: metadata that the Hub's own library reads, findings, figures."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdd_eval.cli import exit_code
from sdd_eval.errors import InputError
from sdd_eval.export import CheckpointNumbers, write_model_card
from sdd_eval.export.yaml import to_yaml
from sdd_eval.figures.selection import where
from sdd_eval.report.drawing import draw

NAME = "digits-small_cnn-ce-seed0"

# libraries that the Hub's library imports may warn
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(autouse=True)
def one_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw the reliability diagram alone, as PNG."""
    monkeypatch.setattr(draw, "FORMATS", ("png",))
    monkeypatch.setattr("sdd_eval.plugins.names", lambda _: ("reliability",))


@pytest.fixture
def card(project: Path) -> Path:
    assert exit_code(["export", "model-card", NAME, "--license", "apache-2.0"]) == 0
    return project / "model-cards" / NAME / "README.md"


def test_the_library_of_the_hub_reads_the_results_from_the_metadata(
    card: Path, source: CheckpointNumbers
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    data = hub.ModelCard.load(card).data
    assert (data.license, data.library_name) == ("apache-2.0", "sdd_eval")
    assert data.pipeline_tag == "image-classification"
    assert data.model_name == NAME
    results = {(result.metric_type, result.metric_name): result for result in data.eval_results}
    accuracy = results["accuracy", "Accuracy"]
    assert (accuracy.task_type, accuracy.dataset_type) == ("image-classification", "digits")
    assert accuracy.metric_value == 0.8
    ends = {"images": 360, "low": 0.755, "high": 0.838, "level": 0.95}
    assert accuracy.metric_args == ends
    (row,) = where(
        source.results, evaluator="calibration", metric="ece", temperature=None
    ).itertuples()
    ece = results["ece", "ECE"]
    assert ece.metric_value == row.value
    assert ece.metric_args == {"bins": 10, "images": 360}
    again = hub.ModelCard(str(hub.ModelCard.load(card))).data.eval_results
    assert again == data.eval_results


def test_the_card_has_the_findings_of_the_report_and_figures_that_exist(card: Path) -> None:
    text = card.read_text()
    assert "**Accuracy:** 80.0 % (75.5 to 83.8). Lowest of 10 classes: class 0, 0.0 %" in text
    assert "**Out-of-distribution:** AUROC " in text
    figures = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert figures == ["figures/reliability.png"]
    assert (card.parent / figures[0]).read_bytes().startswith(b"\x89PNG")
    assert "| Digits | Accuracy | 80.0 % | 75.5 to 83.8 | 360 | largest logit" in text


def test_a_card_is_replaced_and_a_file_of_somebody_else_is_not(
    card: Path, source: CheckpointNumbers
) -> None:
    before = card.read_text()
    write_model_card(source, card.parent, license_name="apache-2.0")
    assert card.read_text() == before
    card.write_text("# My network\n")
    with pytest.raises(InputError, match="not a card of sdd-eval"):
        write_model_card(source, card.parent)
    assert card.read_text() == "# My network\n"


def test_only_the_named_checkpoint_of_a_study_is_described(
    synthetic: ModuleType, project: Path
) -> None:
    nets = synthetic.pair(seeds=1)
    synthetic.write_study(project / "reports/two", [synthetic.accuracy_run(net) for net in nets])
    assert exit_code(["export", "model-card", nets[1].checkpoint, "--study", "two"]) == 0
    text = (project / "model-cards" / nets[1].checkpoint / "README.md").read_text()
    assert f"# {nets[1].checkpoint}".replace("_", "\\_") in text
    assert nets[0].checkpoint not in text.replace(nets[1].checkpoint, "")


def test_a_note_on_all_numbers_is_in_the_card_once(synthetic: ModuleType, project: Path) -> None:
    net = synthetic.network(0.0, 0)
    runs = [synthetic.accuracy_run(net, limit=64, n=64), synthetic.corruption_run(net)]
    runs = [dataclasses.replace(run, limit=64, n=64) for run in runs]
    synthetic.write_study(project / "reports/subset", runs)
    assert exit_code(["export", "model-card", net.checkpoint, "--study", "subset"]) == 0
    text = (project / "model-cards" / net.checkpoint / "README.md").read_text()
    assert text.count("**Accuracy:**") == text.count("**Corruption:**") == 1
    assert text.count("ubset: 64 images") == 1


SCALARS = st.one_of(
    st.booleans(),
    st.none(),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(min_codepoint=32, max_codepoint=0xD7FF, exclude_categories=["Cc"])),
)
KEYS = st.from_regex(r"\Ak[a-z_]{0,5}\Z")
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.dictionaries(KEYS, inner, min_size=1, max_size=3),
        st.lists(
            st.one_of(SCALARS, st.dictionaries(KEYS, inner, min_size=1, max_size=3)),
            min_size=1,
            max_size=3,
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=3))
def test_yaml_of_metadata_is_read_back_as_it_was(data: dict) -> None:
    yaml = pytest.importorskip("yaml")
    assert yaml.safe_load(to_yaml(data)) == data
