"""The composer's task for the training loop: windows, notes that count, and their losses."""

import numpy as np
import pyarrow as pa
import pytest
import yaml
from composers import chorales, log_softmax, small_config
from lazily import Lazily, keras, tf

from rnnray.chorale.chorale_config import PRESETS, ChoraleConfig, notebook, strong
from rnnray.chorale.chorale_task import ChoraleTask, training_rows, whole_pieces
from rnnray.chorale.tokens import to_tokens

model = Lazily("rnnray.chorale.model.architectures")

TASK = ChoraleTask(notebook())


def column(rows: pa.Table, name: str) -> np.ndarray:
    return np.array(rows[name].to_pylist())


def test_loss_and_accuracy_are_means_over_a_row_s_counted_notes() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 47, (4, 12)).astype(np.int32)
    targets[0, 0] = targets[1, 7:] = targets[2, 1:] = -1
    targets[3] = -1  # nothing counts
    logits = rng.normal(0, 3, (4, 12, 47)).astype(np.float32)
    logits[0, 5, targets[0, 5]] = logits[1, 0, targets[1, 0]] = 20
    losses, rights = [], []
    for row, own in zip(targets[:3], log_softmax(logits), strict=False):
        counted = [position for position in range(12) if row[position] >= 0]
        losses.append(np.mean([-own[position, row[position]] for position in counted]))
        rights.append(np.mean([own[position].argmax() == row[position] for position in counted]))
    ours = keras.ops.convert_to_numpy(TASK.row_losses(targets, logits))
    np.testing.assert_allclose(ours, [*losses, 0], rtol=1e-5)
    metrics = keras.ops.convert_to_numpy(TASK.row_metrics(targets, logits))
    np.testing.assert_allclose(metrics, np.array([*rights, 0])[:, None], rtol=1e-6)
    assert 0 < rights[0] < 1


@pytest.mark.parametrize("xla", [False, True])
def test_a_note_that_is_no_likelier_than_others_is_not_right_and_nan_never_is(xla: bool) -> None:
    logits = np.zeros((1, 5, 47), np.float32)  # of which all, one, one, two, no note is likeliest
    logits[0, 1, 0] = logits[0, 2, 7] = logits[0, 3, :2] = 1
    logits[0, 4] = np.nan
    step = tf.function(TASK.row_metrics, jit_compile=xla)
    metrics = step(tf.zeros((1, 5), tf.int32), tf.constant(logits)).numpy()
    assert metrics.tolist() == [[pytest.approx(1 / 5)]]


def test_a_batch_has_the_rows_tokens_and_weighs_each_row_by_its_counted_notes() -> None:
    rows = whole_pieces(chorales(3, 5, 1))
    for part in (rows, rows.slice(1, 2), pa.concat_tables([rows.slice(2), rows.slice(0, 2)])):
        inputs, targets, weights = TASK.batch(part)
        assert (inputs.dtype, targets.dtype, weights.dtype) == (np.int32, np.int32, np.float32)
        np.testing.assert_array_equal(inputs, column(part, "tokens"))
        np.testing.assert_array_equal(targets, column(part, "targets"))
        np.testing.assert_array_equal(weights, (column(part, "targets") >= 0).sum(1))


def test_the_book_trains_on_whole_windows_without_their_first_note() -> None:
    pieces = chorales(32, 33, 70)
    rows = training_rows(notebook(), pieces)
    starts = [(1, 0), (2, 0), (2, 16), (2, 32)]
    expected = np.stack([to_tokens(pieces[i][start : start + 33]) for i, start in starts])
    np.testing.assert_array_equal(column(rows, "tokens"), expected)
    targets = column(rows, "targets")
    assert (targets[:, 0] == -1).all()
    np.testing.assert_array_equal(targets[:, 1:], expected[:, 1:])


def test_strong_trains_on_every_note_in_every_key_that_can_be_sung() -> None:
    low = np.full((130, 4), 60, np.int16)
    high = np.full((10, 4), 63, np.int16)
    rows = training_rows(strong(), [low, high])
    tokens = column(rows, "tokens")
    np.testing.assert_array_equal(tokens, column(rows, "targets"))
    # Four keys each, from 60 to 63; the long piece in two windows, from 0 and from 64 on.
    assert [(row[0], (row >= 0).sum()) for row in tokens] == [
        *[(pitch, 4 * count) for pitch in (25, 26, 27, 28) for count in (128, 66)],
        *[(pitch, 4 * 10) for pitch in (25, 26, 27, 28)],
    ]
    assert all((row[row >= 0] == row[0]).all() for row in tokens)
    assert (tokens[1, 4 * 66 :] == -1).all()
    # Whether a piece begins there, and the chords that follow, which every eighth window lacks.
    expected = [[1, -1], [0, 0], *[[1, 2], [0, 0]] * 3, [1, -1], *[[1, 0]] * 3]
    assert column(rows, "edges").tolist() == expected
    inputs, targets, _ = ChoraleTask(strong()).batch(rows.slice(1, 2))
    assert inputs[:, 512:].tolist() == [[0, 0], [1, 2]]
    np.testing.assert_array_equal(inputs[:, :512], targets)


def test_only_a_model_that_knows_edges_is_told_them() -> None:
    config = strong()
    plain = config.model_copy(update={"model": config.model.model_copy(update={"edges": False})})
    assert "edges" not in training_rows(plain, chorales(70)).column_names
    assert "edges" not in training_rows(notebook(), chorales(70)).column_names


def test_pieces_shorter_than_a_window_leave_the_book_s_training_empty() -> None:
    rows = training_rows(notebook(), chorales(32, 5))
    assert len(rows) == 0
    assert rows["tokens"].type.list_size == 132
    assert TASK.batch(rows)[0].shape == (0, 132)


def test_whole_pieces_are_filled_up_to_the_longest_and_count_every_note() -> None:
    pieces = chorales(3, 40, 17)
    rows = whole_pieces(pieces)
    for piece, row in zip(pieces, column(rows, "tokens"), strict=True):
        assert row[: piece.size].tolist() == to_tokens(piece).tolist()
        assert row[piece.size :].tolist() == [-1] * (160 - piece.size)
    assert rows["targets"].equals(rows["tokens"])


@pytest.mark.parametrize("preset", PRESETS)
def test_a_checkpoint_says_what_it_was_trained_with_and_builds_that_model(preset: str) -> None:
    config = small_config(preset, lstm_units=3)
    task = ChoraleTask(config)
    files = task.checkpoint_files()
    assert ChoraleConfig.model_validate(yaml.safe_load(files["config.yaml"])) == config
    composer = task.build_model(unroll=False)
    assert type(composer) is {"notebook": model.NoteComposer, "strong": model.ChordComposer}[preset]
    assert composer.lstms[0].units == 3
