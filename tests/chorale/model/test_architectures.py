"""Both composers are honest (no note sees itself), and `step` gives the logits of `call`."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from composers import SMALL, logits_at_once, logits_of, repetitive, small_composer
from lazily import Lazily, keras, tf

from rnnray.chorale.chorale_config import PRESETS, ChoraleConfig

model = Lazily("rnnray.chorale.model.architectures")

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("notebook", {}),
    ("notebook", {"kernel_size": 3, "dilated_layers": 6, "filters": (9, 10)}),
    ("notebook", {"dilated_layers": 1, "batch_normalization": False, "lstm_layers": 2}),
    ("notebook", {"dilated_layers": 0, "kernel_size": 4}),
    ("strong", {}),
    ("strong", {"stride": 3, "reach": 16, "edges": False}),
    ("strong", {"stride": 1, "lstm_layers": 1, "pairs": False, "edges": False}),
    ("strong", {"stride": 4, "lstm_layers": 3, "pairs": False}),
]


@pytest.fixture(scope="module", params=VARIANTS, ids=str)
def composer(request: pytest.FixtureRequest) -> Any:
    preset, options = request.param
    return small_composer(preset, **options) if options else preset_of(preset)


@cache
def preset_of(preset: str) -> Any:
    """A preset that several tests take, so that its step is compiled once."""
    return small_composer(preset)


@pytest.fixture(scope="module")
def pieces(composer: Any) -> np.ndarray:
    """Two pieces with echoes of all levels, or longer than twice the reach of the convolutions."""
    pieces = np.stack([repetitive(getattr(composer, "reach", 16), seed) for seed in (1, 2)])
    return pieces if hasattr(composer, "reach") else pieces[:, : 4 * 65]


@cache
def compiled_step(composer: Any) -> Any:
    """A chord's four steps."""

    @tf.function(autograph=False)
    def chord(state: Any, notes: Any) -> Any:
        logits = []
        for voice in range(4):
            more, state = composer.step(state, notes[:, voice], voice)
            logits.append(more)
        return tf.stack(logits, axis=1), state

    return chord


def step_by_step(
    composer: Any, tokens: np.ndarray, bar_position: int = 0, length: int | None = None
) -> np.ndarray:
    """The logits [batch, n, 47] of `step`, a note at a time; by default of whole pieces."""
    first, state = composer.initial_state(
        len(tokens), bar_position, tokens.shape[1] // 4 if length is None else length
    )
    chord, result = compiled_step(composer), [np.asarray(first)[:, None]]
    for start in range(0, tokens.shape[1], 4):
        logits, state = chord(state, tf.constant(tokens[:, start : start + 4], tf.int32))
        result.append(logits.numpy())
    return np.concatenate(result, axis=1)[:, :-1]


def test_a_step_at_a_time_gives_the_logits_of_the_full_model(
    composer: Any, pieces: np.ndarray
) -> None:
    at_once = logits_of(composer, pieces)
    np.testing.assert_allclose(step_by_step(composer, pieces), at_once, atol=3e-5)
    assert at_once[:, 1:].std() > 0.3  # there is something to compare


def test_a_piece_that_begins_within_a_bar_hears_its_bar_lines_where_they_are() -> None:
    """It gives the logits of a piece from a bar line on, with rotated embeddings of positions."""
    pieces, within = np.stack([repetitive(16, seed)[: 4 * 40] for seed in (0, 1)]), 12
    composer = preset_of("strong")
    expected = step_by_step(composer, pieces, bar_position=within)
    assert np.abs(expected - step_by_step(composer, pieces)).max() > 0.1
    table = np.array(composer.place.embeddings)
    composer.place.embeddings.assign(np.roll(table, -within, axis=0))
    try:
        np.testing.assert_allclose(step_by_step(composer, pieces), expected, atol=1e-5)
    finally:
        composer.place.embeddings.assign(table)


def test_a_note_changes_nothing_up_to_itself_and_the_next_at_once(
    composer: Any, pieces: np.ndarray
) -> None:
    piece = pieces[0]
    # The first and the last notes, and those around a bar line amid echoes.
    positions = [*range(8), *range(156, 184), len(piece) - 2, len(piece) - 1]
    changed = np.tile(piece, (len(positions), 1))
    for row, position in zip(changed, positions, strict=True):
        row[position] = (row[position] + 5) % 47
    logits = logits_of(composer, np.concatenate([piece[None], changed]))
    for position, row in zip(positions, logits[1:], strict=True):
        np.testing.assert_allclose(row[: position + 1], logits[0, : position + 1], atol=1e-5)
        if position + 1 < len(piece):
            assert np.abs(row[position + 1] - logits[0, position + 1]).max() > 1e-3, position


def test_the_past_is_heard_across_chords(composer: Any, pieces: np.ndarray) -> None:
    """Only LSTMs can: the notes are beyond the book's convolutions, and before the first echo."""
    other = pieces[0].copy()
    other[:4] = (other[:4] + 1) % 47
    logits = logits_of(composer, np.stack([pieces[0], other]))
    assert np.abs(logits[0, 4 * 5 : 4 * 12] - logits[1, 4 * 5 : 4 * 12]).max() > 1e-4


def test_neither_padding_nor_neighbours_change_a_piece(composer: Any, pieces: np.ndarray) -> None:
    first, second = pieces
    count = 4 * 43
    neighbours = np.stack([first, np.full_like(first, -1), first, second])
    neighbours[2, count:] = -1
    rows = logits_of(composer, neighbours)
    np.testing.assert_allclose(rows[0], logits_of(composer, first[None])[0], atol=1e-5)
    np.testing.assert_allclose(rows[3], logits_of(composer, second[None])[0], atol=1e-5)
    # Another length: rounding in a compiled model differs from that in one that is not compiled.
    rows = logits_at_once(composer, neighbours)
    cut = logits_at_once(composer, first[None, :count])[0]
    np.testing.assert_allclose(rows[2, :count], cut, atol=1e-5)
    if not getattr(composer, "edges", None):
        np.testing.assert_allclose(rows[0, :count], cut, atol=1e-5)


def windows_of(composer: Any, piece: np.ndarray, *told: tuple[int, int]) -> np.ndarray:
    """The logits of a piece that is told whether it begins here, and its number of later chords."""
    return logits_at_once(composer, np.array([[*piece, *each] for each in told]))


def test_a_part_of_a_piece_is_told_what_the_whole_piece_shows() -> None:
    composer, piece, count = preset_of("strong"), repetitive(16), 4 * 43
    whole = logits_at_once(composer, piece[None])[0]
    part = windows_of(composer, piece[:count], (1, (len(piece) - count) // 4))[0]
    np.testing.assert_allclose(part, whole[:count], atol=1e-5)
    padded = np.concatenate([piece[:count], np.full(80, -1)])
    told = windows_of(composer, padded, (1, (len(piece) - count) // 4))[0]
    np.testing.assert_allclose(told[:count], part, atol=1e-5)


def test_edges_are_heard_the_beginning_and_how_much_is_left() -> None:
    composer, piece = preset_of("strong"), repetitive(16)[: 4 * 40]
    told = ((1, 320), (0, 320), (1, 0), (1, 640), (1, -1))
    begun, inside, ends, longer, unknown = windows_of(composer, piece, *told)
    assert np.abs(begun - inside)[0].max() > 0.1
    assert np.abs(begun - ends)[-4].max() > 0.1
    # Far from the end, only its distance modulo two bars counts.
    np.testing.assert_allclose(longer, begun, atol=1e-5)
    assert np.abs(unknown - begun)[4:].max() > 0.1
    twice = step_by_step(composer, np.tile(piece, (2, 1)), length=-1)
    np.testing.assert_allclose(twice[0], unknown, atol=3e-5)


@pytest.mark.usefixtures("not_compiled")
def test_intervals_between_voices_are_the_same_in_all_keys() -> None:
    """With only pairs and melodic intervals left, a transposed piece is equally likely."""
    composer = small_composer("strong", lstm_layers=1)
    for table in (composer.notes, composer.above, composer.echoed):
        table.embeddings.assign(np.zeros(table.embeddings.shape))
    composer.key.heard.kernel.assign(np.zeros(composer.key.heard.kernel.shape))
    for layer in composer.notes_out:
        layer.kernel.assign(np.zeros(layer.kernel.shape))
        layer.bias.assign(np.zeros(layer.bias.shape))
    piece = np.random.default_rng(0).integers(15, 30, 4 * 40)
    low, high = logits_of(composer, np.stack([piece, piece + 5]))[:, 4:]
    np.testing.assert_allclose(high[:, 10:40], low[:, 5:35], atol=1e-4)


@pytest.mark.usefixtures("not_compiled")
@pytest.mark.parametrize(("preset", "options"), VARIANTS[1::3])
def test_a_composer_comes_back_from_its_file(
    preset: str, options: dict[str, Any], tmp_path: Path
) -> None:
    composer = small_composer(preset, **options)
    composer.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert loaded is not composer
    assert loaded.options == composer.options
    tokens = repetitive(16)[None, : 4 * 40]
    np.testing.assert_array_equal(logits_of(loaded, tokens), logits_of(composer, tokens))


@pytest.mark.parametrize("preset", PRESETS)
def test_the_seed_alone_decides_fresh_weights(preset: str) -> None:
    fresh = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        config = PRESETS[preset]().model.model_copy(update=SMALL[preset])
        fresh.append(np.concatenate([np.ravel(w) for w in model.build(config).get_weights()]))
    np.testing.assert_array_equal(fresh[0], fresh[1])
    assert not np.array_equal(fresh[0], fresh[2])


def test_notebook_s_layers_are_the_book_s() -> None:
    """Their probabilities are, too: see tests/benchmarks/test_chorale_book.py."""
    composer = model.build(PRESETS["notebook"]().model)
    assert (composer.embedding.input_dim, composer.embedding.output_dim) == (47, 5)
    assert [
        (c.filters, c.kernel_size, c.dilation_rate, c.strides, c.padding, c.activation.__name__)
        for c in composer.convolutions
    ] == [
        (filters, (2,), (dilation,), (1,), "causal", "relu")
        for filters, dilation in ((32, 1), (48, 2), (64, 4), (96, 8))
    ]
    assert [type(n) for n in composer.normalizations] == [keras.layers.BatchNormalization] * 4
    assert [(n.momentum, n.epsilon) for n in composer.normalizations] == [(0.99, 1e-3)] * 4
    assert [type(lstm) for lstm in composer.lstms] == [keras.layers.LSTM]
    assert [lstm.units for lstm in composer.lstms] == [256]
    assert composer.dropout.rate == 0
    assert composer.logits.units == 47
    assert composer.count_params() == 396_810


@pytest.mark.parametrize(
    ("values", "layers"),
    [
        ({"dilated_layers": 6, "filters": (3, 4)}, [3, 4, 4, 4, 4, 4]),
        ({"dilated_layers": 2, "filters": (3, 4, 5)}, [3, 4]),
        ({"dilated_layers": 0}, []),
    ],
)
def test_a_sweep_s_filters_reach_the_convolutions(
    values: dict[str, Any], layers: list[int]
) -> None:
    config = ChoraleConfig.model_validate({"model": {"architecture": "notes", **values}}).model
    composer = model.build(config)
    assert [c.filters for c in composer.convolutions] == layers
    assert [c.dilation_rate for c in composer.convolutions] == [
        (2**number,) for number in range(len(layers))
    ]
