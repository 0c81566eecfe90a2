"""Drafts that fit survive in their share, and each chorale is one draft's from beginning to end."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from composers import composed, memoryless, small_composer
from lazily import Lazily, tf

from rnnray.chorale.chords import LOWEST_PITCH
from rnnray.chorale.critique import end_on_tonic
from rnnray.chorale.request import Request
from rnnray.chorale.tokens import to_tokens

drafts = Lazily("rnnray.chorale.particles")
sampling = Lazily("rnnray.chorale.sampler")

NOTES = (10, 20)
FITS = 0.9


def doubling() -> Any:
    """A composer whose bass mostly doubles its soprano, one of two notes; other voices rest."""

    def only(notes: Any) -> Any:
        return tf.math.log(tf.reduce_sum(tf.one_hot(notes, 47), axis=-2) + 1e-9)

    def soprano(batch: int) -> Any:
        return only(tf.tile(tf.constant([NOTES]), [batch, 1]))

    def step(state: Any, notes: Any, voice: int) -> Any:
        if voice == 3:
            return soprano(notes.shape[0]), notes
        if voice == 2:
            share = FITS * tf.one_hot(state, 47)
            other = (1 - FITS) * tf.one_hot(sum(NOTES) - state, 47)
            return tf.math.log(share + other + 1e-9), state
        return only(tf.zeros([notes.shape[0], 1], tf.int32)), notes if voice == 0 else state

    return SimpleNamespace(
        initial_state=lambda batch, *_: (soprano(batch), tf.zeros([batch], tf.int32)), step=step
    )


def with_bass(chords: int, count: int) -> list[Request]:
    rng = np.random.default_rng(0)
    requests = []
    for index in range(count):
        given = np.full((chords, 4), -1, np.int8)
        given[:, 3] = rng.choice(NOTES, chords)
        requests.append(Request(given.reshape(-1), index))
    return requests


@pytest.mark.parametrize(("particles", "share"), [(1, 0.5), (64, FITS)])
def test_upper_voices_fit_a_given_bass_as_often_as_the_composer_says(
    particles: int, share: float
) -> None:
    sampler = sampling.Sampler(doubling(), batch_size=20, seed=1, particles=particles)
    requests = with_bass(20, 60)
    found = composed(sampler, requests)
    notes = np.stack([to_tokens(one.chords).reshape(-1, 4) for one in found])
    given = np.stack([request.given.reshape(-1, 4)[:, 3] for request in requests])
    np.testing.assert_array_equal(notes[:, :, 3], given)
    assert np.isin(notes[:, :, 0], NOTES).all()
    assert (notes[:, :, 0] == given).mean() == pytest.approx(share, abs=0.05)
    # What a chorale's notes cost is its own draft's, not another's.
    fits = np.where(notes[:, :, 0] == given, FITS, 1 - FITS)
    nats = np.stack([one.nats.reshape(-1, 4)[:, 3] for one in found])
    np.testing.assert_allclose(nats, -np.log(fits), atol=1e-5)
    if particles > 1:
        costs = [one.given_nats for one in found]
        assert np.mean(costs) == pytest.approx(20 * np.log(2), abs=0.3)
    else:
        np.testing.assert_allclose([one.given_nats for one in found], nats.sum(1), rtol=1e-5)


@pytest.mark.usefixtures("not_compiled")
def test_a_chorale_with_particles_is_the_same_alone_and_among_others() -> None:
    sampler = sampling.Sampler(small_composer("strong"), batch_size=3, seed=3, particles=5)
    requests = with_bass(4, 3)
    alone = composed(sampler, requests[1:2])[0]
    among = composed(sampler, requests)[1]
    np.testing.assert_array_equal(alone.chords, among.chords)
    np.testing.assert_allclose(alone.nats, among.nats, atol=1e-5)


@pytest.mark.usefixtures("not_compiled")
def test_where_no_note_is_given_particles_weigh_nothing_and_cost_no_nats() -> None:
    sampler = sampling.Sampler(doubling(), batch_size=2, particles=4)
    one = composed(sampler, [Request(np.full(40, -1, np.int8))])[0]
    assert one.given_nats == pytest.approx(0, abs=1e-6)


def test_particles_survive_by_their_weight_where_weights_are_uneven_and_stay_elsewhere() -> None:
    shares = np.array([[0.7, 0.1, 0.1, 0.1], [0.3, 0.3, 0.2, 0.2], [1e-30, 1e-30, 1e-30, 1]])
    weights = np.log(shares).astype(np.float32) + 5
    for uniform in (0.001, 0.3, 0.999):
        survivors, kept, left_out = (
            np.asarray(each)
            for each in drafts.resample(tf.constant(weights), tf.fill([3], np.float32(uniform)))
        )
        assert 2 <= (survivors[0] == 0).sum() <= 3
        assert survivors[1].tolist() == [0, 1, 2, 3]
        assert survivors[2].tolist() == [3] * 4
        assert kept[[0, 2]].tolist() == [[0] * 4] * 2
        np.testing.assert_array_equal(kept[1], weights[1])
        np.testing.assert_allclose(left_out, [5 - np.log(4), 0, 5 - np.log(4)], rtol=1e-5)


def test_the_lines_of_the_survivors_lead_back_to_the_first_chord() -> None:
    ancestors = np.array([[0, 1, 2], [2, 2, 1], [0, 1, 1]], np.int32)
    expected = [[2, 2, 2], [0, 1, 1], [0, 1, 2]]
    assert drafts.lines(ancestors).tolist() == expected


@pytest.mark.usefixtures("not_compiled")
def test_of_several_drafts_one_that_ends_on_its_tonic_is_taken_and_without_one_any() -> None:
    logits = np.full((4, 47), -40.0)
    for voice, pitches in enumerate(([72], [64], [55], [48, 44])):  # C major, or a clash in it
        logits[voice, np.array(pitches) - LOWEST_PITCH + 1] = 0
    requests = [Request(np.full(32, -1, np.int8), index) for index in range(60)]

    def share(**options: Any) -> float:
        sampler = sampling.Sampler(memoryless(logits), batch_size=60, **options)
        return float(end_on_tonic([one.chords for one in composed(sampler, requests)]).mean())

    one = 1 / 16  # four chords with the tonic in the bass
    assert share(particles=32) == pytest.approx(one, abs=0.1)
    assert share(particles=32, ending="tonic") == pytest.approx(1 - (1 - one) ** 32, abs=0.1)
