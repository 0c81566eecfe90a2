"""Speed beside the book's code; nothing but `jobs/benchmark.py` and tests import it."""
