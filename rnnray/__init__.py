"""Recurrent networks on a Ray cluster: a sketch classifier and a composer of Bach chorales."""

__version__ = "0.1.0"
