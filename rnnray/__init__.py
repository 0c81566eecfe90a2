"""Recurrent networks on a Ray cluster: sketches, chorales, daily series, videos, your own."""

__version__ = "0.1.0"
