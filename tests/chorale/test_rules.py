"""Composing by rule: faults of the critique do not occur, and something is always composed."""

from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
from lazily import Lazily, tf

from rnnray.chorale.composing_options import RuleName, rule_nats
from rnnray.chorale.critique import Critique, critique
from rnnray.chorale.request import Request
from rnnray.chorale.tokens import NONE, to_chords, to_tokens

sampling = Lazily("rnnray.chorale.sampler")
ruling = Lazily("rnnray.chorale.rules")

BATCH, CHORDS = 384, 6  # a chord takes as long for twice as many chorales
MARKS: dict[RuleName, tuple[str, ...]] = {
    "parallels": ("parallel_fifths", "parallel_octaves"),
    "hidden": ("hidden_fifths", "hidden_octaves"),
    "crossing": ("crossing",),
    "overlap": ("overlap",),
    "spacing": ("spacing",),
    "ranges": ("out_of_range",),
    "leading-note": ("doubled_leading_notes",),
}


def wandering() -> np.ndarray:
    """Logits float32 [4, 47] of voices that leap about near their middles and break every rule."""
    middles = np.array([73, 67, 61, 51]) - 35
    logits = -(((np.arange(47) - middles[:, None]) / 2.7) ** 2) / 2
    logits[:, 0] = -4
    return logits.astype(np.float32)


def judged(*texts: str) -> Critique:
    """The critique of chords drawn from those logits by rule."""
    rules, rng = ruling.Rules(rule_nats(texts)), np.random.default_rng(1)
    before, heard = np.full((4, BATCH), NONE, np.int32), rules.initial_state(BATCH)
    chords = []
    for _ in range(CHORDS):
        chord = np.full((4, BATCH), NONE, np.int32)
        for voice, logits in enumerate(wandering()):
            wanted = np.tile(logits, (BATCH, 1))
            if rules:
                wanted = rules.apply(wanted, voice, list(chord), before, heard)
            noise = rng.gumbel(size=wanted.shape)  # so that argmax draws (Gumbel, 1954)
            chord[voice] = np.argmax(np.asarray(wanted) + noise, axis=-1)
        before, heard = chord, rules.heard(heard, chord)
        chords.append(chord)
    return critique([to_chords(notes) for notes in np.array(chords).reshape(-1, BATCH).T])


@pytest.fixture(scope="module")
def free() -> Critique:
    return judged()


@pytest.mark.parametrize("rule", get_args(RuleName))
def test_a_rule_alone_rules_out_what_the_critique_marks(rule: RuleName, free: Critique) -> None:
    statistics = judged(rule).as_dict()
    for mark in MARKS[rule]:
        assert statistics[mark] == 0, mark
        assert free.as_dict()[mark] > 0, mark
    others = [mark for name in MARKS if name != rule for mark in MARKS[name]]
    assert any(statistics[mark] for mark in others), "one rule is not all"


def test_strict_is_all_rules_and_nothing_falls_silent(free: Critique) -> None:
    statistics = judged("strict").as_dict()
    assert not any(statistics[mark] for marks in MARKS.values() for mark in marks)
    assert statistics["silence"] == pytest.approx(free.silence, abs=0.002)


def test_the_key_is_that_of_all_chords_before_and_a_chord_counts_half_as_much_two_bars_later() -> (
    None
):
    rules = ruling.Rules(rule_nats(["leading-note"]))
    chord, silence = (
        to_tokens(np.array([notes], np.int16)).astype(np.int32)[:, None]
        for notes in ((72, 67, 64, 0), (0, 0, 0, 0))
    )
    state = rules.heard(rules.initial_state(1), chord)
    for _ in range(32):
        state = rules.heard(state, silence)
    expected = np.isin(np.arange(12), [0, 4, 7])[None] / 2
    np.testing.assert_allclose(state, expected, rtol=1e-5)
    np.testing.assert_allclose(rules.heard(state, chord), 3 * expected, rtol=1e-2)


def test_a_penalty_makes_faults_rarer_and_a_rule_can_be_left_out(free: Critique) -> None:
    assert 0 < judged("crossing=2").crossing < free.crossing / 2
    statistics = judged("strict", "spacing=0")
    assert (statistics.crossing, statistics.spacing > 0) == (0, True)


def test_the_sampler_composes_by_rule_around_given_voices_and_always_something() -> None:
    """Also where every note breaks a rule: two voices leap in parallel, the bass is the highest."""
    table = tf.constant(wandering())

    def after(voice: int) -> Any:
        return tf.tile(table[None, voice % 4], [BATCH, 1])

    composer = SimpleNamespace(
        initial_state=lambda *_: (after(0), tf.zeros([])),
        step=lambda state, notes, voice: (after(voice + 1), state),
    )
    nothing, bass, bad = np.full((3, CHORDS, 4), NONE, np.int8)
    bass[:, 3] = 20 + np.arange(CHORDS) % 3
    bad[:, 0] = 1 + np.arange(CHORDS) % 5
    bad[:, 3] = bad[:, 0] + 24
    requests = [
        Request((nothing, bass, bad)[index % 3].reshape(-1), index) for index in range(BATCH)
    ]
    sampler = sampling.Sampler(composer, batch_size=BATCH, rules=rule_nats(["strict"]))
    (composed,) = sampler.compose(requests)
    chords = [one.chords for one in composed]
    free = critique(chords[::3]).as_dict()
    assert not any(free[mark] for marks in MARKS.values() for mark in marks)
    harmonised = critique(chords[1::3])
    assert (harmonised.crossing, harmonised.spacing) == (0, 0), "the bass is heeded from above"
    for request, one in zip(requests, composed, strict=True):
        notes, given = to_tokens(one.chords), request.given
        np.testing.assert_array_equal(notes[given != NONE], given[given != NONE])
        assert np.isfinite(one.nats).all()
        assert one.nats[given == NONE].max() < 500, "nats are the composer's own, without the rules"
    assert critique(chords[2::3]).silence < 0.05


def test_rules_are_read_as_they_are_written() -> None:
    assert rule_nats([]) == {}
    assert set(rule_nats(["strict"])) == set(get_args(RuleName)) == set(MARKS)
    assert rule_nats(["strict", "hidden=0", "crossing=2.5"])["crossing"] == 2.5
    assert "hidden" not in rule_nats(["strict", "hidden=0"])
    assert rule_nats(["overlap=1", "overlap"]) == {"overlap": 1000}
    for wrong in ("fifths", "crossing=", "crossing=-1", "crossing=nan", "crossing=1e9", "strict=a"):
        with pytest.raises(ValueError, match="write strict or parallels, hidden"):
            rule_nats([wrong])
