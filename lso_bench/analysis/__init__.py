"""Statistics of records: final losses, convergence, dependence on the start, and significance tests."""
