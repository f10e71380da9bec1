"""Comparisons and metrics for people to read: terminal tables, JSON and CSV, pictures."""
