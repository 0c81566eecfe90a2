"""Drawings from every source and format, as sketch tables."""
