"""Each rule on chords made by hand; parallels against music21; Bach's own statistics."""

import json
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from rnnray.chorale.critique import HIGHEST, LOWEST, Critique, beside, critique
from rnnray.chorale.data import chorale_table

TRIAD = [72, 67, 64, 48]
CHORALES = st.lists(
    npst.arrays(
        np.int16,
        st.tuples(st.integers(1, 12), st.just(4)),
        elements=st.sampled_from([0, 48, 53, 55, 60, 62, 67, 69]),
    ),
    min_size=1,
    max_size=4,
)


def chords(*rows: list[int]) -> np.ndarray:
    return np.array(rows, np.int16)


def marks(name: str, *rows: list[int]) -> float:
    """The number of a fault's marks in rows that all sound."""
    return float(getattr(critique([chords(*rows)]), name)) * len(rows) / 64


def parallels(*rows: list[int]) -> tuple[float, float]:
    return marks("parallel_fifths", *rows), marks("parallel_octaves", *rows)


@pytest.mark.parametrize(
    ("before", "after", "fifths", "octaves"),
    [
        pytest.param([0, 0, 67, 60], [0, 0, 69, 62], 1, 0, id="fifths up"),
        pytest.param([0, 67, 0, 48], [0, 65, 0, 46], 1, 0, id="twelfths down"),
        pytest.param([67, 0, 0, 60], [74, 0, 0, 55], 0, 0, id="fifth to twelfth, apart"),
        pytest.param([67, 0, 0, 60], [81, 0, 0, 62], 1, 0, id="fifth to twelfth, together"),
        pytest.param([72, 0, 0, 60], [74, 0, 0, 62], 0, 1, id="octaves"),
        pytest.param([60, 60, 0, 0], [62, 62, 0, 0], 0, 1, id="unisons"),
        pytest.param([60, 60, 0, 0], [74, 62, 0, 0], 0, 1, id="unison to octave"),
        pytest.param([67, 60, 0, 0], [67, 60, 0, 0], 0, 0, id="held"),
        pytest.param([67, 60, 0, 0], [67, 72, 0, 0], 0, 0, id="one voice moves"),
        pytest.param([66, 60, 0, 0], [69, 62, 0, 0], 0, 0, id="diminished to perfect"),
        pytest.param([60, 67, 0, 0], [62, 69, 0, 0], 1, 0, id="fifths of crossed voices"),
        pytest.param([60, 65, 0, 0], [62, 67, 0, 0], 0, 0, id="fourths of crossed voices"),
        pytest.param([79, 72, 67, 60], [81, 74, 69, 62], 2 + 1, 2, id="every pair counts"),
        pytest.param([67, 0, 0, 0], [69, 62, 0, 0], 0, 0, id="from silence"),
        pytest.param([67, 60, 0, 0], [69, 0, 0, 0], 0, 0, id="to silence"),
    ],
)
def test_parallels_are_those_of_the_textbook(
    before: list[int], after: list[int], fifths: int, octaves: int
) -> None:
    assert parallels(before, after) == pytest.approx((fifths, octaves))
    assert parallels(after, before) == pytest.approx((fifths, octaves)), "backwards too"


def test_parallels_agree_with_music21() -> None:
    from music21.note import Note  # noqa: PLC0415  (seconds)
    from music21.voiceLeading import VoiceLeadingQuartet  # noqa: PLC0415

    rng = np.random.default_rng(3)
    # White keys alone, where seven semitones are always spelled as a fifth.
    white = np.array([p for p in range(48, 80) if p % 12 in (0, 2, 4, 5, 7, 9, 11)], np.int16)
    rows = white[np.sort(rng.integers(0, len(white), (60, 4)), axis=1)[:, ::-1]]
    rows[::5] = rows[::5, [1, 0, 2, 3]]  # crossed voices as well
    rows = np.repeat(rows, 2, axis=0)
    rows[1::2] += np.array([12, 0, -12, 0], np.int16) * rng.integers(0, 2, (60, 1), np.int16)
    # Half of the moves are parallel, as chance would make hardly any.
    rows[2::4] = white[np.clip(np.searchsorted(white, rows[1:-1:4]) + 1, 0, len(white) - 1)]
    expected = {"P5": 0, "P8": 0}
    for before, after in zip(rows[:-1].tolist(), rows[1:].tolist(), strict=True):
        for i, j in combinations(range(4), 2):
            moves = VoiceLeadingQuartet(*map(Note, (before[i], after[i], before[j], after[j])))
            if not moves.similarMotion():  # music21 counts motion apart as well
                continue
            intervals = {interval.simpleName for interval in moves.vIntervals}
            expected["P5"] += moves.parallelFifth()
            # music21 distinguishes octaves from unisons, and the critique does not.
            expected["P8"] += moves.parallelUnisonOrOctave() or intervals in ({"P1"}, {"P1", "P8"})
    assert expected["P5"] > 10
    assert expected["P8"] > 10
    assert parallels(*rows.tolist()) == pytest.approx((expected["P5"], expected["P8"]))


def test_crossing_is_a_voice_below_the_next_lower() -> None:
    rows = chords(TRIAD, [66, 67, 64, 48], [67, 67, 64, 48], [72, 67, 47, 48], [60, 0, 64, 48])
    assert critique([rows]).crossing == pytest.approx(2 / 5)


def test_spacing_is_over_an_octave_between_upper_voices_and_free_above_the_bass() -> None:
    rows = chords([80, 67, 64, 40], [79, 67, 55, 36], [72, 67, 54, 48], [80, 0, 50, 40])
    assert critique([rows]).spacing == pytest.approx(2 / 4)


def test_notes_out_of_a_voices_range_are_shares_of_notes() -> None:
    beyond = [int(LOWEST[0]) - 1, int(HIGHEST[1]) + 1, 0, int(HIGHEST[3])]
    assert critique([chords(TRIAD, beyond)]).out_of_range == pytest.approx(2 / 7)
    assert critique([np.stack([LOWEST, HIGHEST])]).out_of_range == 0


@pytest.mark.parametrize(
    ("chord", "whole"),
    [
        pytest.param([72, 67, 64, 48], True, id="triad"),
        pytest.param([75, 66, 63, 48], True, id="diminished"),
        pytest.param([65, 59, 55, 43], True, id="seventh without its fifth"),
        pytest.param([70, 67, 64, 48], True, id="seventh"),
        pytest.param([72, 64, 60, 48], True, id="no fifth"),
        pytest.param([72, 0, 0, 0], True, id="one voice"),
        pytest.param([74, 67, 64, 48], False, id="ninth"),
        pytest.param([72, 67, 65, 48], False, id="fourth"),
        pytest.param([71, 68, 64, 48], False, id="augmented with a seventh"),
    ],
)
def test_chords_on_beats_are_triads_and_sevenths(chord: list[int], whole: bool) -> None:
    cluster = [62, 61, 60, 48]
    rows = chords(chord, cluster, cluster, cluster, cluster)
    assert critique([rows]).chords_on_beats == (0.5 if whole else 0)
    assert critique([rows], bar_position=4).chords_on_beats == (0.5 if whole else 0)
    assert critique([rows], bar_position=3).chords_on_beats == 0, "the first beat is the second row"


def test_clashes_are_semitones_in_any_octave() -> None:
    rows = chords(TRIAD, [72, 67, 65, 48], [72, 71, 64, 48], [73, 67, 64, 48], [61, 0, 0, 0])
    assert critique([rows]).clashes == pytest.approx(2 / 5)


@pytest.mark.parametrize(
    ("before", "after", "fifths", "octaves"),
    [
        pytest.param([67, 0, 0, 52], [72, 0, 0, 53], 1, 0, id="fifth by a leap"),
        pytest.param([67, 0, 0, 52], [72, 0, 0, 60], 0, 1, id="octave by a leap"),
        pytest.param([70, 0, 0, 52], [72, 0, 0, 53], 0, 0, id="by a step"),
        pytest.param([67, 0, 0, 54], [72, 0, 0, 53], 0, 0, id="from both sides"),
        pytest.param([67, 0, 0, 48], [72, 0, 0, 53], 0, 0, id="parallel, which is another fault"),
        pytest.param([0, 67, 0, 52], [0, 72, 0, 53], 0, 0, id="inner voice"),
    ],
)
def test_hidden_fifths_and_octaves_are_those_of_the_outer_voices(
    before: list[int], after: list[int], fifths: int, octaves: int
) -> None:
    assert marks("hidden_fifths", before, after) == fifths
    assert marks("hidden_octaves", before, after) == octaves


def test_overlap_is_a_move_beyond_where_a_neighbour_was() -> None:
    assert marks("overlap", [67, 64, 0, 0], [74, 69, 0, 0]) == 1, "alto above the soprano before"
    assert marks("overlap", [67, 64, 0, 0], [62, 60, 0, 0]) == 1, "soprano below the alto before"
    assert marks("overlap", [67, 64, 0, 0], [69, 67, 0, 0]) == 0, "to the same note"
    assert marks("overlap", [67, 69, 0, 0], [65, 69, 0, 0]) == 1, "held, but the soprano moves"


@pytest.mark.parametrize(
    ("notes", "faults"),
    [
        ((60, 66, 67), 1),
        ((60, 66, 65), 0),
        ((60, 66, 66), 1),
        ((60, 66, 62), 1),
        ((60, 70, 69), 1),
        ((60, 71, 72), 1),
        ((60, 72, 71), 0),
        ((60, 73, 72), 1),
        ((60, 69, 60), 0),
        ((60, 0, 73), 0),
    ],
)
def test_forbidden_leaps_are_tritones_not_turned_back_sevenths_and_beyond_the_octave(
    notes: tuple[int, ...], faults: int
) -> None:
    assert marks("forbidden_leaps", *([0, 0, 0, note - 12 if note else 0] for note in notes)) == (
        pytest.approx(faults * 3 / 3)
    )


def beats(*rows: list[int]) -> np.ndarray:
    """Rows, each held for a beat."""
    return np.repeat(chords(*rows), 4, axis=0)


@pytest.mark.parametrize(
    ("dominant", "next_chord", "faults"),
    [
        pytest.param([71, 67, 59, 43], [72, 67, 64, 48], 1, id="V I"),
        pytest.param([71, 67, 59, 43], [72, 69, 64, 45], 0, id="no fall by a fifth"),
        pytest.param([74, 67, 59, 43], [72, 67, 64, 48], 0, id="root doubled"),
        pytest.param([71, 65, 59, 43], [72, 69, 64, 45], 1, id="seventh chord anywhere"),
        pytest.param([71, 65, 59, 50], [72, 69, 64, 45], 1, id="root of a diminished triad"),
        pytest.param([74, 65, 59, 50], [72, 69, 64, 45], 0, id="its third"),
    ],
)
def test_doubled_leading_notes(dominant: list[int], next_chord: list[int], faults: int) -> None:
    statistics = critique([beats(dominant, next_chord)])
    assert statistics.doubled_leading_notes * 8 / 64 == faults
    apart = critique([beats(dominant), beats(next_chord)])
    alone = critique([beats(dominant)])
    assert apart.doubled_leading_notes * 8 == alone.doubled_leading_notes * 4, "chorales touch"


@pytest.mark.parametrize(
    ("alto", "faults"), [((65, 64), 0), ((65, 63), 0), ((65, 67), 1), ((65, 60), 1), ((65, 0), 0)]
)
def test_sevenths_resolve_down_by_a_step(alto: tuple[int, int], faults: int) -> None:
    rows = beats(*([71, note, 62, 43] for note in alto))
    assert critique([rows]).unresolved_sevenths * 8 / 64 == faults
    assert critique([rows[:4]]).unresolved_sevenths == 0, "the end"


def test_chorales_begin_on_a_triad_and_end_on_their_tonic_in_root_position() -> None:
    cadence = beats([72, 67, 64, 48], [72, 69, 65, 53], [71, 67, 62, 43], [72, 67, 64, 48])
    good = critique([cadence])
    assert (good.beginnings, good.endings) == (1, 1)
    silent = np.concatenate([np.zeros((2, 4), np.int16), cadence, np.zeros((2, 4), np.int16)])
    assert (critique([silent]).beginnings, critique([silent]).endings) == (1, 1)
    short, inverted, half = cadence[:-1], cadence.copy(), cadence[:-4]
    inverted[-4:, 3] = 52
    for bad in (short, inverted, half, cadence * 0):
        assert critique([bad]).endings == 0
    assert critique([cadence, short]).endings == 0.5
    assert critique([chords([74, 67, 64, 48], TRIAD)]).beginnings == 0


def test_changes_are_shares_of_the_notes_that_follow_another_step() -> None:
    rows = chords(TRIAD, TRIAD, [74, 67, 65, 48], [74, 0, 65, 48], [74, 67, 65, 48])
    statistics = critique([rows])
    assert statistics.changes == pytest.approx((2 + 1) / 15)
    assert statistics.silence == pytest.approx(1 / 20)


def test_frozen_passage_is_the_longest_without_any_change() -> None:
    moving = np.array([TRIAD, [74, 67, 64, 48]] * 4, np.int16)
    stuck = np.concatenate([moving, np.tile(moving[-1], (5, 1)), moving])
    statistics = critique([moving, stuck, moving[:1]])
    assert (statistics.frozen, statistics.longest_frozen) == (pytest.approx((1 + 6 + 1) / 3), 6)


def test_a_chorale_that_fell_silent_or_froze_is_seen() -> None:
    silent = critique([np.concatenate([chords(TRIAD), np.zeros((9, 4), np.int16)])])
    assert (silent.silence, silent.longest_frozen, silent.changes) == (0.9, 9, 0)
    frozen = critique([np.full((64, 4), TRIAD, np.int16)])
    assert (frozen.silence, frozen.longest_frozen, frozen.changes) == (0, 64, 0)
    nothing = critique([np.zeros((1, 4), np.int16)])
    assert nothing.silence == 1
    assert np.isfinite(list(nothing.as_dict().values())).all()


@given(CHORALES)
def test_chorales_of_a_batch_do_not_touch(chorales: list[np.ndarray]) -> None:
    together, alone = critique(chorales), [critique([chorale]) for chorale in chorales]
    steps = [int((chorale > 0).any(axis=1).sum()) for chorale in chorales]
    for name in ("parallel_fifths", "parallel_octaves", "crossing", "spacing"):
        amounts = [getattr(one, name) * n for one, n in zip(alone, steps, strict=True)]
        assert getattr(together, name) * sum(steps) == pytest.approx(sum(amounts)), name
    assert together.frozen == pytest.approx(np.mean([one.frozen for one in alone]))
    assert together.longest_frozen == max(one.longest_frozen for one in alone)
    later = [int((chorale[1:] > 0).sum()) for chorale in chorales]
    changes = [one.changes * n for one, n in zip(alone, later, strict=True)]
    assert together.changes * sum(later) == pytest.approx(sum(changes))


@given(CHORALES, st.integers(-5, 5))
def test_only_the_range_depends_on_the_key(chorales: list[np.ndarray], semitones: int) -> None:
    moved = [np.where(chorale > 0, chorale + semitones, 0) for chorale in chorales]
    one, other = critique(chorales).as_dict(), critique(moved).as_dict()
    del one["out_of_range"], other["out_of_range"]
    assert one == other


def test_table_sets_each_figure_beside_bachs() -> None:
    composed, bach = critique([chords(TRIAD, TRIAD)]), critique([chords(TRIAD)] * 3)
    lines = beside(composed, bach)
    assert lines[0].split() == ["composed", "Bach"]
    assert len(lines) == 1 + len(composed.as_dict())
    assert lines[1].split() == ["chorales", "1", "3"]
    assert len({len(line) for line in lines}) == 1, "columns stand below each other"
    assert json.loads(json.dumps(composed.as_dict()))["steps"] == 2


@pytest.mark.parametrize(
    "chorales", [[], [np.zeros((0, 4), np.int16)], [np.zeros((4, 3), np.int16)]]
)
def test_what_are_no_chords_is_refused(chorales: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match="chorale"):
        critique(chorales)


def test_bachs_own_statistics(real_chorales: pa.Table) -> None:
    train, test = (
        chorale_table.chords_of(chorale_table.select(real_chorales, split))
        for split in ("train", "test")
    )
    assert critique(test) == Critique(
        chorales=77,
        steps=18900,
        chords_on_beats=pytest.approx(0.9087, abs=5e-5),
        clashes=pytest.approx(0.0661, abs=5e-5),
        parallel_fifths=pytest.approx(0.0510, abs=5e-5),
        parallel_octaves=pytest.approx(0.0204, abs=5e-5),
        hidden_fifths=pytest.approx(0.102, abs=5e-4),
        hidden_octaves=pytest.approx(0.020, abs=5e-4),
        crossing=pytest.approx(0.0198, abs=5e-5),
        overlap=pytest.approx(1.485, abs=5e-4),
        spacing=pytest.approx(0.0160, abs=5e-5),
        forbidden_leaps=pytest.approx(0.170, abs=5e-4),
        doubled_leading_notes=pytest.approx(0.082, abs=5e-4),
        unresolved_sevenths=pytest.approx(0.204, abs=5e-4),
        out_of_range=pytest.approx(0.0060, abs=5e-5),
        changes=pytest.approx(0.230, abs=5e-4),
        silence=pytest.approx(0.0038, abs=5e-5),
        beginnings=1,
        endings=pytest.approx(68 / 77),
        frozen=pytest.approx(11.5, abs=0.05),
        longest_frozen=24,
    )
    for voice, column in enumerate(np.concatenate(train).T):
        limits = np.percentile(column[column > 0], [0.5, 99.5])
        assert limits.tolist() == [LOWEST[voice], HIGHEST[voice]]
