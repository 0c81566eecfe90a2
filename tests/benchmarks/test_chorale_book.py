"""The book's composer, which the benchmark measures ours against, is what the book describes."""

from typing import Any

import numpy as np
from composers import randomise
from lazily import Lazily

from rnnray.chorale import chorale_config, tokens

book = Lazily("rnnray.benchmarks.chorale_book")
model = Lazily("rnnray.chorale.model.architectures")


def test_it_and_our_notebook_preset_are_one_model() -> None:
    theirs, ours = book.composer(), model.build(chorale_config.notebook().model)
    # Not as they begin: moving statistics of 0 and 1 would hide what the normalisation does.
    randomise(ours)
    for mine, other in zip(ours.weights, theirs.weights, strict=True):
        assert mine.shape == other.shape
        other.assign(mine)
    notes = np.random.default_rng(0).integers(0, tokens.TOKENS, (3, 4 * 6))
    expected = np.asarray(theirs(notes[:, :-1]))
    first, logits = np.split(np.asarray(ours(notes), np.float64), [1], axis=1)
    assert not first.any(), "the book's model knows nothing of a first note"
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4, atol=1e-6)


def test_it_composes_the_likeliest_note_after_all_notes_so_far() -> None:
    seen = []

    def probabilities(arpeggio: Any) -> Any:
        seen.append(arpeggio[0].tolist())
        rows = np.full((*arpeggio.shape, tokens.TOKENS), 0.01, np.float32)
        np.put_along_axis(rows, (arpeggio + 1)[..., None], 1.0, axis=-1)  # a semitone up
        return rows

    seed = np.array([[72, 67, 60, 48], [72, 67, 60, 41]], np.int16)
    chorale = book.generate_chorale(probabilities, seed, 2)
    assert chorale.tolist() == [*seed.tolist(), [42, 43, 44, 45], [46, 47, 48, 49]]
    assert [len(prefix) for prefix in seen] == list(range(8, 16))
    assert seen[-1] == [37, 32, 25, 13, 37, 32, 25, 6, *range(7, 14)]
