"""Videos from every source, and the frames and sounds that a classifier reads."""
