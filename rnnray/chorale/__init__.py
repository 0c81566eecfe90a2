"""The composer, from Bach's chorales to new ones."""
