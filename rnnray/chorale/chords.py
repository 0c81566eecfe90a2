"""Chords, the type that all parts of the composer share."""

import numpy as np
import numpy.typing as npt

Chords = npt.NDArray[np.int16]
"""int16 [n, 4]: soprano, alto, tenor, bass; MIDI pitch, 0 = silence; a row a sixteenth note."""

Onsets = npt.NDArray[np.bool_]
"""bool [n, 4]: whether a note begins there. A pitch that is repeated without one is held."""

VOICES = ("soprano", "alto", "tenor", "bass")
VOICE_COUNT = len(VOICES)
QUARTER = 4  # sixteenths
LOWEST_PITCH, HIGHEST_PITCH = 36, 81
PITCHES = range(LOWEST_PITCH, HIGHEST_PITCH + 1)
