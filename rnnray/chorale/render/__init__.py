"""Chorales to hear, to read and to look at: files, plots, the page."""
