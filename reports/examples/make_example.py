"""Put the report of a study next to this file as an example, with a picture for the README.

Usage: python reports/examples/make_example.py STUDY NAME

STUDY is a study's folder, as `reports/quickstart`, that `sdd-eval report` has written its page to;
of any data but digits with `--no-images`. Its page and CSV files go to `reports/examples/NAME/`, a
picture of its table and its reliability diagram to `NAME.png` there. What `sdd-eval paper claims`
has written goes there too; a table of the verdicts goes into the README, between two comments; if
the README has none, they are named. Needs Chromium and `pip install '.[browser]'`.
"""

from __future__ import annotations

import getpass
import html
import io
import lzma
import re
import shutil
import socket
import sys
from pathlib import Path

import pandas

from sdd_eval.paper.claim_groups import groups_markdown
from sdd_eval.paper.claims import paper_claims
from sdd_eval.paper.evidence_table import read_evidence
from sdd_eval.paper.verdicts import decisive, judge

EXAMPLES = Path(__file__).parent
README = EXAMPLES.parents[1] / "README.md"
#: The tables of an example.
TABLES = ("results.csv", "summary.csv", "runs.csv", "protocols.csv", "intervals.csv")
#: Bytes of a page that mails well, of a table that a repository holds, of a README's picture, and
#: of all files of an example.
MOST_PAGE, MOST_TABLE, MOST_PICTURE, MOST = 2_000_000, 1_500_000, 300_000, 3_000_000
#: Bytes above which a table is compressed.
LARGE = 50_000
#: The level of compression: every kilobyte of an example stays in the repository.
SMALLEST = 9 | lzma.PRESET_EXTREME
#: The data sets whose images may be shown.
FREE = {"digits", "digits_c_regenerated"}
#: Folders of a study that are not copied: their links become plain words.
LEFT_OUT = ("figures", "tables", "comparisons")
#: A page so wide that no column of its table is cut off, and how many pixels one of its is.
WIDTH, SCALE = 1640, 1
COLOURS = 128
#: What a path on somebody's machine begins with.
PATH = re.compile(
    r"(?:[A-Za-z]:\\|/(?:home|Users|root|tmp|mnt|work|media|data|opt|srv|var)/)[^\s<\"']*"
)

#: Of the page only its title, its table and the first reliability diagram.
SHORTEN = """() => {
  const kept = new Set([...document.querySelectorAll("header, .verdicts, #headline-table")]);
  const title = [...document.querySelectorAll("figure h3")].find(h => /^reliability/.test(h.id));
  if (!title) throw new Error("the page has no reliability diagram");
  kept.add(title.closest("figure"));
  const inside = each => [...kept].some(one => one.contains(each) || each.contains(one));
  for (const each of document.querySelectorAll("body *:not(script):not(style)"))
    if (!each.closest("svg") && !inside(each)) each.style.display = "none";
  for (const each of document.querySelectorAll("figure details")) each.style.display = "none";
  for (const each of document.querySelectorAll("header, main")) each.style.maxWidth = "none";
}"""


def main(study: Path, name: str) -> None:
    """Copy the study's files to the example and take its picture."""
    folder = EXAMPLES / name
    copy_report(study, folder)
    judged = (study / "paper/claims.csv").exists()
    if judged:
        copy_claims(study, folder)
    size = sum(path.stat().st_size for path in folder.iterdir())
    if size > MOST:
        sys.exit(f"{folder} has {size:,} bytes; an example has at most {MOST:,}")
    picture = picture_of(folder / "index.html")
    checked(f"{name}.png", picture, MOST_PICTURE, text=False)
    (EXAMPLES / f"{name}.png").write_bytes(picture)
    if judged:
        readme = README.read_text(encoding="utf-8")
        README.write_text(with_table(readme, verdict_table(folder), name), encoding="utf-8")


def copy_report(study: Path, folder: Path) -> None:
    """Copy page and tables to an example; a table that is too large is compressed."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    page = without_links((study / "index.html").read_text(encoding="utf-8"), study)
    page = without_narrow_figures(page)
    runs = pandas.read_csv(study / "runs.csv")
    if "data:image/" in page and not {*runs["dataset"]} <= FREE:
        sys.exit("the page shows images of a data set; write it by `sdd-eval report --no-images`")
    for table in TABLES:
        content, target = (study / table).read_bytes(), folder / table
        if len(content) > LARGE:
            content, target = lzma.compress(content, preset=SMALLEST), folder / f"{table}.xz"
            page = re.sub(rf'(href="?){table}', rf"\1{target.name}", page)
        checked(target.name, content, MOST_TABLE, text=target.suffix == ".csv")
        target.write_bytes(content)
    checked("index.html", page.encode(), MOST_PAGE)
    (folder / "index.html").write_text(page, encoding="utf-8")


def copy_claims(study: Path, folder: Path) -> None:
    """Copy the claims, their verdicts and evidence, and the recipes of the study's networks."""
    for path in (study / "study.json", *sorted((study / "paper").glob("claims*"))):
        checked(path.name, path.read_bytes(), MOST_TABLE)
        shutil.copyfile(path, folder / path.name)


def verdict_table(folder: Path) -> str:
    """Return the verdicts on groups of claims, recomputed from the evidence of an example."""
    evidence = read_evidence(pandas.read_csv(folder / "claims-evidence.csv"))
    return groups_markdown(decisive(judge(paper_claims(), evidence)))


def with_table(readme: str, table: str, name: str) -> str:
    """Return the README with the table of an example between its two comments."""
    begin, end = marks(name)
    before, _, rest = readme.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        sys.exit(f"{README.name} lacks these two lines; put them in and repeat:\n{begin}\n{end}")
    return f"{before}{begin}\n{table}{end}{after}"


def marks(name: str) -> tuple[str, str]:
    """Return the comments before and after the table of an example in the README."""
    return f"<!-- verdicts of reports/examples/{name} -->", "<!-- end of the verdicts -->"


def without_links(page: str, study: Path) -> str:
    """Return the page without links to files that are not copied."""
    page = re.sub(r' <span class="files">Files.*?</span>', "", page, flags=re.DOTALL)
    page = re.sub(r"All numbers, including every severity: .*?</p>", "</p>", page, flags=re.DOTALL)
    page = re.sub(r"<p[^>]*>Differences as a figure, .*?</p>", "", page, flags=re.DOTALL)
    page = re.sub(r"<p[^>]*>LaTeX tables for one .*?</p>", "", page, flags=re.DOTALL)
    page = re.sub(r" As a LaTeX table: <a [^>]*>[^<]*</a>\.", "", page)
    for link in re.findall(r'<a href="?([^"\s>]+)', page):
        target = html.unescape(link)
        if not target.startswith("#") and target not in TABLES:
            sys.exit(f"the page of {study} links {target}, which is not in an example")
    return page


def without_narrow_figures(page: str) -> str:
    """Return the page without the figures for narrow screens, which repeat those for wide ones."""
    narrow = r'<div class="drawing single"[^>]*>\s*<svg.*?</svg>\s*</div>'
    return re.sub(
        rf'<div class="drawing double"([^>]*>\s*<svg.*?</svg>\s*</div>)\s*{narrow}',
        r'<div class="drawing"\1',
        page,
        flags=re.DOTALL,
    )


def checked(name: str, content: bytes, most: int, *, text: bool = True) -> None:
    """End where a file is too large, or tells of the machine that it was made on."""
    if len(content) > most:
        sys.exit(f"{name} has {len(content):,} bytes; an example has at most {most:,}")
    said = content.decode() if text else ""
    names = {socket.gethostname(), getpass.getuser()} - {"root", "localhost"}
    words = [each for each in names if re.search(rf"\b{re.escape(each)}\b", said)]
    if found := [*PATH.findall(said), *words]:
        sys.exit(f"{name} tells of a machine: {', '.join(dict.fromkeys(found))}")


def picture_of(page: Path) -> bytes:
    """Return a PNG of the page's title, its table and its reliability diagram, in a few colours."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        screen = {"width": WIDTH, "height": 600}
        tab = browser.new_page(viewport=screen, device_scale_factor=SCALE, color_scheme="light")
        tab.goto(page.resolve().as_uri())
        tab.evaluate(SHORTEN)
        shown = Image.open(io.BytesIO(tab.screenshot(full_page=True)))
        browser.close()
    few = shown.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    written = io.BytesIO()
    few.save(written, format="PNG", optimize=True)
    return written.getvalue()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2])
