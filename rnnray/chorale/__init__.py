"""The composer: Bach chorales in, new chorales out."""
