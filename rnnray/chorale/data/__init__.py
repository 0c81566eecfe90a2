"""Chorales from every source and format, as the chorale table."""
