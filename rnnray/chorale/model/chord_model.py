"""The recommended composer: LSTMs over chords, and a head for each voice.

It uses Keras alone, so that it also runs on Keras's other backends. In the order S A T B, each note
is predicted from all notes before it, so the sum of its losses is an honest joint likelihood.

The inputs of each chord are:

- the chord before, and the time for which each of its notes has been held;
- the position in the bar;
- the echoes (`rnnray.chorale.model.echoes`);
- with `edges`, the number of chords left and the pitch classes sung so far.

The sum of their embeddings goes into the LSTMs and, past them, into the heads. With `pairs`
(`rnnray.chorale.model.voice_pairs`), the heads see the intervals between the voices too. The LSTMs
take a step every `stride` chords: at an odd sixteenth only one note in a hundred changes, so little
is lost and half of the time is saved.
"""

from typing import Any

import keras
from keras import layers, ops

from rnnray.chorale.chorale_config import BAR, ChoraleModelConfig
from rnnray.chorale.chords import VOICES
from rnnray.chorale.harmony import CLASSES
from rnnray.chorale.model import echoes
from rnnray.chorale.model.key import Key, counted
from rnnray.chorale.model.voice_pairs import VoicePairs
from rnnray.chorale.tokens import NONE, TOKENS

_V = len(VOICES)
_START = TOKENS  # token of the notes before the first chord
_MOST_HELD = 32  # sixteenths; notes held longer count as this
_MOST_LEFT = 64  # chords; if more are left, this many count
_PHASES = 32  # chords left also count modulo two bars: phrases, from the end, are as long
_UNKNOWN = -(1 << 20)  # unknown number of chords left; counting down leaves it far below 0
# Rows of the table of edges: chords left, their phase, beginning of the piece, unknown.
_PHASE, _BEGINS = _MOST_LEFT + 1, _MOST_LEFT + 1 + _PHASES
_UNTOLD = _BEGINS + 1


@keras.saving.register_keras_serializable("rnnray")
class ChordComposer(keras.Model):  # type: ignore[misc]
    """LSTMs over chords and a head for each voice; see the module.

    Call: tokens int [batch, 4n], S A T B of each chord, from a bar line on, -1 for padding at the
    end -> logits float32 [batch, 4n, 47] of each token, given those before it. With `edges` a row
    is a whole piece, unless two more numbers follow the tokens, int [batch, 4n + 2]: whether the
    piece begins here, 1 or 0, and the number of its later chords, -1 for unknown.
    """

    def __init__(self, options: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.options = options
        config = ChoraleModelConfig.model_validate(options)
        self.width, self.head_units = config.embedding, config.head_units
        self.reach, self.stride = config.reach, config.stride
        self.pairs: Any = None
        self.edges: Any = None
        kinds = len(echoes.MATCHED_VOICES)
        # One table for all voices, and for both kinds of echoes; see `_embed`.
        self.notes = layers.Embedding(_V * (TOKENS + 1), self.width)
        self.held = layers.Embedding(_V * (_MOST_HELD + 1), self.width)
        # Of the bar position; files of weights have it under this name.
        self.place = layers.Embedding(BAR, self.width)
        self.echoed = layers.Embedding(kinds * _V * TOKENS, self.width)
        self.level = layers.Embedding(kinds * echoes.LEVELS, self.width)
        self.embedding_dropout = layers.Dropout(config.embedding_dropout)
        self.lstms = [
            layers.LSTM(config.lstm_units, return_sequences=True) for _ in range(config.lstm_layers)
        ]
        self.dropouts = [layers.Dropout(config.dropout) for _ in self.lstms]
        self.hidden = layers.Dense(_V * self.head_units)
        self.above = layers.Embedding(_V * _V * TOKENS, self.head_units)
        self.head_dropout = layers.Dropout(config.head_dropout)
        if config.pairs:
            self.pairs = VoicePairs(self.width, self.head_units)
        if config.edges:
            self.edges = layers.Embedding(_UNTOLD + 1, self.width)
            self.key = Key(self.width, self.head_units)
        # In float32 whatever the precision of the rest: softmax loses digits in 16 bits.
        self.notes_out = [layers.Dense(TOKENS, dtype="float32") for _ in range(_V)]
        self.intervals = [
            layers.Dense(2 * TOKENS - 1, kernel_initializer="zeros", dtype="float32")
            for _ in range(_V)
        ]
        self.copies = [
            layers.Dense(1 + kinds, kernel_initializer="zeros", dtype="float32") for _ in range(_V)
        ]

    def build(self, input_shape: Any = None) -> None:
        """Make the weights; they do not depend on the input's shape."""
        for table in (self.notes, self.held, self.place, self.echoed, self.level, self.above):
            table.build((None,))
        width = self.width * self.stride
        for lstm in self.lstms:
            lstm.build((None, None, width))
            width = lstm.units
        self.hidden.build((None, None, width + self.width))
        for layer in (*self.notes_out, *self.intervals, *self.copies):
            layer.build((None, None, self.head_units))
        if self.pairs:
            self.pairs.build()
        if self.edges:
            self.edges.build((None,))
            self.key.build()
        self.built = True

    def call(self, tokens: Any, training: bool = False) -> Any:
        """Return logits for tokens; see the class."""
        count = tokens.shape[1] // _V
        tokens = ops.cast(tokens, "int32")
        padded = ops.reshape(tokens[:, : count * _V], (-1, count, _V))
        chords = ops.maximum(padded, 0)
        before = ops.pad(chords, [[0, 0], [1, 0], [0, 0]], constant_values=_START)[:, :-1]
        found, counts = echoes.find(padded, self.reach), None
        bar_position = ops.arange(count)[None] % BAR
        embedded = self._embed(before, _held(chords), bar_position, found)
        if self.edges:
            embedded = embedded + self._embed_edges(*_edges(padded, tokens[:, count * _V :]))
            counts = ops.cumsum(counted(chords), axis=1)
            counts = ops.pad(counts, [[0, 0], [1, 0], [0, 0]])[:, :-1]
            embedded = embedded + self.key.embed(counts)
        embedded = self.embedding_dropout(embedded, training=training)
        steps = -(-count // self.stride)
        x = ops.pad(embedded, [[0, 0], [self.stride - 1, steps * self.stride - count], [0, 0]])
        x = ops.reshape(x[:, : steps * self.stride], (-1, steps, self.stride * self.width))
        for lstm, dropout in zip(self.lstms, self.dropouts, strict=True):
            x = dropout(lstm(x, training=training), training=training)
        x = ops.repeat(x, self.stride, axis=1)[:, :count]
        hidden = self._hidden(x, embedded, before)
        logits = [
            self._head(voice, hidden, chords, before, found, counts, training=training)
            for voice in range(_V)
        ]
        return ops.reshape(ops.stack(logits, axis=2), (-1, count * _V, TOKENS))

    def initial_state(
        self, batch: int, bar_position: Any = 0, length: Any = NONE
    ) -> tuple[Any, Any]:
        """Return the first logits and state; see `architectures.Composer.initial_state`."""
        state = {
            "time": ops.cast(bar_position, "int32"),
            "chord": ops.full((batch, _V), _START, "int32"),
            "held": ops.zeros((batch, _V), "int32"),
            "heard": echoes.initial_state(batch, self.reach),
            "recent": ops.zeros((batch, (self.stride - 1) * self.width), self.compute_dtype),
            "lstms": [lstm.get_initial_state(batch) for lstm in self.lstms],
        }
        if self.edges:
            length = ops.broadcast_to(ops.cast(length, "int32"), (batch,))
            state["left"] = ops.where(ops.equal(length, NONE), _UNKNOWN, length)
            state["counts"] = ops.zeros((batch, CLASSES), "float32")
        none = [
            (ops.zeros((batch, _V), "int32"), ops.zeros((batch,), "int32"))
            for _ in echoes.MATCHED_VOICES
        ]
        return self._first_voice(state, none, begins=True)

    def step(self, state: Any, notes: Any, voice: int) -> tuple[Any, Any]:
        """Return the next logits and state; see `architectures.Composer.step`."""
        chord = ops.where(ops.arange(_V) == voice, notes[:, None], state["chord"])
        state = {**state, "chord": chord}
        if voice < _V - 1:
            known = (chord, state["before"], state["found"], state.get("counts"))
            return self._head(voice + 1, state["hidden"], *known, training=False), state
        held = ops.where(ops.equal(chord, state["before"]), state["held"] + 1, 1)
        found, heard = echoes.step(state["heard"], chord, state["time"], self.reach)
        state |= {
            "time": state["time"] + 1,
            "held": ops.minimum(held, _MOST_HELD),
            "heard": heard,
        }
        if self.edges:
            state["left"] = state["left"] - 1
            state["counts"] = state["counts"] + counted(chord)
        return self._first_voice(state, found)

    def _first_voice(
        self, state: dict[str, Any], found: Any, *, begins: bool = False
    ) -> tuple[Any, Any]:
        """Return the soprano's logits of the next chord, and the state with its heads' inputs."""
        time, before = state["time"], state["chord"]
        embedded = self._embed(before, state["held"], time % BAR, found)
        if self.edges:
            embedded = embedded + self._embed_edges(state["left"], int(begins))
            embedded = embedded + self.key.embed(state["counts"])
        recent = ops.concatenate([state["recent"], embedded], axis=-1)

        def run() -> Any:
            x, states = recent, []
            for lstm, old in zip(self.lstms, state["lstms"], strict=True):
                x, new = lstm.cell(x, old, training=False)
                states.append(new)
            return states

        lstms = ops.cond(ops.equal(time % self.stride, 0), run, lambda: state["lstms"])
        hidden = self._hidden(lstms[-1][0], embedded, before)
        state = {
            **state,
            "lstms": lstms,
            "recent": recent[:, self.width :],
            "hidden": hidden,
            "before": before,
            "found": found,
        }
        known = (before, before, found, state.get("counts"))
        return self._head(0, hidden, *known, training=False), state

    def _embed(self, before: Any, held: Any, bar_position: Any, found: Any) -> Any:
        """Embed the inputs of a chord: [..., 4], [..., 4], [...], echoes -> [..., embedding]."""
        voices = ops.arange(_V)
        x = ops.sum(self.notes(before + (TOKENS + 1) * voices), axis=-2)
        x = x + ops.sum(self.held(held + (_MOST_HELD + 1) * voices), axis=-2)
        x = x + self.place(bar_position)
        for kind, (echo, level) in enumerate(found):
            y = ops.sum(self.echoed(echo + TOKENS * (voices + _V * kind)), axis=-2)
            y = y + self.level(level + echoes.LEVELS * kind)
            x = x + y * ops.cast(level > 0, y.dtype)[..., None]
        return x

    def _embed_edges(self, left: Any, begins: Any) -> Any:
        """Embed the chords left, int [...], and whether the piece begins -> [..., embedding]."""
        known = left > _UNKNOWN // 2
        x = self.edges(ops.where(known, ops.clip(left, 0, _MOST_LEFT), _UNTOLD))
        x = x + self.edges(ops.where(known, _PHASE + left % _PHASES, _UNTOLD))
        first = self.edges(ops.full_like(left, _BEGINS))
        return x + first * ops.cast(begins, first.dtype)[..., None]

    def _hidden(self, state: Any, embedded: Any, before: Any) -> Any:
        """Return the heads' hidden layer without the voices above: [..., voices, head_units].

        The LSTMs do not see the intervals in the chord before. Intervals are the same in all keys,
        so the LSTMs would learn the few pieces by heart, which transposition prevents.
        """
        if self.pairs:
            embedded = embedded + self.pairs.embed(before)
        x = self.hidden(ops.concatenate([state, embedded], axis=-1))
        return ops.reshape(x, (-1, *x.shape[1:-1], _V, self.head_units))

    def _head(
        self,
        voice: int,
        hidden: Any,
        chord: Any,
        before: Any,
        found: Any,
        counts: Any,
        *,
        training: bool,
    ) -> Any:
        """Return the logits [..., 47] of a voice of a chord, given the voices above.

        They are a sum of logits: of each note; of each interval from the voice's last note, the
        same in all keys; of repeating that note or an echo's; and, if present, of pairs and key.
        """
        x = hidden[..., voice, :]
        for other in range(voice):
            x = x + self.above(chord[..., other] + TOKENS * (other + _V * voice))
        if self.pairs and voice:
            x = x + self.pairs.hear(voice, chord, before)
        x = self.head_dropout(ops.relu(x), training=training)
        last = before[..., voice, None]
        known = ops.cast(ops.not_equal(last, _START), "float32")
        interval = ops.clip(ops.arange(TOKENS) - last, 1 - TOKENS, TOKENS - 1) + TOKENS - 1
        logits = self.notes_out[voice](x)
        logits = logits + known * ops.take_along_axis(self.intervals[voice](x), interval, axis=-1)
        if self.pairs and voice:
            logits = logits + self.pairs.logits(voice, x, chord, before)
        if self.edges:
            logits = logits + self.key.logits(voice, x, counts)
        copies = self.copies[voice](x)
        logits = logits + copies[..., :1] * ops.one_hot(last[..., 0], TOKENS)
        for kind, (echo, level) in enumerate(found, 1):
            there = ops.cast(level > 0, "float32")[..., None]
            note = ops.one_hot(echo[..., voice], TOKENS)
            logits = logits + copies[..., kind : kind + 1] * there * note
        return logits

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "options": self.options}


def _edges(padded: Any, told: Any) -> tuple[Any, Any]:
    """Return the chords left, from the next one on, and whether the piece begins: [batch, n].

    Args:
        padded: int32 [batch, n, 4], -1 after a piece's end.
        told: int32 [batch, 2] for parts of pieces, [batch, 0] for whole ones; see `ChordComposer`.
    """
    count = padded.shape[1]
    numbers = ops.arange(count)
    there = ops.sum(ops.cast(ops.not_equal(padded[..., 0], NONE), "int32"), axis=1)
    first = ops.cast(numbers[None] == 0, "int32")
    if told.shape[1]:
        after = told[:, 1]
        there = ops.where(ops.equal(after, NONE), _UNKNOWN, there + after)
        first = first * told[:, :1]
    return there[:, None] - numbers, first


def _held(chords: Any) -> Any:
    """Return the sixteenths, at most 32, that each note before was held: [..., n, 4]."""
    count = chords.shape[1]
    number = ops.arange(count)[None, :, None]
    changed = ops.not_equal(chords[:, 1:], chords[:, :-1])
    onset = ops.pad(ops.where(changed, number[:, 1:], 0), [[0, 0], [1, 0], [0, 0]])
    distance = 1  # each turn takes the largest onset of twice as many chords
    while distance < count:
        earlier = ops.pad(onset, [[0, 0], [distance, 0], [0, 0]])[:, :count]
        onset, distance = ops.maximum(onset, earlier), 2 * distance
    held = ops.minimum(number - onset + 1, _MOST_HELD)
    return ops.pad(held, [[0, 0], [1, 0], [0, 0]])[:, :-1]
