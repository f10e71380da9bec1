"""Studies: a grid of runs, its file, its overrides, what of it is done, and how long the rest takes."""
