"""Drawings in, a category out."""
