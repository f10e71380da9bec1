"""Diagnosis of an installation, its data, its checkpoints and its results."""
