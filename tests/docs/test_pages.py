"""The documentation is complete: every public name has its place, and links lead to files."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from sdd_eval import plugins
from sdd_eval.cli import COMMANDS
from sdd_eval.studies.resolve import read_study

BLOCK = re.compile(r"^```.*?^```$", flags=re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")
#: Blocks that are not executed need hardware, downloads or other people's files.
MOST_EXEMPT = 16


@pytest.fixture(scope="module")
def generate(root):
    """The module that writes the reference pages."""
    spec = importlib.util.spec_from_file_location("generate", root / "docs/generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generated(generate, tmp_path_factory) -> Path:
    """A folder with the generated pages."""
    folder = tmp_path_factory.mktemp("pages") / "reference"
    generate.main(folder)
    return folder


@pytest.fixture(scope="module")
def texts(root, pages) -> dict[str, str]:
    """The hand-written pages by path."""
    return {name: (root / name).read_text(encoding="utf-8") for name in pages}


def named_in_code(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9_]+", " ".join(re.findall(r"`([^`\n]+)`", text))))


def test_the_readme_has_at_most_150_lines(texts):
    assert len(texts["README.md"].splitlines()) <= 150


def test_every_command_and_evaluator_is_executed_on_some_page(pages):
    run = {
        shlex.split(line)[1].replace("-", "_")
        for blocks in pages.values()
        for block in blocks
        if block.language == "sh" and block.exempt is None
        for line in block.commands()
        if line.startswith("sdd-eval ")
    }
    wanted = {*COMMANDS, *plugins.names("evaluators")} - {"quickstart"}  # it is `make demo`
    assert {name.replace("-", "_") for name in wanted} <= run


def test_few_blocks_are_not_executed_and_each_says_why(pages):
    exempt = [block for blocks in pages.values() for block in blocks if block.exempt]
    assert len(exempt) <= MOST_EXEMPT


def test_every_page_with_examples_is_executed_by_a_test(root, pages):
    tests = "".join(path.read_text() for path in (root / "tests/docs").glob("test_*.py"))
    runnable = {name for name, blocks in pages.items() if any(b.runnable for b in blocks)}
    assert {name for name in runnable if f'"{name}"' not in tests} == set()


def test_every_method_and_every_group_of_plugins_is_explained(texts):
    text = "\n".join(texts.values())
    rows = set(re.findall(r"^\| `(\w+)` \|", texts["docs/tutorial.md"], flags=re.MULTILINE))
    assert set(plugins.names("methods")) <= rows
    assert not [group for group in plugins.GROUPS if f"sdd_eval.{group}" not in text]


def test_every_metric_is_explained(texts, generated):
    table = (generated / "metrics.md").read_text().split("## Functions")[0]
    measured = set(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE))
    assert len(measured) > 40
    explained = named_in_code(texts["docs/explanation/numbers.md"])
    explained |= named_in_code(texts["docs/explanation/fgsm.md"])
    assert measured - explained == set()


def test_every_page_of_the_navigation_exists_and_every_page_is_in_it(root, texts, generate):
    navigation = (root / "mkdocs.yml").read_text().split("\nnav:\n")[1]
    listed = {f"docs/{page}" for page in re.findall(r"\S+\.md", navigation)}
    written = {name for name in texts if name.startswith("docs/")}
    assert listed == written | {f"docs/reference/{name}.md" for name in generate.PAGES}


def test_every_link_leads_to_a_file(root, texts, generate):
    created = {root / f"docs/reference/{name}.md" for name in generate.PAGES}
    broken = [
        (name, target)
        for name, text in texts.items()
        for target in LINK.findall(BLOCK.sub("", text))
        if not (path := (root / name).parent / target).resolve().exists()
        and path.resolve() not in created
    ]
    assert not broken


def test_the_table_of_layers_is_that_of_the_import_contract(root, texts):
    contract = (root / "pyproject.toml").read_text().split("\nlayers = [\n")[1].split("]")[0]
    layers = [re.findall(r"\w+", line) for line in contract.splitlines()]
    section = texts["docs/contributing.md"].split("\n## Layers\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert [re.findall(r"`(\w+)`", row) for row in rows] == layers


def test_generated_pages_describe_every_command_and_plugin(generate, generated):
    pages = {name: (generated / f"{name}.md").read_text() for name in generate.PAGES}
    for name in COMMANDS:
        assert f"\n## {name}\n" in pages["commands"]
        assert f"usage: sdd-eval {name}" in pages["commands"]
    for group in plugins.GROUPS:
        section = pages["plugins"].split(f"## sdd_eval.{group}\n")[1].split("\n## ")[0]
        summaries = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", section, flags=re.MULTILINE))
        assert tuple(summaries) == plugins.names(group)
        assert len(set(summaries.values())) == len(summaries), group


def test_former_names_are_listed_with_the_present_ones(generated):
    text = (generated / "former-names.md").read_text()
    assert "| `drop` | `drop_rate` |" in text
    assert "| `--drop` | `--drop-rate` |" in text
    assert "| `subject.kept` | `subject.stored` |" in text
    assert "| `protocol` | `protocol_id`, " in text


@pytest.mark.parametrize("small", [False, True])
def test_the_example_of_the_study_file_is_a_study(generated, tmp_path, small):
    page = (generated / "study-file.md").read_text(encoding="utf-8")
    example = tmp_path / "study.toml"
    example.write_text(re.search(r"```toml\n(.*?)```", page, re.DOTALL)[1], encoding="utf-8")
    study = read_study(example, small=small)
    assert len(study.trainings) == 2 * (1 if small else 3)
    assert study.detectors
    assert study.compare
    assert {evaluation.evaluator for evaluation in study.evaluations} == {"fgsm", "detection"}
    assert study.families["headline"] == ("accuracy", "calibration.ece")
