"""Sweeps: Ray Tune searches the fields of a configuration."""
