"""Composers that are small and have learnt nothing: both presets, with random weights throughout.

Layers that begin at zero would hide mistakes in what they are given.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from lazily import Lazily, keras, tf

from rnnray.chorale.chorale_config import PRESETS, ChoraleConfig
from rnnray.chorale.chorale_task import ChoraleTask
from rnnray.chorale.data import chorale_table
from rnnray.chorale.request import Composition, Request
from rnnray.training import checkpoints
from rnnray.training.checkpoints import Position

model = Lazily("rnnray.chorale.model.architectures")

REACH = 20
_ROWS = 4
SMALL: dict[str, dict[str, Any]] = {
    "notebook": {"embedding": 4, "filters": (9, 10, 11, 12), "lstm_units": 8},
    "strong": {"embedding": 12, "lstm_units": 8, "head_units": 8, "reach": REACH},
}


def small_config(preset: str, **options: Any) -> ChoraleConfig:
    """A preset with few units, as deep as it is, and with other options of its model."""
    config = PRESETS[preset]()
    return config.model_copy(
        update={"model": config.model.model_copy(update=SMALL[preset] | options)}
    )


def small_composer(preset: str, seed: int = 0, **options: Any) -> Any:
    composer = model.build(small_config(preset, **options).model)
    randomise(composer, seed)
    return composer


def randomise(composer: Any, seed: int = 0) -> None:
    """Weights with which no layer fades what it hears (He et al., 2015) and most units are on."""
    rng = np.random.default_rng(seed)
    for weight in composer.weights:
        *inputs, _ = weight.shape
        if weight.path.endswith(("gamma", "moving_variance")):
            values = rng.uniform(0.5, 2, weight.shape)
        elif weight.path.endswith("bias"):
            values = rng.uniform(0, 1, weight.shape)
        elif weight.path.endswith("embeddings") or not inputs:
            values = rng.normal(0, 0.7, weight.shape)
        else:
            values = rng.normal(0, np.sqrt(2 / np.prod(inputs)), weight.shape)
        weight.assign(values)


def memoryless(logits: np.ndarray) -> Any:
    """A composer without a past, from the logits float32 [voices, 47] of each voice."""
    table = tf.constant(logits, tf.float32)

    def after(batch: int, voice: int) -> Any:
        return tf.tile(table[None, voice % len(logits)], [batch, 1])

    return SimpleNamespace(
        initial_state=lambda batch, *_: (after(batch, 0), tf.zeros([batch])),
        step=lambda state, notes, voice: (after(notes.shape[0], voice + 1), state + 1),
    )


def composed(sampler: Any, requests: list[Request]) -> list[Composition]:
    return [one for batch in sampler.compose(requests) for one in batch]


@cache
def _compiled(composer: Any, length: int) -> Any:
    spec = tf.TensorSpec([_ROWS, length], tf.int32)
    return tf.function(
        lambda tokens: composer(tokens, training=False), input_signature=[spec], autograph=False
    )


def logits_of(composer: Any, tokens: npt.NDArray[np.integer]) -> np.ndarray:
    """Of the full model, a few rows at a time: float32 [batch, n, 47]."""
    full = _compiled(composer, tokens.shape[1])
    filled = np.pad(tokens.astype(np.int32), [[0, -len(tokens) % _ROWS], [0, 0]])
    parts = [full(filled[start : start + _ROWS]) for start in range(0, len(filled), _ROWS)]
    return np.concatenate(parts)[: len(tokens)]


def logits_at_once(composer: Any, tokens: npt.NDArray[np.integer]) -> np.ndarray:
    """`logits_of` without compiling the model: faster where a length occurs once or twice."""
    if not hasattr(composer, "reach"):
        return logits_of(composer, tokens)  # of the book's model, compiling is little work
    return np.asarray(composer(tokens.astype(np.int32), training=False))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))


def nats_of(composer: Any, tokens: npt.NDArray[np.integer]) -> np.ndarray:
    """What each note of one piece, int [4n], costs the full model: float64 [4n]."""
    return -log_softmax(logits_of(composer, tokens[None]))[0][np.arange(len(tokens)), tokens]


def repetitive(period: int, seed: int = 0) -> np.ndarray:
    """A piece in which echoes of every level occur, int8 [4 * (8 * period + 41)].

    A passage four times word for word; a chord held for longer than the model counts; a melody
    four times over other voices.
    """
    rng = np.random.default_rng(seed)
    words = np.tile(rng.integers(0, 47, (period, 4)), (4, 1))
    held = np.repeat(rng.integers(0, 47, (1, 4)), 41, axis=0)
    melody = rng.integers(0, 47, (4 * period, 4))
    melody[:, 0] = np.tile(melody[:period, 0], 4)
    return np.concatenate([words, held, melody]).astype(np.int8).reshape(-1)


def chorales(*lengths: int, seed: int = 0) -> list[np.ndarray]:
    """Chorales of these numbers of chords, int16 [n, 4], with held notes and some silence."""
    rng = np.random.default_rng(seed)
    pieces = []
    for length in lengths:
        chords = np.repeat(rng.integers(36, 82, (-(-length // 2), 4)), 2, axis=0)[:length]
        chords[rng.random(chords.shape) < 0.05] = 0
        pieces.append(chords.astype(np.int16))
    return pieces


def save_checkpoint(folder: Path, preset: str, **options: Any) -> str:
    """A composer's checkpoint, as training writes it."""
    config = small_config(preset, **options)
    composer = model.build(config.model)
    randomise(composer)
    optimizer = keras.optimizers.SGD()
    optimizer.build(composer.trainable_variables)
    folder.mkdir(parents=True)
    files = ChoraleTask(config).checkpoint_files()
    checkpoints.save(folder, composer, optimizer, Position(), files)
    return str(folder)


def save_corpus(file: Path, lengths: Sequence[int]) -> str:
    """Save pieces of these numbers of chords as a chorale table; return its path.

    The first is to train on, the others are to test.
    """
    splits = ["train", *["test"] * (len(lengths) - 1)]
    corpus = chorale_table.from_chorales(
        (f"piece {number}", split, piece)
        for number, (split, piece) in enumerate(zip(splits, chorales(*lengths), strict=True))
    )
    pq.write_table(corpus, file)
    return str(file)
