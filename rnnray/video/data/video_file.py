"""A video file, decoded by FFmpeg: the frames that a clip has, and the sound of each."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rnnray.errors import UserError
from rnnray.video.video_config import ClipConfig

# The only containers that FFmpeg may take a file for: of others (playlists, concatenations), a file
# could make it read further files, or the network.
_CONTAINERS = "mov,matroska,avi"
_ENDINGS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_BUFFER_BYTES = 1 << 18
# A container may have sound some time after the pictures of the same moment.
_APART_SECONDS = 5.0
_SOON = 1e-6  # seconds: a frame this long after a moment is the one that is shown at it


class BadVideo(UserError):  # noqa: N818
    """A file that cannot be used as a video, which may be skipped."""

    def __init__(self, file_name: str, reason: str) -> None:
        super().__init__(file_name, reason)
        self.file_name, self.reason = file_name, reason

    def __str__(self) -> str:
        return (
            f"{self.file_name}: cannot be used as a video ({self.reason.strip()}); replace or "
            "remove it, or give --on-bad-file skip"
        )


class Clip(NamedTuple):
    """Frames and sound of a video, as a classifier reads them."""

    frames: npt.NDArray[np.uint8]
    """[frames, size, size, 3], red, green, blue; at least one frame."""
    sound: npt.NDArray[np.int16]
    """[frames, samples], silence where there is none; no samples if no sound is read."""
    has_sound: bool
    """True if the file has a sound track."""
    cropped: bool
    """True if the video goes on after the last frame of the clip."""


def import_av() -> Any:
    """Return PyAV.

    Raises:
        UserError: it is not installed.
    """
    try:
        import av  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise UserError(
            'videos need PyAV, an extra of this project: pip install "rnnray[video]"'
        ) from error
    return av


def may_be_video(name: str, head: bytes) -> bool:
    """Return whether a file begins as MP4, QuickTime, Matroska, WebM or AVI does, or is named so.

    Args:
        name: name of the file.
        head: its first 12 bytes.
    """
    return (
        head[4:8] in _BOXES
        or head[:4] == b"\x1a\x45\xdf\xa3"
        or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
        or name.lower().endswith(_ENDINGS)
    )


def read(file: Any, file_name: str, config: ClipConfig) -> Clip:
    """Decode the clip of a video.

    Frame k is the picture that is shown k / frames_per_second seconds after the first one,
    whatever the frame rate. It is turned upright, as the file says, and resized to a square.

    Args:
        file: an opened binary file that seeks.
        file_name: path of the file, for messages.
        config: how a video becomes a clip.

    Raises:
        BadVideo: the file is no video, or a damaged one.
        OSError: the file cannot be read.
    """
    av = import_av()
    try:
        with av.open(
            file,
            "r",
            container_options={"format_whitelist": _CONTAINERS},
            buffer_size=_BUFFER_BYTES,
        ) as container:
            video, audio = container.streams.best("video"), None
            if video is None:
                raise BadVideo(file_name, "it has no pictures")
            if config.sound:
                audio = container.streams.best("audio", related=video)
            clip = _decoded(av, container, video, audio, config)
    # ValueError: of PyAV, for sound that changes its form.
    except (av.FFmpegError, ValueError) as error:
        raise BadVideo(file_name, getattr(error, "strerror", None) or str(error)) from error
    if clip is None:
        raise BadVideo(file_name, "none of its pictures can be decoded")
    return clip


def _decoded(av: Any, container: Any, video: Any, audio: Any, config: ClipConfig) -> Clip | None:
    """Decode the pictures and the sound of a clip; None without any picture."""
    video.thread_count = 1  # each CPU decodes a file of its own
    usual = float(1 / video.average_rate) if video.average_rate else 1 / 25
    pictures, sound = _Pictures(av, config, usual), _Sound(av, config)
    for frame in container.decode(*filter(None, (video, audio))):
        if isinstance(frame, av.AudioFrame):
            sound.add(frame)
            continue
        pictures.add(frame)
        if pictures.cropped and (audio is None or sound.reaches(pictures.end, pictures.now)):
            break
    frames = pictures.all()
    if frames is None:
        return None
    windows = sound.windows(pictures.first, len(frames))
    return Clip(frames, windows, audio is not None, pictures.cropped)


class _Pictures:
    """The pictures that are shown at the moments of a clip, of frames in the order of time.

    Args:
        av: PyAV.
        config: how a video becomes a clip.
        usual: seconds that a frame is shown which does not say how long.
    """

    def __init__(self, av: Any, config: ClipConfig, usual: float) -> None:
        self._config, self._usual = config, usual
        self._reformatter = av.video.reformatter.VideoReformatter()
        self._taken: list[npt.NDArray[np.uint8]] = []
        self._shown: Any = None
        self.first = self.now = 0.0
        """Times of the first frame and of the last one so far, in seconds."""
        self.cropped = False
        self.end = self._moment(config.max_frames)
        """Time at which the clip ends, in seconds."""

    def add(self, frame: Any) -> None:
        """Take the next frame."""
        time = frame.time
        if self._shown is None:
            self.first = self.now = time or 0.0
            self.end = self._moment(self._config.max_frames)
        else:
            # Some containers have no timestamps, and damaged ones go back.
            self.now = self._over() if time is None else max(self.now, time)
            self._take_until(self.now)
        self.cropped = self.cropped or self.now > self.end - _SOON
        self._shown = frame

    def all(self) -> npt.NDArray[np.uint8] | None:
        """Return the frames of the clip after the last frame of the video; None without any."""
        if self._shown is None:
            return None
        self._take_until(self._over())
        if not self._taken:
            self._taken.append(self._square())
        return np.stack(self._taken)

    def _over(self) -> float:
        """Return the time at which the last frame so far is over."""
        frame = self._shown
        return self.now + (
            float(frame.duration * frame.time_base) if frame.duration else self._usual
        )

    def _moment(self, number: int) -> float:
        return self.first + number / self._config.frames_per_second

    def _take_until(self, time: float) -> None:
        """Take what is shown at all moments before a time."""
        picture = None
        while (
            len(self._taken) < self._config.max_frames
            and self._moment(len(self._taken)) < time - _SOON
        ):
            picture = self._square() if picture is None else picture
            self._taken.append(picture)

    def _square(self) -> npt.NDArray[np.uint8]:
        size = self._config.frame_size
        square = self._reformatter.reformat(
            self._shown, size, size, "rgb24", interpolation="AREA"
        ).to_ndarray()
        upright: npt.NDArray[np.uint8] = np.rot90(square, round(self._shown.rotation / 90))
        return upright


class _Sound:
    """The samples of a sound track, with their times."""

    def __init__(self, av: Any, config: ClipConfig) -> None:
        self._config = config
        self._resampler = av.AudioResampler("s16", "mono", config.sound_rate)
        self._pieces: list[tuple[float, npt.NDArray[np.int16]]] = []

    def add(self, frame: Any) -> None:
        """Take the next frame; None for those that the resampler still holds."""
        for piece in self._resampler.resample(frame):
            self._pieces.append((piece.time or 0.0, piece.to_ndarray()[0]))

    def reaches(self, time: float, now: float) -> bool:
        """Return whether no more sound before a time is to come; the pictures are `now` there."""
        last = self._pieces[-1][0] if self._pieces else -np.inf
        return last >= time or now >= time + _APART_SECONDS

    def windows(self, first: float, frames: int) -> npt.NDArray[np.int16]:
        """Return the samples of each frame of a clip that begins at a time: [frames, samples]."""
        if not self._config.sound:
            return np.zeros((frames, 0), np.int16)
        self.add(None)
        starts = np.arange(frames) * self._config.sound_rate / self._config.frames_per_second
        indices = starts.round().astype(np.int64)[:, None] + np.arange(self._config.samples())
        track = np.zeros(int(indices[-1, -1]) + 1, np.int16)
        for time, piece in self._pieces:
            start = round((time - first) * self._config.sound_rate)
            low, high = np.clip([start, start + len(piece)], 0, len(track))
            track[low:high] = piece[low - start : high - start]
        samples: npt.NDArray[np.int16] = track[indices]
        return samples
