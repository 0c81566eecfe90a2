"""Chorales are composed as requested, drawn from the right distribution, the same in any batch."""

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from composers import (
    REACH,
    composed,
    log_softmax,
    logits_at_once,
    memoryless,
    repetitive,
    small_composer,
)
from lazily import Lazily, tf

from rnnray.chorale.chorale_config import PRESETS
from rnnray.chorale.request import Composition, Request
from rnnray.chorale.tokens import to_tokens

sampling = Lazily("rnnray.chorale.sampler")

BATCH = 32
# Probabilities of a composer's notes, whatever was before; not in order of probability.
KNOWN = {7: 0.25, 12: 0.03, 20: 0.5, 31: 0.07, 46: 0.15}


def empty(chords: int) -> np.ndarray:
    return np.full(4 * chords, -1, np.int8)


def notes_of(compositions: list[Composition]) -> np.ndarray:
    """The tokens of chorales of one length: int [chorales, 4n]."""
    return np.stack([to_tokens(one.chords) for one in compositions])


def known() -> Any:
    logits = np.full((1, 47), -40.0)
    logits[0, list(KNOWN)] = np.log(list(KNOWN.values())) + 3  # logits need not be normalised
    return memoryless(logits)


@pytest.fixture(scope="module", params=PRESETS)
def preset(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def composer(preset: str) -> Any:
    return small_composer(preset)


@pytest.fixture(scope="module")
def sampler(composer: Any) -> Any:
    return sampling.Sampler(composer, batch_size=BATCH, seed=3)


@pytest.fixture(scope="module")
def on_note(composer: Any) -> Any:
    return sampling.Sampler(composer, batch_size=BATCH, seed=3, temperature_on="note")


@pytest.fixture(scope="module")
def requests() -> list[Request]:
    """Requests with all kinds of lengths, temperatures, top-p, opening chords, given voices."""
    rng = np.random.default_rng(0)
    result = []
    for index in range(101):
        given = empty(int(rng.integers(1, 30)))
        if index % 3 == 0:
            given[: 4 * (len(given) // 8)] = 5
        if index % 4 == 0:
            given[0::4] = rng.integers(0, 47, len(given) // 4)
        temperature = float(rng.choice([0, 0.5, 1, 2]))
        result.append(Request(given, index, temperature, float(rng.choice([0.5, 0.9, 1]))))
    result[40] = Request(empty(30), 40)
    return result


@pytest.fixture(scope="module")
def results(sampler: Any, requests: list[Request]) -> list[Composition]:
    return composed(sampler, requests)


def same(one: Composition, other: Composition) -> None:
    np.testing.assert_array_equal(one.chords, other.chords)
    np.testing.assert_allclose(one.nats, other.nats, atol=1e-5)


def test_a_chorale_is_the_same_alone_and_among_a_hundred_in_any_order(
    sampler: Any, requests: list[Request], results: list[Composition]
) -> None:
    for index in (0, 12, 40, 100):
        same(composed(sampler, [requests[index]])[0], results[index])
    order = np.random.default_rng(1).permutation(len(requests))
    for index, one in zip(order, composed(sampler, [requests[i] for i in order]), strict=True):
        same(one, results[index])


def test_results_come_in_the_order_and_the_length_of_the_requests(
    requests: list[Request], results: list[Composition]
) -> None:
    assert [one.chords.size for one in results] == [request.given.size for request in requests]
    assert [one.nats.size for one in results] == [request.given.size for request in requests]
    assert results[0].chords.dtype == np.int16


def test_what_is_given_is_kept_and_the_rest_is_composed(
    requests: list[Request], results: list[Composition]
) -> None:
    other = 0
    for request, one in zip(requests, results, strict=True):
        notes, given = to_tokens(one.chords), request.given != -1
        np.testing.assert_array_equal(notes[given], request.given[given])
        other += len(set(notes[~given].tolist()))
    assert other > 500


def test_nats_are_what_the_full_model_says_of_the_whole_piece_given_notes_too(
    composer: Any, requests: list[Request], results: list[Composition]
) -> None:
    longest = sorted(range(len(requests)), key=lambda i: -requests[i].given.size)[:10]
    assert any((requests[i].given != -1).any() for i in longest)
    ten = [results[i] for i in longest]
    for one, (notes, logits) in zip(ten, judged(composer, ten), strict=True):
        expected = -log_softmax(logits)[np.arange(notes.size), notes]
        np.testing.assert_allclose(one.nats, expected, atol=1e-4)
        assert one.nats.sum(dtype=np.float64) == pytest.approx(expected.sum(), rel=1e-5)


def judged(composer: Any, pieces: list[Composition]) -> list[tuple[np.ndarray, np.ndarray]]:
    """The tokens of each piece, int [4n], and the full model's logits of them, [4n, 47]."""
    rows = np.full((len(pieces), max(one.chords.size for one in pieces)), -1)
    for row, one in zip(rows, pieces, strict=True):
        row[: one.chords.size] = to_tokens(one.chords)
    told = rows
    if getattr(composer, "edges", None):  # that the piece begins, and ends with a whole quarter
        rests = [[1, -len(one.chords) % 4] for one in pieces]
        told = np.concatenate([rows, rests], axis=1)
    return [
        (row[row != -1], logits[row != -1])
        for row, logits in zip(rows, logits_at_once(composer, told), strict=True)
    ]


def test_a_given_piece_with_echoes_costs_what_the_full_model_says(
    composer: Any, sampler: Any
) -> None:
    piece = repetitive(REACH)[: 4 * 72]
    one = composed(sampler, [Request(piece)])[0]
    np.testing.assert_array_equal(to_tokens(one.chords), piece)
    logits = logits_at_once(composer, piece[None])[0]
    expected = -log_softmax(logits)[np.arange(piece.size), piece]
    np.testing.assert_allclose(one.nats, expected, atol=1e-4)


def test_temperature_0_is_a_plain_loop_over_the_full_model(composer: Any, sampler: Any) -> None:
    """Each note is the likeliest after those before it: a loop gives these notes and no others."""
    given = empty(28)
    given[: 4 * 22] = repetitive(16)[: 4 * 22]
    given[2::4] = 30  # a tenor
    requests = [Request(given, 9, temperature=0, top_p=top_p) for top_p in (0.3, 1.0)]
    found = notes_of([composed(sampler, [request])[0] for request in requests])
    np.testing.assert_array_equal(found[:, given != -1], np.tile(given[given != -1], (2, 1)))
    likeliest = logits_at_once(composer, found[:1])[0].argmax(-1)
    np.testing.assert_array_equal(found[0, given == -1], likeliest[given == -1])
    np.testing.assert_array_equal(found[1], found[0])


def test_a_longer_chorale_begins_as_the_shorter_one_does(preset: str, sampler: Any) -> None:
    """The composer here does not know the length."""
    if preset == "strong":
        composer = small_composer(preset, edges=False)
        sampler = sampling.Sampler(composer, batch_size=BATCH, seed=3)
    lengths = (1, 7, 8, 24, 29)
    short_to_long = composed(sampler, [Request(empty(n), index=5) for n in lengths])
    for one, length in zip(short_to_long, lengths, strict=True):
        np.testing.assert_array_equal(one.chords, short_to_long[-1].chords[:length])
        alone = composed(sampler, [Request(empty(length), index=5)])[0]
        np.testing.assert_array_equal(one.chords, alone.chords)


def test_temperatures_out_of_all_bounds_give_notes(sampler: Any, on_note: Any) -> None:
    temperatures = (0, 1e-45, 1e-30, 1e-4, 1e4, 1e30, 3e38)
    given = empty(12)
    given[:4] = 30  # to the book's model, all first notes are equally likely
    requests = [Request(given, 1, t) for t in temperatures]
    for one in composed(sampler, requests):
        assert np.isfinite(one.nats).all()
    results = composed(on_note, requests)
    for one in results:
        assert np.isfinite(one.nats).all()
    for tiny in results[1:4]:
        np.testing.assert_array_equal(tiny.chords, results[0].chords)
    for huge in results[4:]:  # all notes alike: of 48, few are the same
        assert len(np.unique(huge.chords)) > 20


@pytest.mark.usefixtures("not_compiled")
def test_seed_and_index_decide_and_no_request_is_no_work() -> None:
    seeds_and_indices = ((1, 7), (1, 7), (1, 8), (2, 7), (7, 1), (0, 8))
    composer = known()
    notes = [
        notes_of(composed(sampling.Sampler(composer, seed=seed), [Request(empty(8), index)]))[0]
        for seed, index in seeds_and_indices
    ]
    np.testing.assert_array_equal(notes[0], notes[1])
    assert len({each.tobytes() for each in notes}) == 5
    assert not list(sampling.Sampler(composer).compose([]))


def test_the_batch_size_decides_no_note_but_by_rounding(
    composer: Any, sampler: Any, request: pytest.FixtureRequest
) -> None:
    """A model adds up in another order in another batch; that changes probabilities far too little
    to draw another note.
    """
    requests = [Request(empty(4), index, 1.3, 0.9) for index in range(5)]
    one = composed(sampler, requests)
    request.getfixturevalue("not_compiled")
    other = composed(sampling.Sampler(composer, batch_size=3, seed=3), requests)
    np.testing.assert_array_equal(notes_of(one), notes_of(other))
    for ours, theirs in zip(one, other, strict=True):
        np.testing.assert_allclose(ours.nats, theirs.nats, atol=1e-4)


@cache
def of_known(temperature_on: str) -> Any:
    return sampling.Sampler(known(), batch_size=256, seed=11, temperature_on=temperature_on)


@cache
def drawn(temperature: float, top_p: float, on: str = "note") -> np.ndarray:
    requests = [Request(empty(20), index, temperature, top_p) for index in range(512)]
    return notes_of(composed(of_known(on), requests))


def chi_square(counts: np.ndarray, expected: np.ndarray) -> float:
    return float(((counts - expected) ** 2 / expected).sum())


@pytest.mark.parametrize(
    ("temperature", "top_p", "nucleus"),
    [
        (1.0, 1.0, (20, 7, 46, 31, 12)),
        (1.0, 0.98, (20, 7, 46, 31, 12)),
        (1.0, 0.91, (20, 7, 46, 31)),
        (1.0, 0.7, (20, 7)),
        (1.0, 0.49, (20,)),
        (1.0, 1e-46, (20,)),  # 0 in float32
        (0.5, 0.9, (20, 7)),  # 0.728, 0.182, 0.066, ...: the temperature comes first
        (2.0, 0.9, (20, 7, 46, 31)),  # 0.352, 0.249, 0.193, 0.132, 0.086
        (2.0, 1.0, (20, 7, 46, 31, 12)),
    ],
)
def test_notes_are_drawn_from_the_nucleus_as_often_as_their_probabilities_say(
    temperature: float, top_p: float, nucleus: tuple[int, ...]
) -> None:
    notes = drawn(temperature, top_p).ravel()
    weights = np.array([KNOWN[note] for note in nucleus]) ** (1 / temperature)
    counts = np.array([(notes == note).sum() for note in nucleus])
    assert counts.sum() == notes.size  # never anything else
    # 23.5 is exceeded once in ten thousand times with four degrees of freedom; the seed is fixed.
    assert chi_square(counts, notes.size * weights / weights.sum()) < 23.5


@pytest.mark.parametrize(
    ("temperature", "top_p"), [(0.5, 1.0), (1.0, 0.6), (2.0, 1e-30), (1e-30, 1.0), (2.0, 1.0)]
)
def test_a_held_note_keeps_its_probability_whatever_the_temperature(
    temperature: float, top_p: float
) -> None:
    notes = drawn(temperature, top_p, "pitch")
    before, after = notes[:, :-4].ravel(), notes[:, 4:].ravel()
    assert np.isin(notes, list(KNOWN)).all()
    for held, share in KNOWN.items():
        following = after[before == held]
        if not len(following):
            continue  # nothing moves to this note
        assert (following == held).mean() == pytest.approx(
            share, abs=4 * (share / len(following)) ** 0.5
        )
        others = [note for note in sorted(KNOWN, key=KNOWN.get, reverse=True) if note != held]
        shares = np.array([KNOWN[note] for note in others])
        shares = (shares / shares[0]) ** (1 / temperature)
        shares /= shares.sum()
        kept = np.append(0, np.cumsum(shares)[:-1]) < top_p
        counts = np.array([(following == note).sum() for note in others])
        kept &= shares > 0
        assert not counts[~kept].any()
        expected = counts.sum() * shares[kept] / shares[kept].sum()
        # Exceeded once in a hundred thousand times with three degrees of freedom.
        assert chi_square(counts[kept], expected) < 26


def test_at_temperature_1_nothing_differs_to_the_bit_whoever_is_beside(
    sampler: Any, on_note: Any
) -> None:
    requests = [Request(empty(9), index) for index in range(6)]
    others = [Request(empty(9), 9, 0.5, 0.9), *requests]
    expected = composed(on_note, requests)
    for found in (composed(sampler, requests), composed(sampler, others)[1:]):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one.chords, other.chords)
            np.testing.assert_array_equal(one.nats, other.nats)


@pytest.mark.parametrize(
    "pairs",
    [
        lambda notes: (notes[:, 1:], notes[:, :-1]),
        lambda notes: (notes[:, 4:], notes[:, :-4]),
        lambda notes: (notes[1:], notes[:-1]),
    ],
    ids=["notes", "chords", "chorales"],
)
def test_draws_are_independent(pairs: Callable[[np.ndarray], tuple[np.ndarray, ...]]) -> None:
    first, second = (half.ravel() for half in pairs(drawn(1.0, 1.0)))
    expected = first.size * np.outer(list(KNOWN.values()), list(KNOWN.values()))
    counts = np.array([[((first == a) & (second == b)).sum() for b in KNOWN] for a in KNOWN])
    assert chi_square(counts, expected) < 57  # 24 degrees of freedom, once in ten thousand


@pytest.mark.usefixtures("not_compiled")
def test_each_voice_is_drawn_from_its_own_distribution() -> None:
    """The fake has one note for each voice."""
    logits = np.full((4, 47), -40.0)
    logits[range(4), [40, 30, 20, 10]] = 0
    one = composed(sampling.Sampler(memoryless(logits), batch_size=2), [Request(empty(3))])[0]
    assert to_tokens(one.chords).tolist() == [40, 30, 20, 10] * 3


@pytest.mark.usefixtures("not_compiled")
def test_notes_given_to_the_composer_are_those_of_the_chorale() -> None:
    """The fake always wants the note above the last one, its own or a given one."""

    def after(notes: Any) -> Any:
        return 30 * tf.one_hot((notes + 1) % 47, 47)

    wants_more = SimpleNamespace(
        initial_state=lambda batch, *_: (after(tf.zeros([batch], tf.int32)), tf.zeros([])),
        step=lambda state, notes, voice: (after(notes), state),
    )
    given = empty(3)
    given[5] = 20
    one = composed(sampling.Sampler(wants_more, batch_size=2), [Request(given)])[0]
    assert to_tokens(one.chords).tolist() == [1, 2, 3, 4, 5, 20, 21, 22, 23, 24, 25, 26]


@pytest.mark.usefixtures("not_compiled")
def test_a_chorale_begins_at_its_own_position_in_the_bar_whoever_is_asked_for_beside_it() -> None:
    """The fake's every note is the bar position that it was told."""

    def at(bar_position: Any) -> Any:
        return 30 * tf.one_hot(tf.fill([2], bar_position), 47)

    tells = SimpleNamespace(
        initial_state=lambda batch, bar_position, _: (at(bar_position), at(bar_position)),
        step=lambda state, notes, voice: (state, state),
    )
    positions = [0, 0, 0, 12, 12, 3]
    requests = [Request(empty(1), bar_position=position) for position in positions]
    found = [
        to_tokens(one.chords)[-1]
        for one in composed(sampling.Sampler(tells, batch_size=2), requests)
    ]
    assert found == positions


@pytest.mark.usefixtures("not_compiled")
def test_each_chorale_s_length_is_told_to_the_composer() -> None:
    """The fake's every note is the number of chords that it was told: whole quarters."""

    def tell(batch: int, bar_position: Any, lengths: Any) -> Any:
        return 30 * tf.one_hot(lengths, 47), 30 * tf.one_hot(lengths, 47)

    tells = SimpleNamespace(initial_state=tell, step=lambda state, notes, voice: (state, state))
    requests = [
        *(Request(empty(chords)) for chords in (3, 8, 9)),
        Request(empty(9), bar_position=3),
    ]
    found = composed(sampling.Sampler(tells, batch_size=2), requests)
    assert [set(to_tokens(one.chords).tolist()) for one in found] == [{4}, {8}, {12}, {9}]


def test_a_top_p_of_1_takes_nothing_away() -> None:
    """Rounding must not, where another row of the batch has a smaller top-p."""
    rng = np.random.default_rng(0)
    weights = tf.constant(np.exp(rng.normal(0, 4, (1000, 47))), tf.float32)
    top_p = np.where(np.arange(1000) % 2, 0.5, 1.0)
    kept = sampling._nucleus(weights, tf.constant(top_p, tf.float32)).numpy()
    np.testing.assert_array_equal(kept[::2], weights.numpy()[::2])
    assert (kept[1::2] == 0).any(1).all()


@pytest.mark.usefixtures("not_compiled")
def test_large_seeds_are_seeds_too() -> None:
    seeds = (2**31, 2**53, 2**53 + 1, 2**63 - 2, 2**63 - 1)
    samplers = [sampling.Sampler(known(), batch_size=1, seed=seed) for seed in seeds]
    notes = [notes_of(composed(sampler, [Request(empty(6))])).tobytes() for sampler in samplers]
    assert len(set(notes)) == len(seeds)
