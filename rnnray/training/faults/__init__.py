"""Faults of a run, and how it survives them."""
