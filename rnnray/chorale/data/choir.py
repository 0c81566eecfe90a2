"""The choice of soprano, alto, tenor and bass among the lines of a score.

Part names are read in English, German, French, Spanish, Italian and Latin.
"""

import re
import unicodedata
from collections.abc import Callable
from itertools import groupby

import numpy as np

from rnnray.chorale.chords import VOICE_COUNT
from rnnray.chorale.data.grid import Column, Voices

_LABELS = (
    "s sop soprano sopranos soprani sopranes sopran soprane discant diskant discantus cantus canto "
    "superius dessus tiple treble",
    "a alt alto altos alti alte altus contralto contraltos contralti",
    "t ten tenor tenors tenores tenore tenori taille",
    "b bass basses basse basso bassi bassus bas bajo bajos",
)
_VOICE_OF = {word: voice for voice, words in enumerate(_LABELS) for word in words.split()}
_PAIRS = {
    word: pair
    for words, pair in (
        ("women ladies frauen frauenstimmen femmes mujeres donne", (0, 1)),
        ("men manner mannerstimmen hommes hombres uomini", (2, 3)),
    )
    for word in words.split()
}
# Singers whose name leaves their voice open.
_SINGERS = re.compile(
    r"(voice|vocal|choir|chorus|chor|choeur|coro|singer|sing?stimme|gesang|chant|voix|voz|voces|voci"
    r"|voce|vox|melod)"
)
# Beginnings of words for instruments, or for singers outside the four voices.
_OTHERS = re.compile(
    r"(pian|klavier|keyb|org[aeu]|harps|cembal|clavec|clavic|synth|accord|akkord|strings?$|streich"
    r"|viol|gamb|cell|kontrab|contrab|double|doppel|ele[ck]tr|acoustic|fretless|slap|pizz|guit|git"
    r"|chit|lute$|laut|luth|liut|theorb|tiorb|harp|harf|arpa|flut|flot|flaut|block|record|pic+ol"
    r"|obo|hautb|clarin|klarin|bassoon|fag|basson|horn|cor$|corno|corni|engl|trump|trom|clarin"
    r"|posaun|tuba|zink|cornett|sax|euph|timp|pauk|perc|drum|schlag|bell|glock|continuo|solo|soli"
    r"|descant|accomp|begleit|rehears)"
)
# Sounding pitches of choirs, soprano to bass, with a margin.
_RANGES = ((57, 81), (52, 76), (45, 70), (36, 64))
_WITHIN = 0.95


Choice = tuple[Voices, Column | None]
"""A line and one of its columns; None for a line with a fault."""


def voices_named(name: str) -> tuple[int, ...]:
    """Return the voices in a part's name: 0 = soprano to 3 = bass; () for none or an instrument.

    Text in brackets is ignored. Several voices are named as "Soprano/Alto" or "SA".
    """
    words = _words(name)
    if any(_OTHERS.match(word) for word in words):
        return ()
    for word in words:
        if word in _PAIRS:
            return _PAIRS[word]
    if len(words) == 1 and re.fullmatch("(?=..)s?a?t?b?", words[0]):
        return tuple("satb".index(letter) for letter in words[0])
    # A single letter may number a voice, as in "Voice a": it counts only if all words are letters.
    letters = all(len(word) == 1 for word in words)
    found = [_VOICE_OF[word] for word in words if word in _VOICE_OF and (letters or len(word) > 1)]
    return tuple(dict.fromkeys(found))


def _first_voice(name: str) -> tuple[int, ...]:
    """Return the voice that a name begins with, as in "Soprano, Oboe 1, Violin 1"."""
    voice = _VOICE_OF.get(next(iter(_words(name)), ""))
    return () if voice is None else (voice,)


def is_instrument(name: str) -> bool:
    """Return whether a part's name is an instrument's, or a soloist's beside the choir."""
    return any(_OTHERS.match(word) for word in _words(name))


def _words(name: str) -> list[str]:
    outside = re.sub(r"\(.*?\)|\[.*?\]", " ", name)
    plain = unicodedata.normalize("NFKD", outside.casefold())
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    return re.findall(r"[^\W\d_]+", plain)


def four_voices(found: list[Voices]) -> list[Choice] | None:
    """Return soprano, alto, tenor and bass of a score that may have more; None if unclear.

    Parts whose names say each voice once are the four voices, without what doubles or divides them
    throughout. Otherwise, four voices or fewer are
    all used, ordered by names or by mean pitch. Of more, lines are left out in these steps until
    four remain:

    - instruments, if the name of any part is a singer's;
    - copies of other lines, if four remain without them;
    - all except the four adjacent lines within the ranges of a choir, if there is one such group.

    A line with a fault has None for its column.
    """
    columns = _columns(found)
    for names_of in (voices_named, _first_voice):
        named = _named(columns, names_of)
        choir = [(voice, one) for voice, one in zip(named, columns, strict=True) if voice >= 0]
        if sorted(voice for voice, _ in choir) == list(range(VOICE_COUNT)):
            return [one for _, one in sorted(choir, key=lambda pair: pair[0])]
    refused = len(columns) > VOICE_COUNT or any(column is None for _, column in columns)
    if refused and any(_sings(voices.line.part_name) for voices in found):
        columns = [c for c in columns if not is_instrument(c[0].line.part_name)] or columns
    if len(columns) > VOICE_COUNT:
        first = [
            (voices, column)
            for index, (voices, column) in enumerate(columns)
            if not any(_equal(column, other) for _, other in columns[:index])
        ]
        columns = first if len(first) == VOICE_COUNT else columns
    if len(columns) <= VOICE_COUNT:
        return _in_order(columns)
    runs = [columns[first : first + VOICE_COUNT] for first in range(len(columns) - VOICE_COUNT + 1)]
    choirs = [run for run in runs if _is_choir(run)]
    return choirs[0] if len(choirs) == 1 else None


def _columns(found: list[Voices]) -> list[Choice]:
    columns: list[Choice] = []
    for voices in found:
        columns += [(voices, column) for column in voices.columns] or [(voices, None)]
    return columns


def _named(columns: list[Choice], names_of: Callable[[str], tuple[int, ...]]) -> list[int]:
    """Return each column's voice by its part's name; -1 for none, or if that is not clear."""
    named: list[int] = []
    for _, group in groupby(columns, key=lambda choice: choice[0].line.part):
        of_part = list(group)
        names = sorted(names_of(of_part[0][0].line.part_name))
        means = [0 if column is None else column[column > 0].mean() for _, column in of_part]
        if len(names) == 1 < len(of_part) and 0 not in means:
            # A voice that is divided or doubled throughout: as in chords, the outer note is kept.
            outer = means.index((min if names == [VOICE_COUNT - 1] else max)(means))
            named += [names[0] if index == outer else -1 for index in range(len(of_part))]
        else:
            named += names if len(names) == len(of_part) else [-1] * len(of_part)
    return named


def _in_order(columns: list[Choice]) -> list[Choice]:
    """Order by names if each names another voice, otherwise by mean pitch, highest first."""
    named: list[float] = [*_named(columns, voices_named)]
    if -1 in named or len(set(named)) < len(named):
        named = [0 if column is None else -column[column > 0].mean() for _, column in columns]
    return [columns[index] for index in sorted(range(len(columns)), key=named.__getitem__)]


def _sings(name: str) -> bool:
    words = _words(name)
    return bool(voices_named(name)) or any(_SINGERS.match(word) for word in words)


def _equal(one: Column | None, other: Column | None) -> bool:
    return one is not None and other is not None and np.array_equal(one, other)


def _is_choir(run: list[Choice]) -> bool:
    means = []
    for (voices, column), (low, high) in zip(run, _RANGES, strict=True):
        if column is None or len(voices.columns) > 1 or is_instrument(voices.line.part_name):
            return False
        sung = column[column > 0]
        if ((sung >= low) & (sung <= high)).mean() < _WITHIN:
            return False
        means.append(sung.mean())
    return means == sorted(means, reverse=True)
