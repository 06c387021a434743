"""The example reports are complete, small, and contain no local path."""

from __future__ import annotations

import importlib.util
import re
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas
import pytest

EXAMPLES = Path(__file__).parents[2] / "reports/examples"
FOLDERS = sorted(each.parent for each in EXAMPLES.glob("*/index.html"))
#: An archive of the sources has the tests without the examples.
needs_examples = pytest.mark.skipif(not FOLDERS, reason="the examples are in the repository only")


@pytest.fixture(scope="module")
def make_example() -> ModuleType:
    """Return the module that writes the examples."""
    spec = importlib.util.spec_from_file_location("make_example", EXAMPLES / "make_example.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@needs_examples
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda each: each.name)
def test_committed_examples_obey_the_limits_of_the_script(folder: Path, make_example: Any) -> None:
    page = (folder / "index.html").read_bytes()
    make_example.checked("index.html", page, make_example.MOST_PAGE)
    names = [each for name in make_example.TABLES for each in (name, f"{name}.xz")]
    tables = [name for name in names if (folder / name).exists()]
    assert {"results", "summary"} <= {name.partition(".")[0] for name in tables}
    for path in (each for each in folder.iterdir() if each.name != "index.html"):
        text = path.suffix != ".xz"
        make_example.checked(path.name, path.read_bytes(), make_example.MOST_TABLE, text=text)
    for archive in folder.glob("*.tar.xz"):
        with tarfile.open(archive) as opened:
            for member in opened:
                content = opened.extractfile(member).read()  # type: ignore[union-attr]
                make_example.checked(member.name, content, make_example.MOST_TABLE)
    assert sum(path.stat().st_size for path in folder.iterdir()) < make_example.MOST
    links = set(re.findall(r'<a href="?([^#"\s>][^"\s>]*)', page.decode()))
    assert links == set(tables)
    (runs,) = folder.glob("runs.csv*")
    free = {*pandas.read_csv(runs)["dataset"]} <= make_example.FREE
    assert free or b"data:image/" not in page
    selected = re.search(r'"(figure h\d)"', make_example.SHORTEN)
    assert selected
    tag = selected[1].split()[1]
    assert f'<{tag} id="reliability' in page.decode(), "the picture is of this figure"
    picture = EXAMPLES / f"{folder.name}.png"
    assert picture.stat().st_size < make_example.MOST_PICTURE
    readme = (EXAMPLES.parents[1] / "README.md").read_text(encoding="utf-8")
    pages = [f"{folder.name}/{each.name}" for each in folder.glob("*.html")]
    for path in (picture.name, *pages):
        assert f"(reports/examples/{path})" in readme


@needs_examples
@pytest.mark.usefixtures("only_svg")
def test_links_to_files_that_are_not_copied_are_removed(
    tmp_path: Path, synthetic: ModuleType, make_example: Any
) -> None:
    from sdd_eval.cli import exit_code
    from sdd_eval.report.write import write_report

    makers = (synthetic.accuracy_run, synthetic.calibration_run, synthetic.fgsm_run)
    runs = [make(net) for net in synthetic.pair(seeds=1) for make in makers]
    study = synthetic.write_study(tmp_path / "study", runs)
    names = dict.fromkeys(run.checkpoint for run in runs)
    flags = ["--study", "study", "--reports", str(tmp_path), "--no-figures"]
    assert exit_code(["compare", *names, *flags]) == 0
    page = write_report(study).read_text(encoding="utf-8")
    assert 'href="figures/' in page
    assert 'href="comparisons/' in page
    short = make_example.without_links(page, study)
    assert not re.search(r'href="?(figures|tables|comparisons)/', short)
    assert short.count("<figure") == page.count("<figure")
    with pytest.raises(SystemExit, match="elsewhere"):
        make_example.without_links('<a href="elsewhere.pdf">', study)


@needs_examples
@pytest.mark.parametrize("path", ["/home/somebody/checkpoints", "/opt/x", r"C:\Users\x"])
def test_a_page_with_a_local_path_is_refused(path: str, make_example: Any) -> None:
    with pytest.raises(SystemExit, match="tells of a machine"):
        make_example.checked("index.html", f"<td>{path}</td>".encode(), 1000)


@needs_examples
def test_a_page_that_is_too_large_is_refused(make_example: Any) -> None:
    with pytest.raises(SystemExit, match="at most 2"):
        make_example.checked("index.html", b"abc", 2)
