"""The composers: which one a configuration names, and what every one of them offers."""

from typing import Any, Protocol

import keras

from rnnray.chorale.chorale_config import ChoraleModelConfig
from rnnray.chorale.model.chord_model import ChordComposer
from rnnray.chorale.model.note_model import NoteComposer


class Composer(Protocol):
    """What the sampler knows of a model; both of ours are Keras models besides."""

    def __call__(self, tokens: Any, training: bool = False) -> Any:
        """Tokens int [batch, 4n] -> logits float32 [batch, 4n, 47], of each given those before."""
        ...

    def initial_state(self, batch: int, bar_position: Any = 0, length: Any = -1) -> tuple[Any, Any]:
        """Logits float32 [batch, 47] of the first note of each piece, and the state before it.

        The pieces begin `bar_position` sixteenths (int scalar) after a bar line, and have `length`
        chords (int, scalar or [batch]; -1 for unknown).
        The state is a nest of tensors whose shapes never change.
        """
        ...

    def step(self, state: Any, notes: Any, voice: int) -> tuple[Any, Any]:
        """Take the notes int32 [batch] of a voice (0 to 3): logits of the next, and the state."""
        ...


def build(config: ChoraleModelConfig) -> keras.Model:
    """A new composer with fresh weights."""
    kind = ChordComposer if config.architecture == "chords" else NoteComposer
    model = kind(config.model_dump(mode="json"), name="composer")
    model.build()
    return model
