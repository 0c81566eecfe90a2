"""Notes of MusicXML files, plain or compressed (https://www.w3.org/2021/06/musicxml40/).

The reader does without music21, which loses cue notes and the number of a bar's only voice. After a
bar that is too short in a part, music21 also shifts that part.
"""

import io
import zipfile
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import NamedTuple
from xml.etree import ElementTree

from rnnray.chorale.data.lines import Line, Note, overlap
from rnnray.chorale.data.metre import WHOLE, Metre, metre_of
from rnnray.chorale.data.repairs import Repair, Repairs
from rnnray.errors import UserError

_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_ZIP = b"PK\x03\x04"


class _Sung(NamedTuple):
    """A note within its bar."""

    staff: str
    voice: str
    start: Fraction  # quarters from the bar's beginning
    length: Fraction
    pitch: int
    tied: bool  # continues the note before


@dataclass
class _Bar:
    number: str
    upbeat: bool  # may be shorter than its metre
    notes: list[_Sung] = field(default_factory=list)
    content: Fraction = Fraction()  # length of notes and rests
    rest: Fraction = Fraction()  # length of a rest that fills the bar, whatever the metre
    metre: Fraction = WHOLE
    metre_name: str = ""  # empty if unknown


def read_musicxml(content: bytes, where: str) -> tuple[list[Line], Repairs, Metre]:
    """Return the notes of a MusicXML file by voice, as they sound, the repairs, and the metre.

    A bar has its length in the part in which it is longest. A chord in one voice, while another
    voice of its staff is silent, belongs to both. A voice that never sounds together with another
    one of its staff continues that one.

    Args:
        content: content of the file.
        where: name of the file, for messages.

    Raises:
        UserError: the file is not readable MusicXML.
    """
    repairs = Repairs()
    try:
        root = ElementTree.fromstring(_uncompressed(content))
        parts = [(name, list(_bars(measures, repairs))) for name, measures in _parts(root)]
    except (ElementTree.ParseError, _UnreadableError, zipfile.BadZipFile, EOFError,
            ValueError, LookupError, ArithmeticError, NotImplementedError) as error:  # fmt: skip
        words = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{where}: cannot be read as MusicXML ({words})") from error
    starts = _aligned([bars for _, bars in parts], repairs)
    lines: list[Line] = []
    names = [name for name, _ in parts]
    for number, (name, bars) in enumerate(parts):
        shown = f"{name} of part {number + 1}" if name in names[:number] else name
        lines += _lines(number, shown, bars, starts)
    return lines, repairs, _metre([bars for _, bars in parts], starts)


class _UnreadableError(Exception):
    """The content is no MusicXML; the message says why."""


def _uncompressed(content: bytes) -> bytes:
    if not content.startswith(_ZIP):
        return content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        name = next((n for n in names if n.endswith((".xml", ".musicxml")) and "META" not in n), "")
        if "META-INF/container.xml" in names:
            container = ElementTree.fromstring(archive.read("META-INF/container.xml"))
            files = [element.get("full-path") for element in container.iter() if
                     element.tag.rpartition("}")[2] == "rootfile"]  # fmt: skip
            name = next((path for path in files if path in names), None) or name
        if not name:
            raise _UnreadableError("the archive holds no score")
        return archive.read(name)


def _parts(root: ElementTree.Element) -> Iterator[tuple[str, list[ElementTree.Element]]]:
    """Yield name and bars of each part."""
    names = {
        part.get("id"): " ".join((part.findtext("part-name") or "").split())
        for part in root.iterfind("part-list/score-part")
    }
    by_part: dict[str | None, list[ElementTree.Element]] = {}
    if root.tag == "score-partwise":
        for part in root.iterfind("part"):
            by_part.setdefault(part.get("id"), []).extend(part.iterfind("measure"))
    elif root.tag == "score-timewise":
        for measure in root.iterfind("measure"):
            for part in measure.iterfind("part"):
                part.attrib.update({**measure.attrib, "id": part.get("id", "")})
                by_part.setdefault(part.get("id"), []).append(part)
    else:
        raise _UnreadableError(f"it is {root.tag[:40]!r}, not a score")
    for number, (key, measures) in enumerate(by_part.items(), 1):
        yield names.get(key) or f"part {number}", measures


def _bars(measures: list[ElementTree.Element], repairs: Repairs) -> Iterator[_Bar]:
    divisions, transposed, name, metre = Fraction(1), 0, "", WHOLE
    for index, measure in enumerate(measures):
        bar = _Bar(
            measure.get("number") or str(index + 1),
            index == 0 or measure.get("implicit") == "yes",
        )
        now = start = Fraction()
        for element in measure:
            if element.tag == "attributes":
                divisions = Fraction(element.findtext("divisions") or divisions)
                transposed = _transposed(element, transposed)
                name, metre = _metre_named(element) or (name, metre)
            elif element.tag in ("backup", "forward"):
                length = _duration(element, divisions)
                now = max(Fraction(), now - length) if element.tag == "backup" else now + length
                bar.content = max(bar.content, now)
            elif element.tag == "note" and element.find("grace") is not None:
                repairs[Repair.GRACE] += element.find("pitch") is not None
            elif element.tag == "note":
                length = _duration(element, divisions)
                if element.find("chord") is None:
                    start, now = now, now + length
                rest = element.find("rest")
                if rest is not None and rest.get("measure") == "yes":
                    bar.rest = max(bar.rest, now)
                    continue
                bar.content = max(bar.content, now)
                pitch = element.find("pitch")
                if pitch is None:
                    continue
                if element.find("cue") is not None:
                    repairs[Repair.CUE] += 1
                    continue
                voice, staff = element.findtext("voice", "1"), element.findtext("staff", "1")
                bar.notes.append(
                    _Sung(
                        staff.strip(),
                        voice.strip(),
                        start,
                        length,
                        _midi(pitch) + transposed,
                        _tied(element),
                    )
                )
        bar.metre, bar.metre_name = metre, name
        yield bar


def _duration(element: ElementTree.Element, divisions: Fraction) -> Fraction:
    length = Fraction((element.findtext("duration") or "0").strip()) / divisions
    if length < 0:
        raise _UnreadableError(f"a duration of {length} quarter notes")
    return length


def _transposed(attributes: ElementTree.Element, before: int) -> int:
    transpose = attributes.find("transpose")
    if transpose is None:
        return before
    chromatic = round(float(transpose.findtext("chromatic") or 0))
    return chromatic + 12 * int(transpose.findtext("octave-change") or 0)


def _metre_named(attributes: ElementTree.Element) -> tuple[str, Fraction] | None:
    """Return name and quarters of a metre; None if it does not change or is no fraction."""
    beats = (attributes.findtext("time/beats") or "").strip()
    unit = (attributes.findtext("time/beat-type") or "").strip()
    counts = beats.split("+")
    if not unit.isdecimal() or not all(count.strip().isdecimal() for count in counts):
        return None
    length = Fraction(4 * sum(map(int, counts)), int(unit))
    return (f"{beats}/{unit}", length) if length else None


def _tied(note: ElementTree.Element) -> bool:
    ties = [*note.iterfind("tie"), *note.iterfind("notations/tied")]
    return any(tie.get("type") == "stop" for tie in ties)


def _midi(pitch: ElementTree.Element) -> int:
    step = _STEPS[(pitch.findtext("step") or "").strip().upper()]
    alter = round(float(pitch.findtext("alter") or 0))
    return 12 * (int(pitch.findtext("octave") or 0) + 1) + step + alter


def _aligned(parts: list[list[_Bar]], repairs: Repairs) -> list[Fraction]:
    """Return the beginning of each bar, the same for all parts."""
    starts = [Fraction()]
    for index in range(max(map(len, parts), default=0)):
        bars = [bars[index] for bars in parts if index < len(bars)]
        content = max(bar.content for bar in bars)
        # A rest that fills a bar may claim any length. It counts if its length is the metre's and
        # no upbeat is expected.
        full = [bar.rest for bar in bars if bar.rest == bar.metre and not bar.upbeat]
        length = max([content, *full]) or max(bar.rest for bar in bars) or bars[0].metre
        missing = sum(0 < len(bars) <= index for bars in parts)
        repairs[Repair.SHORT_BAR] += missing + sum(
            bar.content < length and not bar.rest for bar in bars
        )
        starts.append(starts[-1] + length)
    lengths = [end - start for start, end in pairwise(starts)]
    longest = max(parts, key=len, default=[])
    for index, bar in enumerate(longest[:-1]):
        before, length, after = lengths[max(0, index - 1)], lengths[index], lengths[index + 1]
        # Bars that are divided, as by a repeat, are whole together.
        whole = bar.metre in (before + length, length + after)
        if bar.metre_name and not bar.upbeat and not whole:
            repairs[Repair.SHORT_BARS] += length < bar.metre
    return starts


def _metre(parts: list[list[_Bar]], starts: list[Fraction]) -> Metre:
    bars = max(parts, key=len, default=[])
    named = [(bar.metre_name, bar.metre) for bar in bars if bar.metre_name]
    first = starts[1] if len(starts) > 2 and bars[0].metre_name else WHOLE
    return metre_of(named, first if bars and first < bars[0].metre else Fraction())


def _lines(number: int, name: str, bars: list[_Bar], starts: list[Fraction]) -> list[Line]:
    """Return the lines of a part, staff by staff."""
    by_voice: dict[tuple[str, str], list[Note]] = defaultdict(list)
    for bar, offset in zip(bars, starts, strict=False):
        for note in bar.notes:
            start = offset + note.start
            by_voice[note.voice, note.staff].append(
                Note(note.pitch, start, start + note.length, f"bar {bar.number}", note.tied)
            )
    # A voice that crosses to the other staff belongs to the staff of most of its notes.
    for voice, staff in sorted(by_voice, key=lambda key: len(by_voice[key])):
        homes = [key for key in by_voice if key[0] == voice and key[1] != staff]
        for home in sorted(homes, key=lambda key: -len(by_voice[key])):
            if not overlap(by_voice[voice, staff], by_voice[home]):
                by_voice[home] += by_voice.pop((voice, staff))
                break
    staves: dict[str, dict[str, list[Note]]] = defaultdict(dict)
    for voice, staff in sorted(by_voice, key=lambda key: (_order(key[1]), _order(key[0]))):
        staves[staff][voice] = by_voice[voice, staff]
    found = [notes for voices in staves.values() for notes in _shared(_continued(voices))]
    return [
        Line(number, name, f"voice {index}" if len(found) > 1 else "", sorted(notes, key=_begin))
        for index, notes in enumerate(found, 1)
    ]


def _order(label: str) -> tuple[int, str]:
    return (int(label), "") if label.isdecimal() else (1 << 30, label)


def _begin(note: Note) -> tuple[Fraction, int]:
    return note.start, -note.pitch


def _continued(voices: dict[str, list[Note]]) -> list[list[Note]]:
    """Return the voices of a staff; those that never sound together are joined."""
    order = list(voices)
    kept: list[str] = []
    for voice in sorted(order, key=lambda voice: -len(voices[voice])):
        free = [other for other in kept if not overlap(voices[voice], voices[other])]
        if free:
            nearest = min(free, key=lambda other: abs(order.index(other) - order.index(voice)))
            voices[nearest] += voices[voice]
        else:
            kept.append(voice)
    return [voices[voice] for voice in order if voice in kept]


def _shared(lines: list[list[Note]]) -> list[list[Note]]:
    """Return the lines of a staff; voices that are silent meanwhile share each chord."""
    if len(lines) == 1:
        return lines
    shared: list[list[Note]] = [[] for _ in lines]
    silences = [_Silences(line) for line in lines]
    for index, line in enumerate(lines):
        chords: dict[tuple[Fraction, Fraction], list[Note]] = defaultdict(list)
        for note in line:
            chords[note.start, note.end].append(note)
        for (start, end), chord in chords.items():
            silent = [
                other
                for other, silence in enumerate(silences)
                if len(chord) > 1 and other != index and silence.lasts(start, end)
            ]
            chord.sort(key=lambda note: -note.pitch)
            takers = sorted([index, *silent][: len(chord)])
            for rank, note in enumerate(chord):
                # If there are more notes than voices, the lowest note is for the lowest voice.
                last = rank == len(chord) - 1
                shared[takers[-1] if last else takers[min(rank, len(takers) - 1)]].append(note)
    return shared


class _Silences:
    """The silences of a line."""

    def __init__(self, line: list[Note]) -> None:
        spans = sorted((note.start, note.end) for note in line)
        self._starts = [start for start, _ in spans]
        self._ends = list(accumulate((end for _, end in spans), max))

    def lasts(self, start: Fraction, end: Fraction) -> bool:
        """Return whether no note sounds between two times."""
        begun = bisect_left(self._starts, end)
        return begun == 0 or self._ends[begun - 1] <= start
