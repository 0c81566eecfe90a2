"""Speed compared with the book's code; only `jobs/benchmark.py` and tests import it."""
