"""Thousands of chorales into object storage, by a Ray Data pipeline."""
