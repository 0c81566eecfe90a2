"""Daily series from every source, and the windows that a forecaster reads."""
