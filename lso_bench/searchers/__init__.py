"""Searchers, one search method a file."""
