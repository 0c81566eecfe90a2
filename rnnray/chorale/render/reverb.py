"""The reverberation of the room that a chorale sounds in."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

DECAY_SECONDS = 1.7
"""Time for which the room sounds after the last note; then it is silent."""


def add_reverb(audio: Samples, sample_rate: int, level: float) -> None:
    """Add the room's reverberation to a sound, in place, by convolution with decaying noise.

    The room is linear and always the same, so it changes nothing about which notes sound when.
    Memory does not grow with the length (overlap-add, Oppenheim and Schafer, section 8.7).

    Args:
        audio: float32 [2, samples], left and right; the reverberation of its last `DECAY_SECONDS`
            is cut off at its end.
        sample_rate: samples a second.
        level: amplitude of the reverberation of white noise, 1 for as loud as the noise itself.
    """
    spectra, tail = _spectra(sample_rate)
    size = 2 * (spectra.shape[1] - 1)
    step = size - tail
    for channel, spectrum in zip(audio, spectra, strict=True):
        carried: Samples = np.zeros(tail, np.float32)
        for start in range(0, len(channel), step):
            block = channel[start : start + step]
            wet: Samples = np.zeros(size, np.float32)
            if block.any():  # a silent block is a piece's end, where only the room sounds on
                spread = np.fft.rfft(block, size, norm="forward")
                wet = np.fft.irfft(spread * spectrum, size).astype(np.float32, copy=False)
            wet[:tail] += carried
            carried = wet[step:]
            block += np.float32(level) * wet[: len(block)]


@lru_cache(maxsize=2)
def _spectra(sample_rate: int) -> tuple[npt.NDArray[np.complex64], int]:
    """Return the room's spectra, complex64 [2, bins], and the samples that it adds to a block.

    NumPy computes transforms in double precision, four times slower, unless it has to scale them.
    So a block's transform is divided by its size, and the room's is multiplied by it.
    """
    room = _room(sample_rate)
    size = 1 << (2 * room.shape[1]).bit_length()
    spectra = np.fft.rfft(room * np.float32(size), size).astype(np.complex64)
    spectra.flags.writeable = False
    return spectra, room.shape[1] - 1


@lru_cache(maxsize=2)
def _room(sample_rate: int) -> Samples:
    """Return the response to a hand clap, float32 [2, samples], of energy 1 in each channel.

    Two bands of noise: the low one decays slowly, the high one fast, because air and walls absorb
    treble first. The channels are independent, which makes a room sound wide.
    """
    n = int(DECAY_SECONDS * sample_rate)
    seconds = np.arange(n) / sample_rate
    noise = np.fft.rfft(np.random.default_rng(1750).standard_normal((2, n)))
    hertz = np.fft.rfftfreq(n, 1 / sample_rate)
    low = 1 / (1 + (hertz / 1500) ** 2)
    # Little below 200 Hz: a booming bass hides the other voices.
    audible = hertz**2 / (hertz**2 + 200.0**2)
    # 60 dB down after 1.6 s and after 0.8 s.
    slow = np.fft.irfft(noise * low * audible, n) * np.exp(-6.91 * seconds / 1.6)
    fast = np.fft.irfft(noise * (1 - low) * audible, n) * np.exp(-6.91 * seconds / 0.8)
    # The first reflection comes after 15 ms, from the walls; the last one fades out.
    fade = np.clip((seconds - 0.015) / 0.02, 0, 1) * np.clip((seconds[-1] - seconds) / 0.3, 0, 1)
    room: Samples = ((slow + fast) * fade).astype(np.float32)
    room /= np.sqrt(np.sum(room**2, axis=1, keepdims=True))
    room.flags.writeable = False
    return room
