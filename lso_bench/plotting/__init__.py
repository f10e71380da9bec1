"""Plotting: style, colours, image sheets and pages; independent of comparisons."""
