"""The configuration of the composer, and its presets."""

from typing import Annotated, Literal, Self

from annotated_types import Ge, Le, Lt, MinLen
from pydantic import Field, model_validator

from rnnray.chorale.chords import BAR
from rnnray.training.training_config import Config, OptimizerConfig, TrainingConfig


class ChoraleModelConfig(Config):
    """The composer: dilated convolutions over notes as in the book, or an LSTM over chords."""

    architecture: Literal["chords", "notes"] = "chords"
    """chords: LSTMs over chords, a head for each voice; notes: the book's, over notes."""
    embedding: Annotated[int, Ge(1)] = 192
    """Size of a note's (notes) or a chord's (chords) embedding."""
    dilated_layers: Annotated[int, Ge(0), Le(10)] = 4
    """notes: causal convolutions; their dilations are 1, 2, 4, 8 and so on."""
    filters: Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)] = (32, 48, 64, 96)
    """notes: filters of each convolution; the last number holds for all further ones."""
    kernel_size: Annotated[int, Ge(2), Le(16)] = 2
    """notes: kernel size of the convolutions."""
    batch_normalization: bool = True
    """notes: batch normalisation after each convolution."""
    normalization_momentum: Annotated[float, Ge(0), Lt(1)] = 0.99
    """notes: of batch normalisation's moving statistics; 0.99, Keras's and the book's, takes some
    ten epochs of this small corpus to settle, and validation means little until then."""
    stride: Annotated[int, Ge(1), Le(4)] = 2
    """chords: sixteenths between two steps of the LSTMs; the heads see every one."""
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
    """chords: how far back, in chords, the model looks for an earlier place that went like this."""
    pairs: bool = False
    """chords: the model sees the intervals between voices, before and now, and which voice moved:
    what rules of counterpoint are about."""
    edges: bool = False
    """chords: the model knows where a piece begins, how many chords are left to its end, and how
    often each pitch class was sung so far, to come home to."""


class ChoraleConfig(TrainingConfig):
    """What determines the result of training the composer."""

    data: Annotated[str, Field(min_length=1)] = "jsb"
    """jsb, music21, or a path or URI: an archive, folder or file of CSV, MIDI, MusicXML, Humdrum,
    Jsb16thSeparated or Parquet."""
    model: ChoraleModelConfig = ChoraleModelConfig()
    """The model."""
    window_chords: Annotated[int, Ge(2)] = 256
    """Chords (sixteenths) of a training window."""
    window_shift: Annotated[int, Ge(1)] = 128
    """Chords between the starts of two windows of a piece."""
    drop_remainder: bool = False
    """Leave out chords that fill no whole window at a piece's end, as the book does."""
    count_first_note: bool = True
    """Learn to predict each window's first note too; the book's model cannot."""
    transpose: Annotated[int, Ge(0), Le(12)] = 0
    """Train on transpositions too, by at most so many semitones, within the voices' ranges."""

    @model_validator(mode="after")
    def _windows_begin_at_bar_lines(self) -> Self:
        # So that a chord's place in its window tells the model its place in the bar.
        if self.window_shift % BAR:
            raise ValueError(
                f"window_shift must be a multiple of {BAR}: windows begin at bar lines"
            )
        if self.window_shift > self.window_chords:
            raise ValueError("window_shift is greater than window_chords: chords would be left out")
        return self


def notebook() -> ChoraleConfig:
    """The book's model, to the letter.

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
    """What we recommend: LSTMs over chords, heads for each voice, echoes, transpositions."""
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
