"""HTML page of figures that needs no other file."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from lso_bench.files.atomic_write import write_atomic
from lso_bench.files.sanitize import printable


def page(path: Path, title: str, pngs: Sequence[Path]) -> Path:
    """Write a page with the pictures embedded, and return its path."""
    figures = [f'<img alt="{escape(p.stem)}" src="data:image/png;base64,{_base64(p)}">' for p in pngs]
    style = "body{font-family:sans-serif;max-width:60em;margin:2em auto}img{max-width:100%;display:block;margin:2em 0}"
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{style}</style>'
    body = "\n".join([f"<h1>{escape(title)}</h1>", *figures])
    text = f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'
    write_atomic(path, printable(text).encode())
    return path


def _base64(png: Path) -> str:
    return base64.b64encode(png.read_bytes()).decode()
