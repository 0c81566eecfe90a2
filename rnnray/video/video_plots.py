"""Plots of clips, with what a classifier takes them for."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rnnray import plot_style
from rnnray.plot_style import BLUE, BODY, VERMILION

_FRAME, _TEXT, _GAP = 0.75, 0.3, 0.05  # inches: a frame, the line above a clip, between frames


def predictions(
    path: Path,
    clips: Sequence[NDArray[np.uint8]],
    true_labels: Sequence[str],
    predicted: Sequence[str],
    probabilities: Sequence[float],
) -> None:
    """Draw clips, a row of frames each, below their class and the most probable one.

    Args:
        path: path of the PNG.
        clips: one or more clips, each uint8 [frames, size, size, 3]; about ten fit on a screen.
        true_labels: class of each clip.
        predicted: most probable class of each.
        probabilities: its probability, from 0 to 1.

    Raises:
        ValueError: there is no clip, or the arguments' lengths differ.
        UserError: the file cannot be written.
    """
    if not clips:
        raise ValueError("no clips: a picture needs at least one")
    columns = max(map(len, clips))
    height = _FRAME + _TEXT
    figure = Figure(figsize=(max(columns, 6) * (_FRAME + _GAP) + _GAP, height * len(clips) + _GAP))
    across, down = figure.get_size_inches()
    rows = zip(clips, true_labels, predicted, probabilities, strict=True)
    for row, (frames, truth, name, probability) in enumerate(rows):
        top = row * height
        right = truth == name
        text = f"{'✓' if right else '✗'} {truth}"
        text += f" ({probability:.1%})" if right else f"; taken for {name} ({probability:.1%})"
        figure.text(
            _GAP / across,
            1 - (top + 0.8 * _TEXT) / down,
            plot_style.wrap(text, 90),
            color=BLUE if right else VERMILION,
            size=BODY,
            parse_math=False,
        )
        for column, frame in enumerate(frames):
            left = _GAP + column * (_FRAME + _GAP)
            axes = figure.add_axes(
                (left / across, 1 - (top + height) / down, _FRAME / across, _FRAME / down)
            )
            axes.imshow(frame)
            axes.axis("off")
    plot_style.save(figure, path)
