"""Drawings from every source and format, as the sketch table."""
