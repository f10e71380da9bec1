"""Execution of one run: a searcher in the latent space of a frozen model, on a task, and its record."""
