"""The tables and figures of arXiv 2103.11349, and ours beside them."""
