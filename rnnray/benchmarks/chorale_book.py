"""The book's composer as the book writes it, for comparison in `jobs/benchmark.py` and tests.

A. Géron, Hands-On Machine Learning with Scikit-Learn, Keras, and TensorFlow, 3rd edition, chapter
15, exercise 10 (https://github.com/ageron/handson-ml3), rewritten.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

from rnnray.chorale import tokens
from rnnray.chorale.chords import VOICE_COUNT, Chords


def composer() -> keras.Model:
    """Return the model: tokens [batch, n] -> probabilities of the next token [batch, n, 47]."""
    model = keras.Sequential([layers.Input((None,)), layers.Embedding(tokens.TOKENS, 5)])
    for filters, dilation in ((32, 1), (48, 2), (64, 4), (96, 8)):
        model.add(
            layers.Conv1D(filters, 2, padding="causal", activation="relu", dilation_rate=dilation)
        )
        model.add(layers.BatchNormalization())
    model.add(layers.LSTM(256, return_sequences=True))
    model.add(layers.Dense(tokens.TOKENS, activation="softmax"))
    return model


def generate_chorale(
    probabilities: Callable[[Any], npt.NDArray[np.float32]], seed_chords: Chords, length: int
) -> Chords:
    """Compose in the book's first way: for each note over the whole piece, the most probable one.

    Args:
        probabilities: tokens [1, n] -> [1, n, 47].
        seed_chords: [m, 4], the given chords.
        length: number of chords to compose after them.
    """
    arpeggio = tokens.to_tokens(seed_chords)[None].astype(np.int32)
    for _ in range(length * VOICE_COUNT):
        note = probabilities(arpeggio)[:, -1:].argmax(axis=-1)
        arpeggio = np.concatenate([arpeggio, note], axis=1)
    return tokens.to_chords(arpeggio[0])
