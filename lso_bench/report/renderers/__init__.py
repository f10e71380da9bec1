"""Renderers of tables, one file each: terminal, Markdown, LaTeX, HTML and CSV."""
