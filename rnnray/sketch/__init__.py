"""The sketch classifier, from a drawing to its category."""
