"""The composer as a task of the training loop."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rnnray.chorale import tokens
from rnnray.chorale.chorale_config import ChoraleConfig
from rnnray.chorale.chords import VOICE_COUNT, Chords
from rnnray.chorale.data.corpus_statistics import STATISTICS_FILE
from rnnray.chorale.tokens import NONE, Tokens
from rnnray.training import model_card, task_files
from rnnray.training.model_card import ModelCard
from rnnray.training.task import Task, rivals

if TYPE_CHECKING:
    import keras

# One window in this many does not say how many chords follow, so that the model also learns to
# compose pieces of unknown length.
_UNTOLD = 8


@dataclass(frozen=True)
class ChoraleTask(Task):
    """Predict each note from all notes before it.

    Rows are windows or whole pieces (`training_rows`, `whole_pieces`). Their columns are `tokens`
    and `targets`, which are the same tokens, or -1 for notes that do not count. Windows for a model
    with `edges` have a column `edges` too: whether the piece begins with the window, and the number
    of chords after it (-1 if unknown).
    """

    config: ChoraleConfig
    statistics: str = ""
    """Statistics of the corpus, from `rnnray.chorale.data.corpus_statistics.to_json`; empty if
    unknown.
    """

    row_unit: ClassVar[str] = "windows"
    unit: ClassVar[str] = "notes"
    metric_names: ClassVar[tuple[str, ...]] = ("accuracy",)
    shares: ClassVar[tuple[str, ...]] = metric_names
    score: ClassVar[tuple[str, Literal["max", "min"]]] = ("validation_loss", "min")
    evaluation_rows: ClassVar[int] = 16
    unrolls: ClassVar[bool] = False

    def build_model(self, *, unroll: bool) -> "keras.Model":
        """Return a new composer; `unroll` is ignored, because its sequences are too long."""
        from rnnray.chorale.model import architectures  # noqa: PLC0415  (imports Keras)

        del unroll
        return architectures.build(self.config.model)

    def batch(
        self, rows: pa.Table
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Return tokens and targets int32 [rows, notes], and each row's number of counted notes.

        The edges of a window are two more numbers after its tokens.
        """
        targets = _matrix(rows, "targets").astype(np.int32)
        names = [name for name in ("tokens", "edges") if name in rows.column_names]
        inputs = np.concatenate([_matrix(rows, name) for name in names], axis=1, dtype=np.int32)
        return inputs, targets, (targets != NONE).sum(1).astype(np.float32)

    def row_losses(self, targets: Any, logits: Any) -> Any:
        """Return the mean cross-entropy of each row's counted notes, nats: [rows]."""
        import keras  # noqa: PLC0415
        from keras import ops  # noqa: PLC0415

        losses = keras.losses.sparse_categorical_crossentropy(
            ops.maximum(targets, 0), logits, from_logits=True
        )
        return _row_means(losses, targets)

    def row_metrics(self, targets: Any, logits: Any) -> Any:
        """Return the share of each row's counted notes that `right_notes` accepts: [rows, 1]."""
        return _row_means(right_notes(targets, logits), targets)[:, None]

    def checkpoint_files(self) -> Mapping[str, str]:
        """Return the configuration, the statistics of the corpus, and the model card."""
        statistics = {STATISTICS_FILE: self.statistics} if self.statistics else {}
        return task_files.files_of(self.config, self._card()) | statistics

    def _card(self) -> ModelCard:
        return ModelCard(
            title="Composer of chorales",
            does=(
                "Takes the notes of a four-part chorale so far, in sixteenths, soprano first, and "
                "gives a probability for each pitch of the next one. Sampled note by note, it "
                "composes new chorales, or continues or harmonises given ones."
            ),
            data=(
                f"Chorales of {model_card.code(self.config.data)}. "
                f"{model_card.split_text(self.config.split)} Validation selects the checkpoint; "
                "test chorales are not seen in training."
            ),
            licence=(
                "The music of J. S. Bach is in the public domain. Files that carry it, and other "
                "music, have the licence of whoever made them."
            ),
            not_for=(
                "Passing off what it composes as Bach's or as a person's own. Music of other forms "
                "than four-part chorales: it knows no words, no dynamics, no instruments. What it "
                "composes can repeat phrases of the chorales that it was trained on."
            ),
        )


def right_notes(targets: Any, logits: Any) -> Any:
    """Return 1 for each note that is the most probable one, 0 for others and missing targets.

    A note as probable as the right one counts as more probable, so ties and NaN never help.

    Args:
        targets: int [rows, notes], -1 for notes that do not count.
        logits: float [rows, notes, tokens].

    Returns:
        float32 [rows, notes].
    """
    from keras import ops  # noqa: PLC0415

    before = rivals(ops.maximum(targets, 0), logits)
    return ops.cast(ops.logical_and(before < 1, ops.not_equal(targets, NONE)), "float32")


def _row_means(values: Any, targets: Any) -> Any:
    from keras import ops  # noqa: PLC0415

    counted = ops.cast(ops.not_equal(targets, NONE), values.dtype)
    return ops.sum(values * counted, axis=1) / ops.maximum(ops.sum(counted, axis=1), 1)


def training_rows(config: ChoraleConfig, chorales: Sequence[Chords]) -> pa.Table:
    """Return the windows of all pieces, in all transpositions of the configuration.

    Raises:
        ValueError: there are no pieces.
    """
    ranges = tokens.voice_ranges(chorales)
    rows: list[Tokens] = []
    edges: list[tuple[int, int]] = []
    for chords in chorales:
        for moved in tokens.transpositions(chords, ranges, config.transpose):
            windows = tokens.windows(
                tokens.to_tokens(moved),
                config.window_chords,
                config.window_shift,
                drop_remainder=config.drop_remainder,
            )
            for number, window in enumerate(windows):
                end = number * config.window_shift + config.window_chords
                untold = len(rows) % _UNTOLD == 0
                edges.append((number == 0, NONE if untold else max(0, len(chords) - end)))
                rows.append(window)
    table = _table(rows, config.window_chords, first_note=config.count_first_note)
    if config.model.edges:
        table = table.append_column("edges", _fixed(np.array(edges, np.int32).reshape(-1, 2)))
    return table


def whole_pieces(chorales: Sequence[Chords]) -> pa.Table:
    """Return each piece as a row, filled up with -1 to the length of the longest."""
    longest = max(map(len, chorales))
    rows = []
    for chords in chorales:
        row = np.full(longest * VOICE_COUNT, NONE, np.int8)
        row[: chords.size] = tokens.to_tokens(chords)
        rows.append(row)
    return _table(rows, longest, first_note=True)


def _table(rows: Sequence[Tokens], chords: int, *, first_note: bool) -> pa.Table:
    inputs = np.stack(rows) if rows else np.zeros((0, chords * VOICE_COUNT), np.int8)
    targets = inputs.copy()
    if not first_note:
        targets[:, 0] = NONE
    return pa.table({"tokens": _fixed(inputs), "targets": _fixed(targets)})


def _fixed(matrix: npt.NDArray[Any]) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(matrix.reshape(-1), matrix.shape[1])


def _matrix(rows: pa.Table, name: str) -> npt.NDArray[Any]:
    column = rows[name].combine_chunks()
    values: npt.NDArray[Any] = column.flatten().to_numpy()
    return values.reshape(len(rows), column.type.list_size)
