"""Python API: studies, their results, and what is compared of them. The command line is a layer over it."""
