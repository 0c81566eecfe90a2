"""The tones of the synthesiser: sums of harmonics, one voice and one pitch at a time."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

_TABLE = 8192  # samples of one period; linear interpolation between them errs below -80 dB
_BLOCK = 32768  # samples looked up at a time, so that intermediate results stay in the cache


@dataclass(frozen=True)
class Rank:
    """A row of pipes, or a singer: a tone of its own that sounds with the others.

    Ranks differ by fractions of a hertz and not by cents, so that they beat as slowly in the
    soprano as in the bass.
    """

    multiple: int = 1  # multiple of the note's frequency: 1 is an organ's 8' stop, 2 is 4', 4 is 2'
    level: float = 1.0  # amplitude of the first harmonic
    detune: float = 0.0  # Hz
    slope: float = 1.0  # harmonic k has the amplitude k ** -slope, before formants
    vibrato_rate: float = 0.0  # Hz
    vibrato_depth: float = 0.0  # cents to either side


@dataclass(frozen=True)
class Instrument:
    """Ranks and the envelope of a note; one tuple of ranks a voice (S, A, T, B)."""

    ranks: tuple[tuple[Rank, ...], ...]
    attack: float  # seconds to full loudness
    release: float  # seconds into the next chord, chosen so that power neither dips nor swells
    formants: bool = False


_PRINCIPAL = Rank(slope=1.6)
_FLUTE = Rank(level=0.2, slope=3.0, detune=0.6)
_OCTAVE = Rank(multiple=2, level=0.35, slope=1.6, detune=-0.4)
_FIFTEENTH = Rank(multiple=4, level=0.15, slope=1.6, detune=0.5)


def _section(rate: float, depth: float) -> tuple[Rank, ...]:
    """Return three singers of one voice, each with her own pitch and her own vibrato."""
    return (
        Rank(vibrato_rate=rate, vibrato_depth=depth),
        Rank(level=0.35, detune=0.7, vibrato_rate=rate * 1.11, vibrato_depth=depth * 0.8),
        Rank(level=0.35, detune=-0.9, vibrato_rate=rate * 0.93, vibrato_depth=depth * 1.2),
    )


INSTRUMENTS: dict[Literal["organ", "choir"], Instrument] = {
    "organ": Instrument(
        ranks=((_PRINCIPAL, _FLUTE, _OCTAVE, _FIFTEENTH),) * 4, attack=0.06, release=0.085
    ),
    "choir": Instrument(
        ranks=(_section(5.6, 14.0), _section(5.3, 12.0), _section(5.1, 11.0), _section(4.8, 10.0)),
        attack=0.1,
        release=0.14,
        formants=True,
    ),
}

# An "ah" sung by a soprano, alto, tenor and bass: frequency (Hz), level (dB) and bandwidth (Hz) of
# the five formants, from the table of formant values in the Csound manual.
_AH = np.array(
    [
        [[800, 1150, 2900, 3900, 4950], [0, -6, -32, -20, -50], [80, 90, 120, 130, 140]],
        [[800, 1150, 2800, 3500, 4950], [0, -4, -20, -36, -60], [80, 90, 120, 130, 140]],
        [[650, 1080, 2650, 2900, 3250], [0, -6, -7, -8, -22], [80, 90, 120, 130, 140]],
        [[600, 1040, 2250, 2450, 2750], [0, -7, -9, -9, -20], [60, 70, 110, 120, 130]],
    ],
    dtype=np.float64,
)


def frequency(pitch: float) -> float:
    """Return the frequency in Hz of a MIDI pitch, equal temperament, A4 = 69 = 440 Hz."""
    return float(440.0 * 2.0 ** ((pitch - 69.0) / 12.0))


def steady_tone(
    instrument: Instrument, voice: int, pitch: int, count: int, sample_rate: int
) -> Samples:
    """Return a note that begins at full loudness and never ends, as loud to the ear as any other.

    Its loudness is its power after the B-weighting of IEC 60651, which approximates the ear at a
    moderate level. So basses get more power than sopranos, and sound equally loud.

    Args:
        instrument: ranks of the instrument.
        voice: 0 to 3 for S, A, T, B.
        pitch: MIDI pitch, 1 to 127.
        count: number of samples.
        sample_rate: samples a second.

    Returns:
        float32 [count], only harmonics below half the sample rate.
    """
    base = frequency(pitch)
    tone = np.zeros(count, np.float32)
    power = 0.0
    for index, rank in enumerate(instrument.ranks[voice]):
        hertz = base * rank.multiple + rank.detune
        spectrum = _harmonics(rank, hertz, voice if instrument.formants else None, sample_rate)
        heard = spectrum * _b_weighting(hertz * np.arange(1.0, len(spectrum) + 1))
        power += float(np.sum(heard**2)) / 2
        _add_rank(tone, spectrum, rank, hertz, phase=index * 1.7, sample_rate=sample_rate)
    return tone / np.float32(np.sqrt(power))


def _harmonics(
    rank: Rank, hertz: float, voice: int | None, sample_rate: int
) -> npt.NDArray[np.float64]:
    """Return the amplitudes of harmonics 1, 2, ... of a rank, up to Nyquist."""
    # Vibrato spreads a harmonic over its swing and, below -80 dB, ten times its rate beyond. Few
    # people hear anything above 18 kHz.
    nyquist = min(sample_rate / 2, 18000.0)
    highest = (nyquist - 10 * rank.vibrato_rate) / 2 ** (rank.vibrato_depth / 1200)
    k = np.arange(1.0, int(highest / hertz) + 1)
    amplitudes = k**-rank.slope
    if voice is not None:
        amplitudes *= _formant_gain(k * hertz, voice)
        # The strongest harmonic of a bass's "ah" is the eighth. The lines of a chorale are easier
        # to follow if a note's own pitch leads, as it nearly does in soft singing.
        amplitudes[0] = max(amplitudes[0], 2.5 * amplitudes[1:].max(initial=0.0))
        amplitudes /= amplitudes[0]
    # Both pipes and throats are soft at the top: 12 dB an octave from 3.5 kHz.
    return rank.level * amplitudes / np.sqrt(1 + (k * hertz / 3500) ** 4)


def _formant_gain(hertz: npt.NDArray[np.float64], voice: int) -> npt.NDArray[np.float64]:
    """Return the gain of the throat: parallel resonances, and the sound that bypasses them."""
    center, decibels, bandwidth = _AH[voice][:, :, None]
    # Twice as wide as one singer's, because no two singers of a choir have the same throat.
    peaks = 10 ** (decibels / 20) / (1 + ((hertz - center) / bandwidth) ** 2)
    gain: npt.NDArray[np.float64] = 0.1 + peaks.sum(axis=0)
    return gain


def _b_weighting(hertz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the amplitude factor of the B-weighting of IEC 60651 (1979), about 1 at 1 kHz."""
    f2 = hertz**2
    factor: npt.NDArray[np.float64] = (
        12194.0**2 * f2 * hertz / ((f2 + 20.6**2) * np.sqrt(f2 + 158.5**2) * (f2 + 12194.0**2))
    )
    return factor * 1.0197


def _add_rank(
    tone: Samples,
    spectrum: npt.NDArray[np.float64],
    rank: Rank,
    hertz: float,
    phase: float,
    sample_rate: int,
) -> None:
    """Add a rank to `tone` in place, from a table of one period."""
    coefficients = np.zeros(_TABLE // 2 + 1, np.complex64)
    k = np.arange(1, len(spectrum) + 1)
    # Quadratic phases spread a period's energy over the period (Schroeder 1970). Without them all
    # harmonics peak together, and the loudest peak limits the loudness of the whole piece.
    coefficients[k] = spectrum * np.exp(1j * np.pi * k * (k - 1) / max(len(k), 16)) / 2j
    # Scaled, because NumPy otherwise computes in double precision, at a quarter of the speed.
    table = np.fft.irfft(coefficients * np.float32(_TABLE))
    table = np.append(table, table[0])
    slope = np.diff(table)

    rate = 2 * np.pi * rank.vibrato_rate
    # `vibrato_depth` is the frequency's; the phase swings by depth / rate.
    swing = hertz * (2 ** (rank.vibrato_depth / 1200) - 1) / rate if rate else 0.0
    for start in range(0, len(tone), _BLOCK):
        block = tone[start : start + _BLOCK]
        seconds = np.arange(start, start + len(block)) / sample_rate
        cycles = hertz * seconds
        if swing:
            # Singers begin with a straight tone; the vibrato grows within a third of a second.
            grown = 1 - np.exp(-seconds / 0.3)
            cycles += swing * grown * np.sin((rate * seconds + phase).astype(np.float32))
        position = (cycles - np.floor(cycles)) * _TABLE
        index = position.astype(np.int32)
        block += table[index] + (position - index).astype(np.float32) * slope[index]
