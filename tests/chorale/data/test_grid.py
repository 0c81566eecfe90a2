"""Small faults of scores are repaired by the stated rule and counted, or told with position."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from observed import refused
from score_files import QUARTER, Notes, line, midi

from rnnray.chorale.data.repairs import Repair
from rnnray.chorale.data.scores import read_score, read_voices


def sung(path: Path, notes: Notes) -> tuple[list[int], dict[Repair, int]]:
    """The pitches of notes of one voice, and the repairs."""
    score = read_score(midi(path / "a.mid", [("Tenor", {0: notes})]))
    return score.voices[:, 0].tolist(), dict(score.repairs)


def released(share: Fraction, *lengths: float) -> Notes:
    """Notes by length in quarters, each held for a share of it; lengths below 0 are rests."""
    notes: Notes = []
    now = 0
    for index, length in enumerate(lengths):
        ticks = round(abs(length) * QUARTER)
        if length > 0:
            notes.append((60 + index, now, now + round(ticks * share)))
        now += ticks
    return notes


def sounding(*lengths: float) -> list[int]:
    """The pitches of `released` notes at each sixteenth, each held to its end."""
    return [
        60 + index if length > 0 else 0
        for index, length in enumerate(lengths)
        for _ in range(int(abs(length) * 4))
    ]


@pytest.mark.parametrize("percent", [100, 95, 93.75, 90, 87.5, 87, 83, 80, 76, 75])
def test_notes_released_early_are_no_shorter_and_leave_no_rests(
    tmp_path: Path, percent: float
) -> None:
    lengths = (4, 1, 1.5, 0.5, 2, -1, 1.5, -0.5, 3, 4) * 2
    notes = released(Fraction(percent) / 100, *lengths)
    assert sung(tmp_path, notes)[0] == sounding(*lengths)


@pytest.mark.parametrize("share", ["15/16", "7/8", "3/4"])
@pytest.mark.parametrize("bass", [(2, 2), (4,), (1, -1, 1, -1), (-2, 2)])
def test_notes_held_for_one_share_are_mended_in_every_voice(
    tmp_path: Path, share: str, bass: tuple[float, ...]
) -> None:
    """A bass of half notes held 7/8 ends on sixteenths; the quarters above it show the way."""
    lines = [(1, 1, 1, 1) * 4, (1, 0.5, 0.5, 1, -1) * 4, (2, 2) * 4, bass * 4]
    tracks = [
        (name, {0: released(Fraction(share), *lengths)})
        for name, lengths in zip(("Soprano", "Alto", "Tenor", "Bass"), lines, strict=True)
    ]
    score = read_score(midi(tmp_path / "a.mid", tracks))
    for voice, lengths in zip(score.voices.T.tolist(), lines, strict=True):
        assert voice == sounding(*lengths)
    held = [Fraction(share) * Fraction(n) * 4 for its in lines for n in its if n > 0]
    rounded = sum(int(n + Fraction(1, 2)) < n / Fraction(share) for n in held)
    assert score.repairs == ({Repair.ARTICULATION: rounded} if rounded else {})


@pytest.mark.parametrize("lengths", [(1.5, -0.5), (1, 1, 1, 0.75, -0.25), (1, -1), (0.5, -0.5)])
def test_rests_of_notes_that_are_held_to_their_ends_stay(
    tmp_path: Path, lengths: tuple[float, ...]
) -> None:
    """Four voices breathe together, as a score program exports it."""
    notes = released(Fraction(1), *lengths * 4)
    score = read_score(midi(tmp_path / "a.mid", [(name, {0: notes}) for name in "SATB"]))
    expected = sounding(*lengths * 4)
    while not expected[-1]:
        del expected[-1]
    assert score.voices.T.tolist() == [expected] * 4
    assert not score.repairs


def test_rests_that_a_score_has_stay(tmp_path: Path) -> None:
    """A sixteenth's breath after a half note, as a score program exports it."""
    notes = [(60, 0, 840), (62, 960, 1680), (64, 1920, 2880)]
    voice, repairs = sung(tmp_path, notes)
    assert voice == [60] * 7 + [0] + [62] * 6 + [0] * 2 + [64] * 8
    assert not repairs


@pytest.mark.parametrize(
    ("notes", "expected", "repairs"),
    [
        ([*line(60, 62), (62, 480, 960)], "60 62", {Repair.DOUBLED: 1}),
        ([(60, 0, 580), (62, 480, 960)], "60 62", {Repair.OVERLAP: 1}),
        ([(60, 0, 580), (60, 480, 1060), (62, 960, 1540)], "60 60 62", {Repair.OVERLAP: 3}),
        ([(60, 0, 960), (60, 480, 960), (62, 960, 1440)], "60 60 62", {Repair.OVERLAP: 1}),
        ([*line(60, 62), (65, 480, 960)], "60 65", {Repair.DIVIDED: 1}),
        ([*line(60, 62, 60, 62, 60), (50, 480, 960)], "60 62 60 62 60", {Repair.DIVIDED: 1}),
    ],
    ids=[
        "doubled",
        "overlap",
        "overlap of a repeated note",
        "struck again",
        "last chord",
        "one chord",
    ],
)
def test_a_small_fault_is_repaired_and_counted(
    tmp_path: Path, notes: Notes, expected: str, repairs: dict[Repair, int]
) -> None:
    voice, counted = sung(tmp_path, notes)
    assert voice == np.repeat([int(pitch) for pitch in expected.split()], 4).tolist()
    assert counted == repairs


def test_of_a_divided_bass_the_lower_note_is_kept(tmp_path: Path) -> None:
    soprano, alto, tenor, bass = line(72, 74, 76), line(67, 65, 64), line(60, 59), line(48, 50, 55)
    tracks = [("S", soprano), ("A", alto), ("T", [*tenor, (60, 960, 1440)]),
              ("B", [*bass, (43, 960, 1440)])]  # fmt: skip
    score = read_score(midi(tmp_path / "a.mid", [(name, {0: its}) for name, its in tracks]))
    assert score.voices[-1].tolist() == [76, 64, 60, 43]
    assert score.repairs == {Repair.DIVIDED: 1}


def test_one_note_less_is_a_unison(tmp_path: Path) -> None:
    """A staff of two voices, in a track: where they meet there is one note."""
    notes = line(64, 62, 64, 65, 64) + [n for n in line(60, 62, 60, 60, 60) if n[1] != QUARTER]
    score = read_score(midi(tmp_path / "a.mid", [("", {0: notes})]))
    assert score.voices[::4].tolist() == [[64, 60], [62, 62], [64, 60], [65, 60], [64, 60]]
    assert score.repairs == {Repair.UNISON: 1}


def test_a_triplet_is_rounded_as_stated_and_counted(tmp_path: Path) -> None:
    notes = [(60, 0, 160), (62, 160, 320), (64, 320, 480), (65, 480, 960)]
    voice, repairs = sung(tmp_path, notes)
    assert voice == [60] + [62] * 2 + [64] + [65] * 4
    assert repairs == {Repair.MOVED: 2}


@pytest.mark.parametrize(
    ("notes", "where"),
    [
        # Half of all steps have two notes, so it is unclear which line is meant.
        ([*line(60, 62, 60, 62, 60), (50, 480, 960), (50, 960, 1440)], "quarter note 1 from"),
        # Two notes that begin apart and sound together are no chord.
        ([*line(60, 62, 60, 62, 64), (50, 720, 960)], "quarter note 1.5 from"),
    ],
)
def test_what_cannot_be_repaired_is_told_with_voice_and_place(
    tmp_path: Path, notes: Notes, where: str
) -> None:
    path = midi(tmp_path / "a.mid", [("Alto", {0: line(70, 71)}), ("Tenor", {0: notes})])
    told = f"{path}, Tenor, {where} the beginning: 2 notes at once"
    assert refused(read_voices, path).startswith(told)
