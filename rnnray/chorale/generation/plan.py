"""The chorales and the files of a run, which depend on its configuration alone."""

import hashlib
import io
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

import numpy as np

from rnnray import storage
from rnnray.chorale import tokens
from rnnray.chorale.chords import Chords
from rnnray.chorale.composing_options import temperature_text
from rnnray.chorale.data.reference import read_reference
from rnnray.chorale.generation.generation_options import FORMATS, GenerationConfig
from rnnray.chorale.given import given_tokens
from rnnray.chorale.render import page
from rnnray.chorale.render.midi_writer import midi_bytes
from rnnray.chorale.render.musicxml_writer import musicxml_bytes
from rnnray.chorale.render.sound import check_length
from rnnray.chorale.render.sound_files import SOUNDS, sound_files
from rnnray.chorale.request import Request
from rnnray.chorale.tokens import NONE, Tokens
from rnnray.errors import UserError
from rnnray.packaged import COMPOSER, located
from rnnray.training import checkpoints

Device = Literal["cpu", "gpu"]
PART_SIZES: Mapping[Device, int] = {"cpu": 64, "gpu": 512}
"""Chorales of a part, and the sampler's batch size, by the kind of device: a part is always
composed as the same batch. Large batches keep a GPU busy; on a CPU they would only delay the first
chorales.
"""
BACH_COUNT = 40

RUN, SUMMARY, PAGE = "run.yaml", "summary.json", "index.html"
BACH_PART = "bach/part-00000.parquet"
CONTENT_TYPES: Mapping[str, str] = {
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "mid": "audio/midi",
    "musicxml": "application/vnd.recordare.musicxml+xml",
    "parquet": "application/vnd.apache.parquet",
    "json": "application/json",
    "yaml": "application/yaml",
}

_TEMPERATURE = r"\d[\d.e-]*"  # see `temperature_text`
_WRITTEN = re.compile(
    "|".join(
        [
            rf"(temperature={_TEMPERATURE}|bach)/\d+\.({'|'.join(FORMATS)})",
            rf"(manifest/{_TEMPERATURE}|bach)/part-\d+\.parquet",
            rf"page/(temperature={_TEMPERATURE}|bach)/(\d+|figures)\.js",
            *(re.escape(f"page/{name}") for name in page.FILES),
            *map(re.escape, (RUN, SUMMARY, PAGE)),
        ]
    ),
    re.ASCII,
)


@dataclass(frozen=True)
class Part:
    """Chorales that are composed in one batch, with one file of the manifest."""

    temperature: float | None
    """None: excerpts of Bach's own chorales, for which the composer computes costs but composes
    nothing.
    """
    number: int
    """Number of the part within its temperature."""
    start: int
    """Index of the first chorale."""
    stop: int
    """Index of the last chorale, plus one."""

    @property
    def folder(self) -> str:
        """Folder of the chorales' files."""
        if self.temperature is None:
            return "bach"
        return f"temperature={temperature_text(self.temperature)}"

    @property
    def manifest(self) -> str:
        """Key of the part's manifest."""
        if self.temperature is None:
            return BACH_PART
        # Not "temperature=…", which readers of the whole folder would take for a second such
        # column.
        folder = temperature_text(self.temperature)
        return f"manifest/{folder}/part-{self.number:05d}.parquet"

    def key(self, index: int, suffix: str) -> str:
        """Return the key of a file of a chorale."""
        width = 4 if self.temperature is None else 6
        return f"{self.folder}/{index:0{width}d}.{suffix}"


@dataclass(frozen=True)
class Plan:
    """A run and its input except the weights; small, because it is sent to tasks."""

    name: str
    config: GenerationConfig
    model: str
    """SHA-256 of the checkpoint's model."""
    corpus: str
    """SHA-256 of the corpus, or of the checkpoint's own statistics."""
    given: Tokens
    """Given notes of every chorale, int8 [4n], -1 for notes to compose."""
    bach: tuple[tuple[str, Chords], ...]
    """Name ("test 12") and chords of real excerpts."""
    corpus_critique: Mapping[str, float] = field(default_factory=dict)
    """Statistics of the whole corpus, by the names of `rnnray.chorale.critique.Critique`."""
    device: Device = "cpu"
    """Kind of device that composes; a GPU's arithmetic differs, so a run keeps its first kind."""

    @property
    def part_size(self) -> int:
        """Most chorales of a part, and the sampler's batch size."""
        return PART_SIZES[self.device]

    def parts(self) -> list[Part]:
        """Return all parts, one of each temperature in turn, so that all can soon be heard."""
        composed = len(self.config.temperatures) * -(-self.config.count // self.part_size)
        return [self.part(index) for index in range(composed + 1)]

    def part(self, part_index: int) -> Part:
        """Return the part with an index in that list; Bach's is the last."""
        temperatures, count = self.config.temperatures, self.config.count
        number, which = divmod(part_index, len(temperatures))
        start = number * self.part_size
        if start >= count:
            return Part(None, 0, 0, len(self.bach))
        return Part(temperatures[which], number, start, min(start + self.part_size, count))

    def requests(self, part: Part) -> list[Request]:
        """Return the requests to the sampler, at most `part_size`."""
        indices = range(part.start, part.stop)
        if part.temperature is None:
            return [Request(tokens.to_tokens(self.bach[index][1]), index) for index in indices]
        top_p = self.config.top_p
        return [Request(self.given, index, part.temperature, top_p) for index in indices]

    def rules(self, part: Part) -> str | None:
        """Return the rules of a part's chorales, as in --rules; None for Bach's."""
        return None if part.temperature is None else " ".join(self.config.rules)

    def title(self, part: Part, index: int) -> str:
        """Return the title of a chorale's score."""
        if part.temperature is None:
            return f"Bach, {self.bach[index][0]}"
        return f"Chorale {index} at temperature {temperature_text(part.temperature)}"

    def metadata(self, part: Part | None = None, index: int | None = None) -> dict[str, str]:
        """Return the metadata of a file of the run in an object store.

        Args:
            part: part of the file; None if it belongs to none.
            index: index of the file's chorale; None if it belongs to none.
        """
        about = {"run": self.name, "model": self.model}
        if part is not None:
            about["temperature"] = (
                "bach" if part.temperature is None else temperature_text(part.temperature)
            )
        if index is not None:
            about["index"] = str(index)
        return about

    def asked(self) -> dict[str, object]:
        """Return the content of run.yaml; digests identify the content of paths and URIs."""
        config = self.config.model_dump(mode="json")
        config["checkpoint"] = _without_secrets(self.config.checkpoint)
        config["data"] = self.config.data and _without_secrets(self.config.data)
        digests = {"model": self.model, "corpus": self.corpus}
        return {**config, **digests, "device": self.device}


def is_written_by_runs(key: str) -> bool:
    """Return whether a run may have written this key, so that starting over may delete it."""
    return _WRITTEN.fullmatch(key) is not None


def make_plan(name: str, config: GenerationConfig) -> Plan:
    """Check the configuration, and read all input of a run except the weights.

    Raises:
        UserError: not a composer's checkpoint, no such corpus, an opening that does not exist or
            leaves nothing to compose, or more than an hour of music.
    """
    # An absolute path: processes of a cluster that was started elsewhere have another working
    # directory.
    if config.checkpoint != COMPOSER:
        config = config.model_copy(update={"checkpoint": storage.absolute(config.checkpoint)})
    check_length(config.chords, config.tempo)
    reference = read_reference(config.checkpoint, config.data, config.seed_from)
    given = given_tokens(config.chords, reference.opening, None)
    if not (given == NONE).any():
        raise UserError(
            f"--seed-from {config.seed_from}: leaves nothing to compose of --chords "
            f"{config.chords}; raise --chords"
        )
    return Plan(
        name=name,
        config=config,
        model=model_digest(config.checkpoint),
        corpus=reference.digest,
        given=given,
        bach=tuple(_excerpts(reference.examples, config.chords, config.seed)),
        corpus_critique=reference.statistics.critique.as_dict(),
    )


def _excerpts(
    groups: Sequence[Sequence[tuple[str, Chords]]], chords: int, seed: int
) -> list[tuple[str, Chords]]:
    """Return the beginnings of some real chorales, from the first group with long enough ones.

    If no chorale is long enough, the longest ones of the first group, whole.
    """
    for pieces in groups:
        fitting = [(name, piece[:chords]) for name, piece in pieces if len(piece) >= chords]
        if fitting:
            count = min(BACH_COUNT, len(fitting))
            chosen = np.random.default_rng(seed).choice(len(fitting), count, replace=False)
            return [fitting[index] for index in sorted(chosen.tolist())]
    return sorted(groups[0], key=lambda piece: len(piece[1]), reverse=True)[:BACH_COUNT]


def model_digest(checkpoint: str) -> str:
    """Return the SHA-256 of a checkpoint's model.

    Raises:
        UserError: the model does not exist, or is not a Keras file.
    """
    uri = storage.join(located(checkpoint), checkpoints.MODEL)
    content = storage.read_bytes(uri)
    if content is None or not zipfile.is_zipfile(io.BytesIO(content)):
        found = "is not there" if content is None else "is damaged"
        raise UserError(f"{uri}: {found}; use another checkpoint")
    return hashlib.sha256(content).hexdigest()


def count_chorales(parts: Iterable[Part]) -> int:
    """Return the number of chorales of some parts, without Bach's."""
    return sum(part.stop - part.start for part in parts if part.temperature is not None)


def file_contents(chords: Chords, title: str, config: GenerationConfig) -> dict[str, bytes]:
    """Return the files of a chorale by suffix: the same bytes for the same arguments.

    Args:
        chords: int16 [n, 4].
        title: title of the chorale.
        config: tempo, instrument and formats.
    """
    sounds = [name for name in config.formats if name in SOUNDS]
    files = sound_files(chords, sounds, tempo=config.tempo, instrument=config.instrument)
    if "mid" in config.formats:
        files["mid"] = midi_bytes(chords, tempo=config.tempo, title=title)
    if "musicxml" in config.formats:
        files["musicxml"] = musicxml_bytes(chords, tempo=config.tempo, title=title)
    return files


def _without_secrets(uri: str) -> str:
    """Return a URI without user, password and query, in which pyarrow accepts keys of a store."""
    if "://" not in uri:
        return uri
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
