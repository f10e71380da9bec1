"""SVG drawings of unknown origin, made harmless for a page: only shapes and texts, without scripts and references."""

import re
from xml.etree import ElementTree

LARGEST = 200_000  # characters of a drawing
DEEPEST = 100  # levels of elements inside each other; deeper ones are left out
NAMESPACE = "http://www.w3.org/2000/svg"
SHAPES = {"svg", "g", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan", "title"}
ATTRIBUTES = {
    *("width", "height", "viewBox", "version", "class", "id", "transform", "d", "points", "style"),
    *("x", "y", "x1", "x2", "y1", "y2", "dx", "dy", "cx", "cy", "r", "rx", "ry"),
    *("fill", "stroke", "opacity", "font-size", "font-family", "font-weight", "text-anchor", "dominant-baseline"),
    *("fill-opacity", "fill-rule", "stroke-width", "stroke-linecap", "stroke-linejoin", "stroke-opacity"),
}
REFERENCE = re.compile(r"url|@|expression|javascript|\\|/\*", re.IGNORECASE)  # in a value: may load or run something


def harmless(svg: str) -> str:
    """Return a drawing with its shapes and texts alone; empty if it is no SVG, or is too large.

    Elements and attributes that are not known to be harmless are left out, and so are values with a reference.
    """
    if len(svg) > LARGEST or "<!DOCTYPE" in svg.upper() or "<!ENTITY" in svg.upper():
        return ""
    try:
        root = ElementTree.fromstring(svg)
    except (ElementTree.ParseError, ValueError):
        return ""
    if _name(root) != "svg":
        return ""
    ElementTree.register_namespace("", NAMESPACE)
    return ElementTree.tostring(_copied(root), encoding="unicode")


def _copied(element: ElementTree.Element, level: int = 0) -> ElementTree.Element:
    values = {k: v for k, v in element.attrib.items() if k in ATTRIBUTES and not REFERENCE.search(v)}
    copy = ElementTree.Element(f"{{{NAMESPACE}}}{_name(element)}", values)
    copy.text, copy.tail = element.text, element.tail
    if level < DEEPEST:
        copy.extend([_copied(child, level + 1) for child in element if _name(child) in SHAPES])
    return copy


def _name(element: ElementTree.Element) -> str:
    """Return the name of an SVG element; empty for other elements, comments and instructions."""
    tag = element.tag if isinstance(element.tag, str) else ""
    namespace, _, name = tag.rpartition("}")
    return name if namespace in ("", f"{{{NAMESPACE}") else ""
