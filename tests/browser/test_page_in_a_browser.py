"""The report in a browser: reading, sorting, filtering, tooltips, keyboard, print."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sdd_eval.report.write import write_report

#: Drawing the report and starting Chromium take long.
pytestmark = pytest.mark.slow
SCREENS = {"phone": {"width": 390, "height": 844}, "desk": {"width": 1280, "height": 900}}


def column(page: Any, index: int) -> list[str]:
    """The values of a column of the headline table, from top to bottom."""
    listed: list[str] = page.eval_on_selector_all(
        "#headline-table tbody tr",
        f"rows => rows.filter(r => !r.hidden).map(r => r.children[{index}].dataset.value)",
    )
    return listed


def test_the_page_makes_no_request_and_logs_no_error(opened: Any, report: Path) -> None:
    opened.page.wait_for_load_state("networkidle")
    opened.page.locator("summary").first.click()
    assert opened.requests == [report.as_uri()]
    assert opened.messages == []


def test_the_content_security_policy_blocks_other_scripts(opened: Any) -> None:
    opened.page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.bad = 1';"
        " document.body.append(s); }"
    )
    assert opened.page.evaluate("() => window.bad") is None
    assert any("Content Security Policy" in text for text in opened.messages)


def test_a_click_on_a_title_sorts_numerically_with_missing_values_last(board: Any) -> None:
    page = board.page
    title = page.get_by_role("button", name=re.compile("^ECE.[↑↓]"))
    head = page.locator("th", has=title)
    index = page.eval_on_selector_all(
        "#headline-table thead th", "heads => heads.map(h => h.innerText)"
    )
    position = next(i for i, text in enumerate(index) if re.match("ECE.[↑↓]", text))
    for direction, sign in (("ascending", 1), ("descending", -1)):
        title.click()
        assert head.get_attribute("aria-sort") == direction
        values = column(page, position)
        known = [sign * float(value) for value in values if value]
        assert known == sorted(known)
        assert len(known) == 4
        assert values[-1] == ""


def test_text_columns_sort_alphabetically(board: Any) -> None:
    board.page.get_by_role("button", name="method").click()
    assert column(board.page, 0) == ["BYOT", "CE", "CS-KD", "DML", "LS"]


def test_the_filter_keeps_rows_with_all_its_words(board: Any) -> None:
    board.page.get_by_role("searchbox").fill("kd cs")
    assert column(board.page, 0) == ["CS-KD"]
    assert board.page.locator("#headline-count").inner_text() == "1 of 5 rows"
    board.page.get_by_role("searchbox").fill("")
    assert len(column(board.page, 0)) == 5


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1400, 900), (390, 844)])
@pytest.mark.parametrize("which", ["report", "leaderboard", "single"])
def test_the_first_screen_shows_what_was_found(
    browser: Any, request: pytest.FixtureRequest, which: str, size: tuple[int, int], scheme: str
) -> None:
    """Verdicts or cards begin within the first 500 pixels and the screen shows several of them."""
    width, height = size
    viewport = {"width": width, "height": height}
    context = browser.new_context(viewport=viewport, color_scheme=scheme)
    page = context.new_page()
    page.goto(request.getfixturevalue(which).as_uri())
    rows = ".card" if which == "single" else ".verdicts tbody tr, #headline-table tbody tr"
    boxes = [row.bounding_box() for row in page.locator(rows).all()]
    wide = page.evaluate("() => document.documentElement.scrollWidth")
    context.close()
    assert boxes[0]["y"] < 500
    assert sum(box["y"] + box["height"] < height for box in boxes) >= 4
    assert wide == width


#: The text that is read: paragraphs and items outside of tables, figures, details and the numbers
#: of cards.
READ = (
    "[...document.querySelectorAll('p:not(.figure), li')]"
    ".filter(e => !e.closest('table, figure, details'))"
)


@pytest.mark.parametrize("which", ["report", "leaderboard", "single"])
def test_no_sentence_appears_twice_and_all_prose_fits_one_screen(
    browser: Any, request: pytest.FixtureRequest, which: str
) -> None:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    page.goto(request.getfixturevalue(which).as_uri())
    texts = page.evaluate(f"() => {READ}.map(e => e.innerText)")
    heights = page.evaluate(f"() => {READ}.map(e => e.getBoundingClientRect().height)")
    context.close()
    sentences = [s.strip() for text in texts for s in re.split(r"(?<=[.!?])\s+", text)]
    long = [sentence for sentence in sentences if len(sentence.split()) > 4]
    assert len(long) > 5
    assert sorted(long) == sorted(set(long))
    assert 100 < sum(heights) < 900


@pytest.mark.parametrize(("name", "word"), [("CSV", "Accuracy mean"), ("LaTeX", r"\toprule")])
def test_the_table_can_be_copied(opened: Any, name: str, word: str) -> None:
    opened.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened.page.get_by_text("Copy this table as CSV or LaTeX").click()
    opened.page.get_by_role("button", name=f"Copy as {name}").click()
    opened.page.get_by_text("Copied.").wait_for()
    assert word in opened.page.evaluate("() => navigator.clipboard.readText()")


def test_a_value_is_shown_on_hover(opened: Any) -> None:
    page = opened.page
    box = page.locator("figure:has(#corruption_heatmap) .double g.values path").nth(7)
    box.scroll_into_view_if_needed()
    box.hover()
    tip = page.locator("#tip").inner_text()
    assert re.fullmatch(r"CE, Shot noise, Severity 3: \d\d\.\d %", tip)
    page.mouse.move(1, 1)
    assert page.locator("#tip").is_hidden()


def test_the_box_of_a_value_covers_its_mark(opened: Any) -> None:
    """The first cell of the heat map is hit in its middle, where its number is written."""
    page = opened.page
    first = page.locator("figure:has(#corruption_heatmap) .double g.values path").first
    cell = page.locator("figure:has(#corruption_heatmap) .double g[aria-hidden] path").first
    assert first.count() == cell.count() == 1
    values, figure = first.bounding_box(), page.locator(".double svg").first.bounding_box()
    assert values["width"] > 20
    assert values["x"] > figure["x"]


def drawn(report: Path) -> int:
    """Return the number of figures of the page; forest plots are next to it, in its tables."""
    names = [path.stem for path in report.parent.glob("figures/*.svg")]
    return len([n for n in names if not n.endswith("-single") and not n.startswith("forest")])


def test_every_figure_is_one_tab_stop_and_arrow_keys_move_between_values(
    opened: Any, report: Path
) -> None:
    page = opened.page
    figures = page.locator("figure").count()
    assert page.locator('.double g.values [tabindex="0"]').count() == figures
    assert figures == drawn(report) > 10
    group = page.locator("figure:has(#fgsm_curve) .double g.values path")
    group.first.focus()
    words = [page.locator("#tip").inner_text()]
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "End", "Home"):
        page.keyboard.press(key)
        words.append(page.locator("#tip").inner_text())
    assert words[0] == words[5] != words[1]
    assert words[1] == words[3] != words[2]
    assert words[0].startswith("Authors' implementation, CE, ε 0")
    assert words[4].startswith("Pixel space")
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()


def test_every_control_is_reachable_by_keyboard(opened: Any) -> None:
    page = opened.page
    page.locator("summary", has_text="Copy this table").click()
    page.evaluate("() => document.activeElement.blur()")
    wanted = page.evaluate(
        "() => { const all = [...document.querySelectorAll('a[href], button, input, summary, "
        'pre, .scroll, .double g.values [tabindex="0"]\')];'
        " const seen = all.filter(e => e.checkVisibility()); seen.forEach((e, i) => {"
        " e.dataset.stop = i; }); return seen.length; }"
    )
    page.evaluate(
        "() => { window.reached = new Set(); addEventListener('focusin', e => {"
        " if (e.target.dataset.stop) reached.add(Number(e.target.dataset.stop)); }); }"
    )
    for _ in range(2 * wanted):
        page.keyboard.press("Tab")
    reached = set(page.evaluate("() => [...reached]"))
    assert set(range(wanted)) == reached
    assert wanted > 60


@pytest.mark.parametrize(("screen", "scheme"), [("phone", "dark"), ("desk", "light")])
def test_axe_finds_no_accessibility_violations(
    browser: Any, report: Path, screen: str, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    context = browser.new_context(
        viewport=SCREENS[screen], color_scheme=scheme, bypass_csp=True, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(report.as_uri())
    page.evaluate("() => document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert page.locator("table.compared").count() >= 3, "comparisons are looked at, too"
    violations = axe.Axe().run(page).response["violations"]
    context.close()
    assert not [(violation["id"], violation["nodes"][0]["html"][:200]) for violation in violations]


def test_a_very_long_name_does_not_widen_the_tables(
    browser: Any, synthetic: ModuleType, tmp_path: Path
) -> None:
    long = dataclasses.replace(synthetic.network(0.0, 0, method=300 * "m"), name="long")
    data = {300 * "d": {"origin": "partial: 5 of 6", "images": 5}}
    runs = [
        synthetic.accuracy_run(synthetic.network(0.0, 0)),
        synthetic.accuracy_run(long, data=data),
    ]
    study = synthetic.write_study(tmp_path / "study", runs)
    context = browser.new_context(viewport=SCREENS["desk"])
    page = context.new_page()
    page.goto(write_report(study).as_uri())
    wide = page.eval_on_selector_all("table", "all => all.map(e => e.scrollWidth)")
    outside = page.eval_on_selector_all(
        ".verdicts td > small",
        "all => all.filter(e => e.scrollWidth > e.parentNode.clientWidth).length",
    )
    context.close()
    assert max(wide) < 1.5 * SCREENS["desk"]["width"]
    assert outside == 0


@pytest.mark.parametrize(("screen", "scheme"), [("phone", "dark"), ("desk", "light")])
def test_the_page_fits_the_screen(
    browser: Any, report: Path, tmp_path: Path, screen: str, scheme: str
) -> None:
    context = browser.new_context(viewport=SCREENS[screen], color_scheme=scheme)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.evaluate("() => document.documentElement.scrollWidth") == SCREENS[screen]["width"]
    shown, hidden = ("single", "double") if screen == "phone" else ("double", "single")
    assert page.locator(f".drawing.{shown} svg").first.is_visible()
    assert page.locator(f".drawing.{hidden} svg").first.is_hidden()
    width = page.locator(f".drawing.{shown} svg").first.bounding_box()["width"]
    assert width > 0.8 * min(SCREENS[screen]["width"], 795)
    paper = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(18, 19, 20)") == (scheme == "dark")
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert (tmp_path / "page.png").stat().st_size > 100_000
    context.close()


def test_values_on_a_phone_have_the_texts_of_the_wide_drawing(browser: Any, report: Path) -> None:
    context = browser.new_context(viewport=SCREENS["phone"], has_touch=True)
    page = context.new_page()
    page.goto(report.as_uri())
    page.get_by_text("The same numbers in 1 other figure: Accuracy under corruption").tap()
    box = page.locator("figure:has(#corruption_bars) .single g.values path").first
    box.scroll_into_view_if_needed()
    box.tap()
    assert page.locator("#tip").inner_text().startswith("CE, Gaussian noise: ")
    assert not page.locator('g.values path:not([aria-label]), g.values path[aria-label=""]').count()
    context.close()


def test_a_link_to_a_folded_figure_opens_it(browser: Any, report: Path) -> None:
    context = browser.new_context(viewport=SCREENS["desk"])
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator("#confidence_lines").is_hidden()
    page.goto(f"{report.as_uri()}#confidence_lines")
    page.locator("#confidence_lines").wait_for(state="visible")
    context.close()


def test_the_page_is_readable_without_scripts(browser: Any, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator(".verdicts tbody tr").count() > 7
    assert page.locator(".tools").is_hidden()
    first = page.locator("figure:has(#corruption_heatmap) .double g.values title").first
    assert "Gaussian noise" in str(first.text_content())
    context.close()


def test_print_shows_all_figures_on_whole_pages(opened: Any, report: Path, tmp_path: Path) -> None:
    page = opened.page
    page.emulate_media(media="print")
    assert page.locator(".drawing.double svg").count() == drawn(report)
    high = page.eval_on_selector_all(
        ".drawing.double svg", "all => Math.max(...all.map(e => e.getBoundingClientRect().height))"
    )
    assert high < 269 / 25.4 * 96, "a figure fits on a page of A4 within its margins"
    assert page.locator(".drawing.single svg").first.is_hidden()
    assert page.locator("button.copy").first.is_hidden()
    breaks = page.eval_on_selector_all(
        "figure", "all => all.map(e => getComputedStyle(e).breakInside)"
    )
    assert set(breaks) == {"avoid"}
    content = page.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True)
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) > 5
