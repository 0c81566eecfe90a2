"""Sound as files: WAV, and in fewer bytes FLAC and Ogg Vorbis, by libsndfile."""

import io
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from rnnray.chorale.chords import Chords, Onsets
from rnnray.chorale.composing_options import InstrumentName
from rnnray.chorale.render.sound import Samples, pcm, synthesize, wav_bytes

RATE = 44100
# libvorbis needs stack for all samples that it is handed at once.
_BLOCK = 1 << 14
_SERIAL = bytes(4)  # of an Ogg stream; libsndfile draws one by the clock
_HEADER = 27  # bytes of an Ogg page before the lengths of its segments


def flac_bytes(audio: Samples, sample_rate: int = RATE) -> bytes:
    """Return a FLAC file with the samples of `wav_bytes`, the same bytes for the same arguments.

    Args:
        audio: float [samples, 2] from -1 to 1.
        sample_rate: samples a second.

    Raises:
        ValueError: see `rnnray.chorale.render.sound.wav_bytes`.
    """
    return _encoded(audio, sample_rate, "FLAC", "PCM_16")


def ogg_bytes(audio: Samples, sample_rate: int = RATE) -> bytes:
    """Return an Ogg Vorbis file, a lossy form, the same bytes for the same arguments.

    Args:
        audio: float [samples, 2] from -1 to 1.
        sample_rate: samples a second.

    Raises:
        ValueError: see `rnnray.chorale.render.sound.wav_bytes`.
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
"""Makers of the sound files that users choose from, by suffix: from samples and a sample rate."""


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
