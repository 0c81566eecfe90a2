"""MIDI files as programs write them: a fault that changes no note refuses no file."""

import struct
from pathlib import Path

import mido
import pytest
from observed import refused
from score_files import QUARTER, line, midi

from rnnray.chorale.data.repairs import Repair
from rnnray.chorale.data.scores import read_score, read_voices

NOTE = b"\x00\x90\x3c\x40\x83\x60\x80\x3c\x00"  # C for a quarter of 480 ticks
END = b"\x00\xff\x2f\x00"


def smf(*tracks: bytes, count: int | None = None) -> bytes:
    """A MIDI file of type 1 with 480 ticks to a quarter."""
    head = struct.pack(">4sLHHH", b"MThd", 6, 1, count or len(tracks), 480)
    return head + b"".join(struct.pack(">4sL", b"MTrk", len(track)) + track for track in tracks)


@pytest.mark.parametrize(
    ("event", "repairs"),
    [
        (b"\x00\xff\x59\x02\x12\x01", {Repair.BAD_EVENT: 1}),
        (b"\x00\xff\x59\x02\xf9\x00", {}),
        (b"\x00\xb0\x07\xff", {Repair.BAD_EVENT: 1}),
        (b"\x00\x90\xff\x40", {Repair.BAD_EVENT: 1}),
        (b"\x00\xf0\x03\x01\x02\xf7", {}),
        (b"\x00\xff\x7f\x03abc", {}),
        (b"\x00\xc0\x05\x00\xe0\x00\x40", {}),
    ],
    ids=["18 flats", "7 flats", "controller 255", "note 255", "sysex", "unknown meta", "program"],
)
def test_an_event_with_an_impossible_value_is_passed_over(
    tmp_path: Path, event: bytes, repairs: dict[Repair, int]
) -> None:
    path = tmp_path / "a.mid"
    path.write_bytes(smf(event + NOTE + END))
    score = read_score(path)
    assert score.voices.tolist() == [[60]] * 4
    assert score.repairs == repairs


def test_running_status_foreign_chunks_and_names_in_utf_8_are_read(tmp_path: Path) -> None:
    name = "Ténor".encode()
    track = b"\x00\xff\x03" + bytes([len(name)]) + name
    track += b"\x00\x90\x3c\x40\x83\x60\x3c\x00\x00\x3e\x40\x83\x60\x3e\x00" + END
    content = smf(track)
    foreign = struct.pack(">4sL", b"XFIH", 3) + b"abc"
    path = tmp_path / "a.mid"
    path.write_bytes(content[:14] + foreign + content[14:])
    assert read_voices(path)[::4].tolist() == [[60], [62]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"RIFF" + bytes(20), "it does not begin with a MIDI header"),
        (smf(NOTE + END)[:-3], "track 0 should end at byte 35 of 32; the file is cut short"),
        (smf(NOTE + END, count=2), "1 of 2 tracks are there; the file is cut short"),
        (smf(NOTE + b"\x00\x90\x3c"), "track 0, byte 10: an event is incomplete"),
        (smf(b"\x00\x3c\x40" + END), "track 0, byte 1: data that belong to no event"),
        (smf(b"\xff\xff\xff\xff\xff"), "track 0, byte 4: a number is incomplete"),
    ],
)
def test_a_damaged_file_is_told_with_track_and_byte(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "a.mid"
    path.write_bytes(content)
    told = f"{path}: not a MIDI file, or a damaged one ({words}"
    assert refused(read_voices, path).startswith(told)


def without_end(path: Path, *pitches: int, missing: int) -> Path:
    """A soprano above an alto; the soprano's `missing`-th note has no end."""
    midi(path, [("Soprano", {0: line(*pitches)}), ("Alto", {1: line(*[55] * len(pitches))})])
    file = mido.MidiFile(path)
    ends = [m for m in file.tracks[0] if m.type == "note_on" and m.velocity == 0]
    at = file.tracks[0].index(ends[missing])
    file.tracks[0][at + 1].time += ends[missing].time
    del file.tracks[0][at]
    file.save(path)
    return path


def test_a_note_without_an_end_is_told_where_it_begins(tmp_path: Path) -> None:
    """Neither the line's first note nor a later one of the same pitch is named instead."""
    path = without_end(tmp_path / "a.mid", 67, 67, 69, 71, 72, 71, 69, 67, missing=2)
    where = f"{path}, Soprano, quarter note 2 from the beginning"
    assert refused(read_voices, path) == f"{where}: a note without an end (pitch 69)"


def test_a_note_without_an_end_that_is_struck_again_ends_there(tmp_path: Path) -> None:
    score = read_score(without_end(tmp_path / "a.mid", 65, 67, 67, 71, missing=1))
    assert score.voices[::4, 0].tolist() == [65, 67, 67, 71]
    assert score.repairs == {Repair.OVERLAP: 1}


@pytest.mark.parametrize(
    ("signatures", "metre"),
    [
        ([], ("", 0)),
        ([(0, 4, 4)], ("", 0)),
        ([(0, 2, 2)], ("", 0)),
        ([(0, 3, 4)], ("3/4", 0)),
        ([(0, 4, 4), (8, 3, 4), (11, 4, 4)], ("4/4 and 3/4", 0)),
        ([(0, 1, 4), (1, 4, 4)], ("", 1)),  # as notation programs write an upbeat
        ([(0, 1, 4), (1, 3, 4)], ("3/4", 1)),
        ([(0, 4, 4), (4, 2, 4)], ("4/4 and 2/4", 0)),
    ],
)
def test_metre_and_upbeat_are_read(
    tmp_path: Path, signatures: list[tuple[int, int, int]], metre: tuple[str, int]
) -> None:
    file = mido.MidiFile(midi(tmp_path / "a.mid", [("", {0: line(*[60, 62] * 8)})]))
    track, now = file.add_track("metre"), 0
    for quarter, beats, unit in signatures:
        track.append(
            mido.MetaMessage(
                "time_signature", numerator=beats, denominator=unit, time=(quarter - now) * QUARTER
            )
        )
        now = quarter
    file.save(tmp_path / "a.mid")
    assert read_score(tmp_path / "a.mid").metre == metre
