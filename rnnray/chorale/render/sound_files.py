"""Sound as files: WAV, and in fewer bytes FLAC and Ogg Vorbis, by libsndfile."""

import io
import wave
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import numpy.typing as npt

from rnnray.chorale.chords import Chords, Onsets
from rnnray.chorale.composing_options import InstrumentName
from rnnray.chorale.render.sound import Samples, synthesize

RATE = 44100
# Samples encoded at a time: libvorbis needs stack for all of them.
_BLOCK = 1 << 14
_SERIAL = bytes(4)  # serial number of an Ogg stream; libsndfile would take it from the clock
_HEADER = 27  # bytes of an Ogg page before the lengths of its segments


def wav_bytes(audio: Samples, sample_rate: int = RATE) -> bytes:
    """Return a WAV file: 16-bit PCM, stereo, without dither, so that silence stays silent.

    Args:
        audio: float [samples, 2] from -1 to 1.
        sample_rate: samples a second.

    Raises:
        ValueError: another shape, or samples that are NaN or beyond full scale.
    """
    samples = pcm(audio)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(2)
        writer.setsampwidth(2)
        writer.setframerate(sample_rate)
        writer.writeframes(samples.astype("<i2", copy=False).tobytes())
    return file.getvalue()


def pcm(audio: Samples) -> npt.NDArray[np.int16]:
    """Return samples as int16 [samples, 2]; raises as `wav_bytes` does."""
    if audio.ndim != 2 or audio.shape[1] != 2:
        raise ValueError(f"audio is float [samples, 2], not of the shape {list(audio.shape)}")
    # NaN compares false.
    if audio.size and not (audio.min() >= -1 and audio.max() <= 1):
        raise ValueError("audio has samples that are NaN or beyond -1 to 1")
    samples: npt.NDArray[np.int16] = np.rint(audio * np.float32(32767)).astype(np.int16)
    return samples


def flac_bytes(audio: Samples, sample_rate: int = RATE) -> bytes:
    """Return a FLAC file with the samples of `wav_bytes`, the same bytes for the same arguments.

    Args:
        audio: float [samples, 2] from -1 to 1.
        sample_rate: samples a second.

    Raises:
        ValueError: see `wav_bytes`.
    """
    return _encoded(audio, sample_rate, "FLAC", "PCM_16")


def ogg_bytes(audio: Samples, sample_rate: int = RATE) -> bytes:
    """Return an Ogg Vorbis file, a lossy form, the same bytes for the same arguments.

    Args:
        audio: float [samples, 2] from -1 to 1.
        sample_rate: samples a second.

    Raises:
        ValueError: see `wav_bytes`.
    """
    content = _encoded(audio, sample_rate, "OGG", "VORBIS")
    pages = []
    start = 0
    while start < len(content):
        segments = content[start + _HEADER : start + _HEADER + content[start + _HEADER - 1]]
        stop = start + _HEADER + len(segments) + sum(segments)
        pages.append(_with_serial(content[start:stop]))
        start = stop
    return b"".join(pages)


def _encoded(audio: Samples, sample_rate: int, kind: str, subtype: str) -> bytes:
    import soundfile  # noqa: PLC0415  (loads libsndfile, and is only needed to compress)

    samples = pcm(audio)
    file = io.BytesIO()
    sink = soundfile.SoundFile(file, "w", sample_rate, 2, subtype, format=kind)
    with sink as writer:
        for start in range(0, len(samples), _BLOCK):
            writer.write(samples[start : start + _BLOCK])
    return file.getvalue()


def _with_serial(page: bytes) -> bytes:
    """Return an Ogg page with our serial number, and its checksum (RFC 3533, section 6)."""
    page = page[:14] + _SERIAL + page[18:22] + bytes(4) + page[26:]
    crc = 0
    for byte in page:
        crc = (crc << 8) & 0xFFFFFFFF ^ _CRCS[crc >> 24 ^ byte]
    return page[:22] + crc.to_bytes(4, "little") + page[26:]


def _crcs() -> list[int]:
    crcs = np.arange(256, dtype=np.uint32) << 24
    for _ in range(8):
        crcs = np.where(crcs >> 31, crcs << 1 ^ np.uint32(0x04C11DB7), crcs << 1)
    return [int(crc) for crc in crcs]


_CRCS = _crcs()


SOUNDS: Mapping[str, Callable[[Samples, int], bytes]] = {
    "wav": wav_bytes,
    "flac": flac_bytes,
    "ogg": ogg_bytes,
}
"""Encoders of the sound files that users choose from, by suffix: samples, sample rate -> bytes."""


def sound_files(
    chords: Chords,
    suffixes: Iterable[str],
    *,
    tempo: float,
    instrument: InstrumentName,
    onsets: Onsets | None = None,
) -> dict[str, bytes]:
    """Return the sound files of a chorale by suffix.

    Args:
        chords: int16 [n, 4].
        suffixes: some of `SOUNDS`; without any, nothing is computed.
        tempo: quarter notes a minute.
        instrument: see `rnnray.chorale.render.sound.synthesize`.
        onsets: likewise.

    Raises:
        UserError: see `rnnray.chorale.render.sound.synthesize`.
    """
    if not (makers := {suffix: SOUNDS[suffix] for suffix in suffixes}):
        return {}
    audio = synthesize(chords, tempo=tempo, onsets=onsets, instrument=instrument, sample_rate=RATE)
    return {suffix: make(audio, RATE) for suffix, make in makers.items()}
