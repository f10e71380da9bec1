"""Tables and figures of arXiv 2103.11349, reproduced and compared with the paper."""
