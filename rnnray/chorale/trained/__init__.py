"""The composer that comes with the package: a checkpoint, with its card in README.md."""
