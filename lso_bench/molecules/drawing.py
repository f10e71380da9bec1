"""Drawings of molecules as SVG that stands in a page: no script, no reference, no id, and the same each time."""

import re
from itertools import groupby

from lso_bench.molecules.reading import molecules

SHAPE = re.compile(r"<(path|text)\s[^>]*?(?:/>|>[^<]*</text>)")
LINE = re.compile(r"<path [^>]*?d='([^']*)' style='([^']*)' ?/>")
ATTRIBUTE = re.compile(r"\s(?:class|id)='[^']*'")
DEFAULT = re.compile(  # properties that SVG has without a word
    r"(?:fill-rule:evenodd|fill-opacity:1|stroke-(?:linecap:butt|linejoin:miter|miterlimit:10|opacity:1)"
    r"|font-(?:style|weight):normal|text-anchor:start|stroke:none)(?:;|(?='))"
)


def draw_svg(text: str, representation: str = "smiles", width: int = 200, height: int = 140) -> str:
    """Return a drawing of a molecule, an `svg` element of 2 or 3 kB; empty for a text that is no molecule.

    Raises:
        PluginError, ValueError: as `lso_bench.molecules.reading.require`.
    """
    (molecule,) = molecules([text], representation)
    if molecule is None:
        return ""
    from rdkit.Chem.Draw import rdMolDraw2D

    drawer = rdMolDraw2D.MolDraw2DSVG(width, height, -1, -1, True)  # letters are text, not paths
    drawer.drawOptions().clearBackground = False
    rdMolDraw2D.PrepareAndDrawMolecule(drawer, molecule)
    drawer.FinishDrawing()
    drawing = drawer.GetDrawingText().replace("#000000", "currentColor")  # in a page that of its text
    shapes = (DEFAULT.sub("", ATTRIBUTE.sub("", m[0])) for m in SHAPE.finditer(drawing))
    head = f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' viewBox='0 0 {width} {height}'>"
    return f"{head}{''.join(_joined([*shapes]))}</svg>"


def _joined(shapes: list[str]) -> list[str]:
    """Return shapes with the paths of one style as one path."""
    lines = sorted((m[2], i, m[1]) for i, shape in enumerate(shapes) if (m := LINE.fullmatch(shape)))
    groups = groupby(lines, lambda line: line[0])
    paths = [f"<path d='{' '.join(d for *_, d in group)}' style='{style}'/>" for style, group in groups]
    return paths + [shape for shape in shapes if not LINE.fullmatch(shape)]
