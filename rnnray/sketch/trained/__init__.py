"""The sketch classifier that comes with the package: a checkpoint, with its card in README.md."""
