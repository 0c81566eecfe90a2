"""The composer's models: ours over chords, the book's over notes."""
