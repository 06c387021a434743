"""Execute the examples of a page: its commands, scaled down, and its Python, from top to bottom.

A block with a title is written to a file of that name. A block below `<!-- not run: REASON -->` is
not executed. Checkpoints on digits that a page uses are trained once for each test module.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import sdd_eval
from sdd_eval import plugins
from sdd_eval.cli import exit_code
from sdd_eval.studies.resolve import read_study

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(sdd_eval.__file__).parent.parent
BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<exempt>[^\n]+) -->\n)?"
    r"^```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$",
    flags=re.MULTILINE | re.DOTALL,
)
#: Recipes of the checkpoints that pages share.
DIGITS = (
    "train --dataset digits --arch small_cnn --standardisation digits --augmentation none "
    "--epochs 1"
)
#: What commands of the pages are replaced by, so that each takes a second or two.
SMALLER = {
    r"--epochs \d+(?!.*train-detector)": "--epochs 1",
    r"--warmup-epochs \d+": "",
    r"--audit\b": "--audit --steps 2 --restarts 1 --parameters n_queries=5",
    r"--dataset digit_scenes": "--dataset digit_scenes --min-size 32 --max-size 64 --channels 8 "
    "--regions 8",
    r"paper claims": "paper claims --arch resnet8 --batch-size 4 --steps 1",
    r"weights.toml --small": "weights.toml --small --limit 40",
    r"compare digits": "compare --no-figures digits",
    r"compare old new --fail-if \"accuracy": 'compare old new --no-figures --fail-if "accuracy',
    r"--weights (old|new)\.pt": r"--weights \1.pt --evaluators accuracy calibration",
    r"base - 0\.01": "base - 0.9",  # few images decide nothing finer
    r"base \+ 0\.02": "base + 0.9",
    r"data corrupt pets": "data corrupt pets --threads 1",
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    title: str | None
    exempt: str | None

    @property
    def runnable(self) -> bool:
        """Whether the block is executed, parsed or written to a file."""
        return self.exempt is None and self.language in ("python", "sh", "toml")

    def commands(self) -> list[str]:
        """Return the commands of a shell block, without comments."""
        joined = self.text.replace("\\\n", " ")
        lines = (line.split(" #")[0].strip() for line in joined.splitlines())
        return [line for line in lines if line]


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    return [
        Block(match["language"], match["text"], match["title"], match["exempt"])
        for match in BLOCK.finditer(page.read_text(encoding="utf-8"))
    ]


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the root of the repository; skip where the documentation is not installed."""
    if not (ROOT / "mkdocs.yml").exists():
        pytest.skip("the documentation is not part of the installed package")
    return ROOT


@pytest.fixture(scope="session")
def pages(root) -> dict[str, list[Block]]:
    """Return the blocks of README.md and of every hand-written page, by path."""
    files = [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
    generated = set(re.findall(r"^/(docs/.*\.md)$", (root / ".gitignore").read_text(), re.M))
    paths = {str(page.relative_to(root)): page for page in files}
    return {name: blocks_of(path) for name, path in paths.items() if name not in generated}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> Path:
    """Return a folder with the checkpoints that pages share, trained for one epoch."""
    folder = tmp_path_factory.mktemp("shared")
    for term in ("", " --sd-dropout 0.1"):
        assert exit_code([*(DIGITS + term).split(), "--checkpoints", str(folder)]) == 0
    return folder


@pytest.fixture
def execute(pages, checkpoints, only_svg, tmp_path, monkeypatch, capfd):
    """Return a function that executes the examples of a page and returns the commands it ran."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDD_EVAL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SDD_EVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(tmp_path)
    shutil.copytree(checkpoints, tmp_path / "checkpoints")
    before = set(sys.modules)

    def run(page: str) -> list[list[str]]:
        namespace = {"__name__": "__main__"}
        return [
            words for block in pages[page] for words in run_block(block, page, namespace, capfd)
        ]

    yield run
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).is_relative_to(tmp_path):
            del sys.modules[name]


def run_block(
    block: Block, page: str, namespace: dict[str, object], capfd: pytest.CaptureFixture[str]
) -> list[list[str]]:
    """Write, execute or parse a block; return the commands of sdd-eval that were run."""
    if block.title:
        Path(block.title).write_text(re.sub(r"\bepochs = \d+", "epochs = 1", block.text))
    elif block.exempt is None and block.language == "python":
        exec(compile(block.text, page, "exec"), namespace)
    elif block.exempt is None and block.language == "toml":
        check_tables(block.text)
    elif block.exempt is None and block.language == "sh":
        return [words for line in block.commands() if (words := command(line, page, capfd))]
    return []


def check_tables(text: str) -> None:
    """Resolve tables of a study file, together with the study file of the page if there is one."""
    files = [path for path in Path().glob("*.toml") if path.name != "pyproject.toml"]
    path = Path("extended.toml")
    path.write_text("\n".join([*(file.read_text() for file in files), text]))
    study = read_study(path)
    path.unlink()
    assert len(study.trainings) > 0


def command(line: str, page: str, capfd: pytest.CaptureFixture[str]) -> list[str]:
    """Run a command of a page, scaled down; return its words, none if it is not of sdd-eval."""
    words = shlex.split(line)
    if words[0] == "sdd-eval":
        return run_sdd_eval(line, page, capfd)
    if words[0] == "python":
        exec(compile(Path(words[1]).read_text(), words[1], "exec"), {"__name__": "__main__"})
    elif words[:2] == ["pip", "install"]:
        install(words[2:])
    elif words[0] == "pdflatex":
        compile_document(words[1])
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.M), line
    else:
        pytest.fail(f"{page}: no rule to run {line!r}")
    return []


def run_sdd_eval(line: str, page: str, capfd: pytest.CaptureFixture[str]) -> list[str]:
    """Run a command line of sdd-eval; it must exit with 0 and print something."""
    if "timm:" in line and importlib.util.find_spec("timm") is None:
        return []
    tracker = re.search(r"export (wandb|tensorboard|mlflow) ", line)
    if tracker and importlib.util.find_spec(tracker[1]) is None:
        return []
    if " detection " in line and importlib.util.find_spec("pycocotools") is None:
        return []
    for pattern, replacement in SMALLER.items():
        line = re.sub(pattern, replacement, line)
    words = shlex.split(line)[1:]
    if words[0].replace("-", "_") in plugins.names("evaluators") and "--limit" not in words:
        words += ["--limit", "40"]
    capfd.readouterr()
    try:
        code = exit_code(words)
    except SystemExit as ended:  # --help
        code = ended.code or 0
    output = capfd.readouterr()
    assert code == 0, f"{page}: sdd-eval {shlex.join(words)}: {output.err}"
    assert output.out, f"{page}: sdd-eval {shlex.join(words)} prints nothing"
    return words


def compile_document(name: str) -> None:
    """Compile a LaTeX document twice, for its references; nothing is undefined or too wide."""
    if shutil.which("pdflatex") is None:
        return
    for _ in range(2):
        words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", name]
        done = subprocess.run(words, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:]
    log = Path(name).with_suffix(".log").read_text(encoding="utf-8", errors="replace")
    assert re.findall(r".*(?:Overfull|undefined).*", log) == []


def install(arguments: list[str]) -> None:
    """Register the entry points of the page's package, as `pip install -e .` would."""
    project = Path("pyproject.toml")
    extras = re.fullmatch(r"(?:\.|sdd-eval)(?:\[([\w,]+)\])?", arguments[-1])
    assert extras, arguments
    own = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    known = own["optional-dependencies"]
    assert set((extras[1] or "").split(",")) - {""} <= set(known), arguments
    if "-e" in arguments:
        package = tomllib.loads(project.read_text())["project"]
        folder = Path(f"{package['name'].replace('-', '_')}-{package['version']}.dist-info")
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package['name']}\nVersion: {package['version']}\n"
        )
        (folder / "entry_points.txt").write_text("".join(entry_points(package)))


def entry_points(package: dict) -> Iterator[str]:
    """Yield the sections of entry_points.txt of a project."""
    for group, points in package["entry-points"].items():
        yield f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
