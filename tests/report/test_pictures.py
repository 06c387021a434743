"""Pictures on the page: which rows there are, their texts, and how large they may be."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdd_eval.arrays import Arrays
from sdd_eval.cli import exit_code
from sdd_eval.evaluators.pictures import SIDE
from sdd_eval.metrics.corruption import NINETEEN
from sdd_eval.report.page.page import LEFT_OUT, NO_PICTURES
from sdd_eval.report.write import current_report, write_report

#: The most that all pictures of a page take, as they are in it.
MOST_BYTES = 1_500_000


def rows_of(page: str) -> list[tuple[str, list[str]]]:
    """Return the heading and the alternative texts of each row."""
    rows = page.split('<figure class="gallery">')[1:]
    headings = [re.sub("<[^>]+>", "", row.split("</h3>")[0]).strip() for row in rows]
    texts = [[html.unescape(alt) for alt in re.findall(r'alt="([^"]+)"', row)] for row in rows]
    return list(zip(headings, texts, strict=True))


@pytest.fixture
def study(synthetic: ModuleType, tmp_path: Path) -> Path:
    """A study of two networks with pictures of all kinds."""
    runs: list[Any] = []
    for net in synthetic.pair(seeds=1):
        runs += [
            synthetic.pictured(synthetic.accuracy_run(net), "mistakes", count=3),
            synthetic.pictured(
                synthetic.odin_run(net), "outliers", ("photo_patches", "uniform"), 2
            ),
            synthetic.pictured(synthetic.corruption_run(net), "corruption", ("clean", "fog")),
            synthetic.pictured(synthetic.fgsm_run(net), "attack", ("clean", "FGSM ε 0.2, pixel")),
            synthetic.pictured(synthetic.attack_run(net), "attack", ("clean", "PGD ε 8/255")),
        ]
    return Path(synthetic.write_study(tmp_path / "study", runs))


def test_each_kind_of_picture_has_a_row_with_texts_for_each_image(study: Path) -> None:
    page = write_report(study, figures=False).read_text()
    rows = rows_of(page)
    with_sdd = "CE + SD-Dropout λ 0.1"
    assert [heading for heading, _ in rows] == [
        "Most confident mistakes CE",
        f"Most confident mistakes {with_sdd}",
        "Out-of-distribution images that ODIN accepts CE",
        f"Out-of-distribution images that ODIN accepts {with_sdd}",
        "One test image under each corruption, severity 3 CE",
        "One test image under each attack CE",
    ]
    texts = [text for _, text in rows]
    assert texts[0] == [
        "Test image 7, cat: predicted <dog>, confidence 100.0 %",
        "Test image 8, cat: predicted frog, confidence 75.0 %",
        "Test image 9, cat: predicted class 3, confidence 50.0 %",
    ]
    assert texts[2][2] == "Image 7 of Uniform noise: predicted <dog>, confidence 100.0 %"
    assert texts[4][1] == "Test image 7, cat, Fog: predicted <dog>, confidence 100.0 %"
    names = [text.split(", ", 2)[2].split(":")[0] for text in texts[5]]
    assert names == ["Clean", "FGSM ε 0.2, pixel", "PGD ε 8/255"], "of all runs, each once"
    assert page.count('<span class="flag">✗</span>') == 2 * 3 + 2 + 3, "outliers are not wrong"
    assert '<a href="#pictures">' in page
    assert "<b>cat</b> <span>" in page
    assert "as &lt;dog&gt;, 100.0\u00a0%" in page


def test_pictures_are_the_stored_pixels(study: Path) -> None:
    page = write_report(study, figures=False).read_text()
    (first, *_) = re.findall(r"data:image/png;base64,([^\"]+)", page)
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(first))))
    expected = np.random.default_rng(len("digits-small_cnn-ce-seed0"))
    assert np.array_equal(image, expected.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)[0])


def test_grey_pictures_are_shown(synthetic: ModuleType, tmp_path: Path) -> None:
    run = synthetic.pictured(synthetic.accuracy_run(synthetic.network(0.0, 0)), "mistakes")
    grey = Arrays(
        dataclasses.replace(entry, values=entry.values[..., :1])
        if entry.name == "pictures"
        else entry
        for entry in run.arrays.entries
    )
    study = synthetic.write_study(tmp_path / "s", [dataclasses.replace(run, arrays=grey)])
    page = write_report(study, figures=False).read_text()
    (uri,) = re.findall(r"data:image/png;base64,([^\"]+)", page)
    assert Image.open(io.BytesIO(base64.b64decode(uri))).mode == "L"


def test_pictures_can_be_left_out(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["report", study.name, "--reports", str(study.parent)]
    assert exit_code([*flags, "--no-images"]) == 0
    page = Path(capsys.readouterr().out.strip())
    assert "data:image" not in page.read_text()
    assert LEFT_OUT in html.unescape(page.read_text())
    assert current_report(study) is None, "it lacks the pictures"
    assert current_report(study, images=False) == page
    assert exit_code(flags) == 0
    assert "data:image" in page.read_text()
    assert current_report(study) == page
    assert current_report(study, images=False) is None


def test_a_page_of_runs_without_pictures_says_why(synthetic: ModuleType, tmp_path: Path) -> None:
    page = write_report(synthetic.small_study(tmp_path / "study"), figures=False).read_text()
    assert html.unescape(page).count(NO_PICTURES) == 1
    assert 'id="pictures"' not in page
    assert "#pictures" not in page


def test_all_pictures_of_a_page_take_little_room(synthetic: ModuleType, tmp_path: Path) -> None:
    """Of the largest noise, which compresses worst, in as many rows as there can be."""
    nets = [synthetic.network(0.0, 0, method=name) for name in ("ce", "ls", "dml", "byot", "ddgsd")]
    sets = tuple(f"set_{index}" for index in range(8))
    attacks = tuple(f"attack {index}" for index in range(30))
    names = (*NINETEEN, *(f"own_{index}" for index in range(20)))
    runs = []
    for net in nets:
        runs += [
            synthetic.pictured(synthetic.accuracy_run(net), "mistakes", count=12, side=SIDE),
            synthetic.pictured(synthetic.odin_run(net), "outliers", sets, 6, side=SIDE),
            synthetic.pictured(synthetic.corruption_run(net), "corruption", names, side=SIDE),
            synthetic.pictured(synthetic.fgsm_run(net), "attack", attacks, side=SIDE),
        ]
    page = write_report(synthetic.write_study(tmp_path / "s", runs), figures=False).read_text()
    counts = [len(texts) for _, texts in rows_of(page)]
    assert counts == [6] * 4 + [6] * 4 + [20, 12]
    uris = re.findall(r'src="(data:[^"]+)', page)
    assert 20_000 * 10 < sum(map(len, uris)) < MOST_BYTES


def test_of_many_sets_each_is_shown_before_any_is_shown_twice(
    synthetic: ModuleType, tmp_path: Path
) -> None:
    net = synthetic.network(0.0, 0)
    run = synthetic.pictured(synthetic.odin_run(net), "outliers", tuple("abcde"), 6)
    page = write_report(synthetic.write_study(tmp_path / "s", [run]), figures=False).read_text()
    ((_, texts),) = rows_of(page)
    assert [text.split(":")[0].split()[-1] for text in texts] == [s for s in "ABCDE" for _ in "12"]
