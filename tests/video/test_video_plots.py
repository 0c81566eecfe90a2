"""Plots of clips: what a person reads in them."""

from pathlib import Path
from unittest.mock import patch

import numpy as np
from matplotlib.figure import Figure

from rnnray.video import video_plots


def test_clips_of_any_length_are_drawn_with_what_they_are_taken_for(tmp_path: Path) -> None:
    clips = [np.zeros((count, 16, 16, 3), np.uint8) for count in (1, 10)]
    drawn: list[Figure] = []
    with patch("rnnray.plot_style.save", lambda figure, _: drawn.append(figure)):
        video_plots.predictions(tmp_path / "x", clips, ["cat", "dog"], ["cat", "cat"], [0.9, 0.6])
    (figure,) = drawn
    assert [text.get_text() for text in figure.texts] == [
        "✓ cat (90.0%)",
        "✗ dog; taken for cat (60.0%)",
    ]
    assert len(figure.axes) == 11
    for axes in figure.axes:
        box = axes.get_position()
        assert 0 <= box.x0 < box.x1 <= 1
        assert 0 <= box.y0 < box.y1 <= 1
