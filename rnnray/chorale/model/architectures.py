"""The interface of all composers, and the construction of the one that a configuration names."""

from typing import Any, Protocol

import keras

from rnnray.chorale.chorale_config import ChoraleModelConfig
from rnnray.chorale.model.chord_model import ChordComposer
from rnnray.chorale.model.note_model import NoteComposer


class Composer(Protocol):
    """Interface of a model for the sampler; both of ours are also Keras models."""

    def __call__(self, tokens: Any, training: bool = False) -> Any:
        """Return each token's logits given those before: [batch, 4n] -> float32 [batch, 4n, 47]."""
        ...

    def initial_state(self, batch: int, bar_position: Any = 0, length: Any = -1) -> tuple[Any, Any]:
        """Return the logits float32 [batch, 47] of each piece's first note, and the first state.

        The state is a nest of tensors whose shapes never change: scalars, and tensors whose first
        axis is the batch.

        Args:
            batch: number of pieces.
            bar_position: sixteenths from the last bar line to the pieces' beginning, int scalar.
            length: number of chords, int scalar or [batch]; -1 if unknown.
        """
        ...

    def step(self, state: Any, notes: Any, voice: int) -> tuple[Any, Any]:
        """Return the logits float32 [batch, 47] of the next notes, and the state before them.

        Args:
            state: state before the notes.
            notes: tokens int32 [batch].
            voice: voice of the notes, 0 to 3.
        """
        ...


def build(config: ChoraleModelConfig) -> keras.Model:
    """Return a new composer with fresh weights."""
    kind = ChordComposer if config.architecture == "chords" else NoteComposer
    model = kind(config.model_dump(mode="json"), name="composer")
    model.build()
    return model
