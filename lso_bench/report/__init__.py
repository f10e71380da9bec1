"""Reports of comparisons and metrics: terminal tables, JSON, CSV, HTML and figures."""
