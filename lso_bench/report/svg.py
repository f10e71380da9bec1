"""A figure as SVG that may stand in a page beside others, by day and by night."""

import io
import re
from collections.abc import Collection

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from lso_bench.plotting.style import INK

BETWEEN = re.compile(r">\s+<")
TAG = re.compile(r"<[^>]*>")  # what is between tags is text, whose numbers stay as they are
COLOUR = re.compile(r"#[0-9a-f]{6}\b")
NUMBER = re.compile(r"-?\d+\.\d{2,}")


def svg(figure: Figure, name: str, colours: Collection[str]) -> str:
    """The element alone; the same bytes every time, within `lso_bench.plotting.style.style_context`.

    Its text is text. Ink takes the page's colour, and each of `colours` (#rrggbb) the page's variable of that name.
    Every id in it begins with `name`, so that no two figures of a page share one.
    """
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "figure.constrained_layout.use": False}):
        _lay_out(figure)
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    whole = text.getvalue()
    found = whole[whole.index("<svg") :].strip()
    for needless in (r"<style[^>]*>.*?</style>", r"<metadata>.*?</metadata>", r"<!--.*?-->", r"<defs>\s*</defs>"):
        found = re.sub(needless, "", found, flags=re.DOTALL)
    found = _ids(found, name)
    return _coloured(_small(found), colours)


def _lay_out(figure: Figure) -> None:
    """Once and for all; a figure that still has to be laid out is drawn twice."""
    FigureCanvasSVG(figure)  # in whose letters room is counted
    if engine := figure.get_layout_engine():
        engine.execute(figure)
    figure.set_layout_engine(None)  # as matplotlib is set: none


def _ids(text: str, name: str) -> str:
    """Those that are referred to are numbers after `name`, for matplotlib's are hashes of unrounded coordinates; the
    others go.
    """
    used = dict.fromkeys(re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', text))
    known = {of: f"{name}-{i}" for i, of in enumerate(used)}
    text = re.sub(r' id="([^"]+)"', lambda m: f' id="{known[m[1]]}"' if m[1] in known else "", text)
    return re.sub(r'(xlink:href="#|url\(#)([^")]+)', lambda m: m[1].removeprefix("xlink:") + known[m[2]], text)


def _small(text: str) -> str:
    """Coordinates to a tenth of a point, shares to a hundredth; fonts are the page's; no size of its own."""
    head, rest = text.split(">", 1)
    box = re.search(r'viewBox="[^"]+"', head)
    assert box is not None
    rest = TAG.sub(lambda m: _tag(m[0]), rest)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box[0]}>' + BETWEEN.sub("><", rest)


def _tag(text: str) -> str:
    rounded = NUMBER.sub(lambda m: f"{float(m[0]):.{1 if abs(float(m[0])) > 1 else 2}f}".removesuffix(".0"), text)
    return re.sub(r"(font: [\d.]+px) [^;\"]+", r"\1 system-ui, sans-serif", rounded)


def _coloured(text: str, colours: Collection[str]) -> str:
    known = {INK: "currentColor"} | {c.lower(): f"var(--c{c[1:].lower()})" for c in colours}
    return TAG.sub(lambda tag: COLOUR.sub(lambda m: known.get(m[0], m[0]), tag[0]), text)
