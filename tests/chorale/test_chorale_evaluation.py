"""A composer is judged on every note once, in any batch."""

import re
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from composers import chorales, log_softmax, logits_at_once, repetitive, save_checkpoint
from lazily import tf
from observed import refused

from rnnray.chorale.chorale_config import PRESETS, notebook
from rnnray.chorale.chorale_evaluation import evaluate
from rnnray.chorale.chorale_task import ChoraleTask
from rnnray.chorale.composer import TrainedComposer
from rnnray.chorale.critique import critique
from rnnray.chorale.harmonising import harmonise
from rnnray.chorale.request import Request
from rnnray.chorale.tokens import to_chords, to_tokens
from rnnray.training import checkpoints
from rnnray.training.checkpoints import Position


class OneSampler(TrainedComposer):
    """A composer that compiles a sampler once for all who ask for the same."""

    @cache  # noqa: B019  (as long as the tests of a module)
    def sampler(self, **options: Any) -> Any:
        return super().sampler(**options)


@pytest.fixture(scope="module", params=PRESETS)
def composer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("checkpoints") / request.param
    return OneSampler(save_checkpoint(folder, request.param))


@pytest.fixture
def judging_at_once(composer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judges without compiling, where that takes longer; samplers are compiled."""
    if composer.config.model.architecture == "chords":
        monkeypatch.setattr(composer, "_logits", partial(composer.model, training=False))


def judged(composer: Any, pieces: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """What each note of each piece, int [4n], costs the full model, and whether it is right."""
    result: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for length in {len(piece) for piece in pieces}:
        indices = [index for index, piece in enumerate(pieces) if len(piece) == length]
        rows = np.stack([pieces[index] for index in indices])
        for index, row, logits in zip(indices, rows, logits_at_once(composer, rows), strict=True):
            nats = -log_softmax(logits)[np.arange(length), row]
            result[index] = nats, logits.argmax(-1) == row
    return [result[index] for index in range(len(pieces))]


@pytest.mark.usefixtures("judging_at_once")
def test_whole_pieces_count_every_note_once_and_padding_never(composer: Any) -> None:
    # Two lengths, so that few graphs are compiled; more pieces than fit into a batch.
    pieces = [*chorales(*[5] * 17), to_chords(repetitive(16)), *chorales(33, seed=9)]
    pieces[17] = pieces[17][:33]
    result = evaluate(composer, pieces)
    tokens = [to_tokens(piece) for piece in pieces]
    costs, rights = zip(*judged(composer.model, tokens), strict=True)
    nats, right = np.concatenate(costs), np.concatenate(rights)
    # To the book's model all first notes are equally likely, and a tie is not right.
    right[np.cumsum([0, *map(len, tokens[:-1])])] &= composer.config.model.architecture == "chords"
    assert result.notes == nats.size == 4 * (17 * 5 + 33 + 33)
    assert result.nats_per_note == pytest.approx(nats.mean(), rel=1e-5)
    assert result.accuracy == pytest.approx(right.mean(), abs=1e-9)
    assert 0 < result.accuracy < 1
    moves = np.concatenate([np.append([False] * 4, one[4:] != one[:-4]) for one in tokens])
    assert result.moving_accuracy == pytest.approx(right[moves].mean(), abs=1e-9)
    assert result.moving_accuracy != result.accuracy
    alone = evaluate(composer, pieces[16:18])
    assert alone.notes == 4 * 38
    expected = np.concatenate(costs[16:18])
    assert alone.nats_per_note == pytest.approx(expected.mean(), rel=1e-5)


@pytest.mark.usefixtures("judging_at_once")
def test_the_book_s_figures_are_those_of_its_windows(composer: Any) -> None:
    pieces = chorales(33, 70, 32, 50)
    starts = [(0, 0), (1, 0), (1, 16), (1, 32), (3, 0), (3, 16)]
    windows = [to_tokens(pieces[i][start : start + 33]) for i, start in starts]
    # A model with edges is told that these windows are not whole pieces.
    told = [0, -1] if composer.config.model.edges else []
    logits = logits_at_once(composer.model, np.array([[*row, *told] for row in windows]))
    own = [
        log_softmax(each)[np.arange(132), row] for each, row in zip(logits, windows, strict=True)
    ]
    nats = -np.concatenate([each[1:] for each in own])
    right = np.concatenate(
        [(each.argmax(-1) == row)[1:] for each, row in zip(logits, windows, strict=True)]
    )
    result = evaluate(composer, pieces)
    assert result.book_loss == pytest.approx(nats.mean(), rel=1e-5)
    assert result.book_accuracy == pytest.approx(right.mean(), abs=1e-9)
    assert result.notes == 4 * 185
    assert set(result.as_dict()) == {
        "nats_per_note", "accuracy", "moving_accuracy", "notes", "book_loss", "book_accuracy",
    }  # fmt: skip


@pytest.mark.usefixtures("judging_at_once")
def test_pieces_too_short_for_the_book_have_no_figure_of_it(composer: Any) -> None:
    result = evaluate(composer, chorales(5, 32))
    assert np.isnan([result.book_loss, result.book_accuracy]).all()
    assert np.isfinite(result.nats_per_note)


@pytest.mark.usefixtures("judging_at_once")
def test_judging_agrees_with_what_the_sampler_says_of_a_given_piece(composer: Any) -> None:
    pieces = np.stack([repetitive(16, seed)[: 4 * 52] for seed in range(3)])
    sampler = composer.sampler(seed=7, particles=1)
    (given,) = sampler.compose([Request(piece) for piece in pieces])
    padded = np.pad(pieces, [[0, 0], [0, 8]], constant_values=-1)
    nats, right = composer.judge(padded)
    assert nats.dtype == np.float32
    np.testing.assert_allclose(nats[:, :-8], [one.nats for one in given], atol=1e-4)
    assert not nats[:, -8:].any()
    assert not right[:, -8:].any()
    total = sum(one.nats.sum(dtype=np.float64) for one in given)
    assert nats.sum(dtype=np.float64) == pytest.approx(total, rel=1e-5)


@pytest.mark.usefixtures("judging_at_once")
def test_a_harmonisation_counts_composed_notes_alone_and_its_nats_are_the_rest_of_the_piece(
    composer: Any,
) -> None:
    pieces = chorales(9, 12, seed=4)
    requests = []
    for index, piece in enumerate(pieces):
        given = to_tokens(piece).copy()
        given[3::4] = -1
        requests.append(Request(given, index))
    (composed,) = composer.sampler(seed=7, particles=1).compose(requests)
    pieces = [one.chords for one in composed]
    pieces[1][:6, 3] = np.where(pieces[1][:6, 3] == 60, 62, 60)  # of 9 + 12 notes
    kept = harmonise(composer, pieces, ("soprano", "alto", "tenor"), particles=1, seed=7)
    assert kept.same == pytest.approx(1 - 6 / 21)
    assert kept.real == critique(pieces)
    assert kept.composed.changes != kept.real.changes
    alone = harmonise(composer, pieces, (), particles=1, seed=7)
    assert alone.nats_per_note == pytest.approx(evaluate(composer, pieces).nats_per_note, rel=1e-5)


class Fake(TrainedComposer):
    """A composer with given logits."""

    def __init__(self, logits: np.ndarray) -> None:
        self._logits = lambda _: SimpleNamespace(numpy=lambda: logits)


@pytest.mark.parametrize("seed", range(5))
def test_evaluation_counts_right_notes_as_training_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.choice([0.0, 1.0, 2.0, np.nan], (3, 8, 47), p=[0.6, 0.37, 0.02, 0.01])
    logits = logits.astype(np.float32)
    logits[2, 0], logits[2, 1] = 0, np.nan  # neither ties nor NaN are right
    tokens = np.nan_to_num(logits, nan=9.0).argmax(-1)
    tokens[1, 5:] = -1
    nats, right = Fake(logits).judge(tokens)
    assert nats[2, 0] == pytest.approx(np.log(47))
    assert not right[2, :2].any()
    compiled = tf.function(ChoraleTask(notebook()).row_metrics)
    shares = compiled(tf.constant(tokens), tf.constant(logits)).numpy()[:, 0]
    np.testing.assert_allclose(right.sum(1) / (tokens != -1).sum(1), shares, rtol=1e-6)
    assert right.any()
    assert not right[tokens != -1].all()


def test_a_checkpoint_whose_model_is_damaged_is_refused_in_a_line(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "damaged", "notebook")
    (Path(folder) / "model.keras").write_bytes(b"PK\x03\x04 no archive")
    assert re.match(rf"{folder}.*cannot be loaded", refused(TrainedComposer, folder))
    assert checkpoints.read_position(Path(folder)) == Position()
