"""Molecules, by RDKit: read, scored, compared and drawn. The optional extra `molecules` brings RDKit and SELFIES."""
