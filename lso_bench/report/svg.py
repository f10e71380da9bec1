"""Figures as SVG elements of a page, in light and dark mode."""

import io
import re
from collections.abc import Collection

import matplotlib
from matplotlib.figure import Figure

from lso_bench.plotting.layout import lay_out
from lso_bench.plotting.style import INK

PAPER = "#ffffff"  # fill of hollow points

BETWEEN = re.compile(r">\s+<")
TAG = re.compile(r"<[^>]*>")  # text between tags keeps its numbers
COLOUR = re.compile(r"#[0-9a-f]{6}\b")
NUMBER = re.compile(r"-?\d+\.\d{2,}")


def svg(figure: Figure, name: str, colours: Collection[str]) -> str:
    """Return the SVG element of a figure, with the same bytes every time; within `style_context`.

    Text stays text. Ink and hollow points take the colours of the page, and each of `colours` (#rrggbb) the page's
    variable of that name. Every id begins with `name`, so that figures of a page do not share one.
    """
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        lay_out(figure)
        no_metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(text, format="svg", transparent=True, metadata=no_metadata)
    document = text.getvalue()
    element = document[document.index("<svg") :].strip()
    for pattern in (r"<style[^>]*>.*?</style>", r"<metadata>.*?</metadata>", r"<!--.*?-->", r"<defs>\s*</defs>"):
        element = re.sub(pattern, "", element, flags=re.DOTALL)
    element = _short_ids(element, name)
    return _with_page_colours(_round_numbers(element), colours)


def _short_ids(text: str, name: str) -> str:
    """Replace ids that are referenced by numbers after `name`, and remove others.

    Matplotlib's ids are hashes of unrounded coordinates.
    """
    used = dict.fromkeys(re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', text))
    new_ids = {reference: f"{name}-{i}" for i, reference in enumerate(used)}
    text = re.sub(r' id="([^"]+)"', lambda m: f' id="{new_ids[m[1]]}"' if m[1] in new_ids else "", text)
    return re.sub(r'(xlink:href="#|url\(#)([^")]+)', lambda m: m[1].removeprefix("xlink:") + new_ids[m[2]], text)


def _round_numbers(text: str) -> str:
    """Round coordinates to a tenth of a point and fractions to a hundredth; drop size and fonts."""
    head, rest = text.split(">", 1)
    box = re.search(r'viewBox="[^"]+"', head)
    assert box is not None
    rest = TAG.sub(lambda m: _round_in_tag(m[0]), rest)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box[0]}>' + BETWEEN.sub("><", rest)


def _round_in_tag(text: str) -> str:
    rounded = NUMBER.sub(lambda m: f"{float(m[0]):.{1 if abs(float(m[0])) > 1 else 2}f}".removesuffix(".0"), text)
    return re.sub(r"(font: [\d.]+px) [^;\"]+", r"\1 system-ui, sans-serif", rounded)


def _with_page_colours(text: str, colours: Collection[str]) -> str:
    replacements = {INK: "currentColor", PAPER: "var(--page)"} | {
        c.lower(): f"var(--c{c[1:].lower()})" for c in colours
    }
    return TAG.sub(lambda tag: COLOUR.sub(lambda m: replacements.get(m[0], m[0]), tag[0]), text)
