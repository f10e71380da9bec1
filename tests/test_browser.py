"""The page of `lso-bench report` in a real browser: Chromium without a window, started once."""

import math
import shutil

import pytest
from made import searched
from test_report import HOSTILE, runs, stored

from lso_bench.commands.inputs import load_report
from lso_bench.report.html_report import html
from lso_bench.vae.trained_model import Model

CHROMIUM = shutil.which("chromium")
QUIET = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install '.[dev]')")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield started
        started.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report whose names mean harm, and in which one search has no finite loss."""
    folder = tmp_path_factory.mktemp("browser")
    lost = searched({"random": [[9.0, 9.0, math.nan]] * 8}, model=Model("lost", "omniglot"))
    high = searched({"random": [[900.0, 500.0, 100.0 + t] for t in range(8)]}, model=Model("high", "omniglot"))
    records = [*runs("vae", "nevae_se", *HOSTILE), *runs("vae", seeds=(0,), searcher=HOSTILE[1]), lost, high]
    path = folder / "report.html"
    path.write_text(html(load_report([stored(folder / "r", records)])), encoding="utf-8")
    return path.as_uri()


def opened(browser, address, width=1400, scheme="light"):
    """The page, all that it asked for, and all that it complained of."""
    view = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    asked, said = [], []
    view.on("request", lambda r: asked.append(r.url))
    view.on("console", lambda m: said.append(m.text))
    view.on("pageerror", lambda e: said.append(str(e)))
    view.on("dialog", lambda d: (said.append(d.message), d.dismiss()))
    view.goto(address)
    return view, asked, said


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_opens_without_a_request_or_a_complaint_and_runs_no_name(browser, page, scheme):
    view, asked, said = opened(browser, page, scheme=scheme)
    view.wait_for_timeout(200)
    assert view.evaluate("document.documentElement.scrollHeight") < 12 * 900  # folded
    unfold(view)
    assert [a for a in asked if not a.startswith("data:image/png")] == [page] and said == []
    assert "<script>alert(1)</script>" in view.inner_text("main")
    view.close()


def unfold(view):
    view.evaluate("document.querySelectorAll('details').forEach((part) => (part.open = true))")


def test_links_open_what_they_name(browser, page):
    view, _, _ = opened(browser, page)
    assert not view.locator("details.tab[open]").count()
    view.locator("nav a[href='#starts']").click()
    view.wait_for_function("document.querySelector('#starts').open")
    view.locator(".chip").first.click()
    view.wait_for_function("document.querySelector('#statistics').open")
    view.close()


def test_columns_are_sorted_by_what_is_read_in_their_cells(browser, page):
    view, _, _ = opened(browser, page)
    unfold(view)
    texts = ["1,500", "750", "", "\N{MINUS SIGN}3", "12,000", "cmaes"]
    view.evaluate(
        """texts => {
            const table = document.querySelector("table"), body = table.tBodies[0], row = body.rows[0];
            body.replaceChildren(...texts.map((text) => {
                const copy = row.cloneNode(true);
                copy.cells[0].textContent = text;
                return copy;
            }));
            table.querySelector("button").click();
        }""",
        texts,
    )
    shown = view.locator("table").first.locator("tbody tr td:first-child").all_inner_texts()
    assert shown == ["\N{MINUS SIGN}3", "750", "1,500", "12,000", "cmaes", ""]
    view.close()


def test_table_sorts_numbers_as_numbers_and_back(browser, page):
    view, _, _ = opened(browser, page)
    unfold(view)
    table = view.get_by_role("region", name="Final loss", exact=True).first.locator("table")
    heads = table.locator("thead th").all_inner_texts()
    at = heads.index("median")

    def shown():
        cells = table.locator(f"tbody tr td:nth-child({at + 1})").evaluate_all("all => all.map(c => c.dataset.order)")
        return [math.inf if v in ("inf", "nan") else float(v) for v in cells]

    before = shown()
    table.locator(f"thead th:nth-child({at + 1}) button").click()
    assert shown() == sorted(before) and shown() != sorted(before, key=str)
    assert table.locator("th[aria-sort=ascending]").count() == 1
    table.locator(f"thead th:nth-child({at + 1}) button").press("Enter")
    finite = [v for v in shown() if math.isfinite(v)]
    assert finite == sorted(finite, reverse=True)
    view.close()


@pytest.mark.parametrize("width", [390, 800, 1400])
def test_page_itself_does_not_scroll_sideways(browser, page, width):
    view, _, _ = opened(browser, page, width=width)
    unfold(view)
    assert view.evaluate("document.documentElement.scrollWidth") <= width
    view.close()


def test_options_of_commands_are_not_broken_at_hyphens(browser, page):
    lines = """() => {
        const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), lines = [];
        for (let node = texts.nextNode(); node; node = texts.nextNode()) {
            for (const match of node.data.matchAll(/--[a-z][a-z-]*/g)) {
                const range = document.createRange();
                range.setStart(node, match.index);
                range.setEnd(node, match.index + match[0].length);
                lines.push(new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size);
            }
        }
        return lines.filter(Boolean);
    }"""
    counts = []
    for width in (390, 500, 800, 1400):
        view, _, _ = opened(browser, page, width=width)
        unfold(view)
        counts += view.evaluate(lines)
        view.close()
    assert len(counts) > 40 and {*counts} == {1}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_by_day_and_by_night(browser, page, scheme):
    view, _, _ = opened(browser, page, scheme=scheme)
    unfold(view)
    body = view.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance(body) > 0.5) == (scheme == "light")
    for what in ("h1", "p.quiet", "td.n", "a", "figcaption", ".command code", "svg text"):
        assert contrast(ink(view, what), body) >= 4.5, what
    view.close()


def ink(view, what):
    """The colour of the first such element's text."""
    kind = "fill" if what.startswith("svg") else "color"
    return view.locator(what).first.evaluate(f"e => getComputedStyle(e).{kind}")


def luminance(colour):
    """Relative luminance of `rgb(r, g, b)`; WCAG 2.1."""
    parts = [int(p) / 255 for p in colour.removeprefix("rgb(").rstrip(")").split(",")]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)
