"""The configuration of the composer, and its presets."""

from typing import Annotated, Literal, Self

from annotated_types import Ge, Le, Lt, MinLen
from pydantic import Field, model_validator

from rnnray.training.training_options import Config, OptimizerConfig, TrainingConfig

BAR = 16
"""Sixteenths in a bar of four quarters; here, since NumPy, which chords.py needs, slows --help."""


class ChoraleModelConfig(Config):
    """The composer: dilated convolutions over notes as in the book, or an LSTM over chords."""

    architecture: Literal["chords", "notes"] = "chords"
    """Architecture: chords has LSTMs over chords and a head for each voice; notes is the book's,
    over notes."""
    embedding: Annotated[int, Ge(1)] = 192
    """Size of the embedding, of a note (notes) or of a chord (chords)."""
    dilated_layers: Annotated[int, Ge(0), Le(10)] = 4
    """notes: number of causal convolutions, whose dilations are 1, 2, 4, 8 and so on."""
    filters: Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)] = (32, 48, 64, 96)
    """notes: number of filters of each convolution; the last number holds for all further ones."""
    kernel_size: Annotated[int, Ge(2), Le(16)] = 2
    """notes: kernel size of the convolutions."""
    batch_normalization: bool = True
    """notes: apply batch normalisation after each convolution."""
    normalization_momentum: Annotated[float, Ge(0), Lt(1)] = 0.99
    """notes: momentum of batch normalisation's moving statistics. 0.99, Keras's and the book's,
    takes about ten epochs of this small corpus to settle; before that, validation means little."""
    stride: Annotated[int, Ge(1), Le(4)] = 2
    """chords: sixteenths between two steps of the LSTMs; the heads see every sixteenth."""
    lstm_units: Annotated[int, Ge(1)] = 256
    """Size of each LSTM."""
    lstm_layers: Annotated[int, Ge(1), Le(8)] = 2
    """Number of LSTMs on top of each other."""
    head_units: Annotated[int, Ge(1)] = 192
    """chords: size of the hidden layer in each voice's head."""
    embedding_dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    """chords: share of the chord's embedding that is dropped in training."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of each LSTM's output that is dropped in training."""
    head_dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    """chords: share of the heads' hidden layer that is dropped in training."""
    reach: Annotated[int, Ge(BAR)] = 256
    """chords: number of chords back that are searched for an earlier passage like the present
    one."""
    pairs: bool = False
    """chords: show the model the intervals between voices, before and now, and which voice moved:
    the matter of the rules of counterpoint."""
    edges: bool = False
    """chords: tell the model where a piece begins, how many chords are left to its end, and how
    often each pitch class was sung so far."""


class ChoraleConfig(TrainingConfig):
    """Options that determine the result of training the composer."""

    data: Annotated[str, Field(min_length=1)] = "jsb"
    """Corpus: jsb, music21, or a path or URI of an archive, folder or file (CSV, MIDI, MusicXML,
    Humdrum, Jsb16thSeparated or Parquet)."""
    model: ChoraleModelConfig = ChoraleModelConfig()
    """The model."""
    window_chords: Annotated[int, Ge(2)] = 256
    """Length of a training window in chords (sixteenths)."""
    window_shift: Annotated[int, Ge(1)] = 128
    """Number of chords between the starts of two windows of a piece."""
    drop_remainder: bool = False
    """Leave out chords at a piece's end that fill no whole window, as the book does."""
    count_first_note: bool = True
    """Learn to predict each window's first note too; the book's model cannot."""
    transpose: Annotated[int, Ge(0), Le(12)] = 0
    """Train on transpositions too, by at most this many semitones down and up, within the voices'
    ranges."""

    @model_validator(mode="after")
    def _windows_begin_at_bar_lines(self) -> Self:
        # So that a chord's position in its window tells the model its position in the bar.
        if self.window_shift % BAR:
            raise ValueError(
                f"window_shift must be a multiple of {BAR}: windows begin at bar lines"
            )
        if self.window_shift > self.window_chords:
            raise ValueError("window_shift is greater than window_chords: chords would be left out")
        return self


def notebook() -> ChoraleConfig:
    """Return the book's configuration, to the letter.

    A. Géron, Hands-On Machine Learning with Scikit-Learn, Keras, and TensorFlow, 3rd edition,
    chapter 15, exercise 10. Its windows of 33 chords give 0.6631 nats a note and 81.64 % on the
    test split, in windows.
    """
    return ChoraleConfig(
        model=ChoraleModelConfig(
            architecture="notes", embedding=5, lstm_units=256, lstm_layers=1, dropout=0.0
        ),
        optimizer=OptimizerConfig(name="nadam", learning_rate=1e-3),
        epochs=20,
        global_batch_size=32,
        window_chords=33,
        window_shift=16,
        drop_remainder=True,
        count_first_note=False,
    )


def strong() -> ChoraleConfig:
    """Return the recommended configuration: chords, voice heads, echoes, transpositions."""
    return ChoraleConfig(
        model=ChoraleModelConfig(
            architecture="chords",
            embedding_dropout=0.35,
            dropout=0.55,
            head_dropout=0.5,
            pairs=True,
            edges=True,
        ),
        optimizer=OptimizerConfig(
            name="adam",
            learning_rate=1e-2,
            schedule="cosine",
            warmup_share=0.02,
            clip="global",
            clip_norm=1.0,
        ),
        epochs=3,
        global_batch_size=32,
        window_chords=128,
        window_shift=64,
        transpose=6,
    )


PRESETS = {"strong": strong, "notebook": notebook}
