"""Chorales from every source and format, as chorale tables."""
