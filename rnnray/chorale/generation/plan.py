"""What a run composes and how its files are called: a function of its configuration alone."""

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from rnnray.chorale.packaged import PACKAGED, located
from rnnray.chorale.render import page
from rnnray.chorale.render.sound import check_length
from rnnray.chorale.request import Request
from rnnray.chorale.tokens import NONE, Tokens
from rnnray.errors import UserError
from rnnray.training import checkpoints

Device = Literal["cpu", "gpu"]
PART_SIZES: Mapping[Device, int] = {"cpu": 64, "gpu": 512}
"""Chorales of a part, and the sampler's batch, by the kind of device: a part is always composed as
the same batch. More at once keep a GPU busy; on a CPU the first ones would only come later."""
BACH_COUNT = 40

RUN, SUMMARY, PAGE = "run.yaml", "summary.json", "index.html"
BACH_PART = "bach/part-00000.parquet"
CONTENT_TYPES: Mapping[str, str] = {
    "wav": "audio/wav",
    "mid": "audio/midi",
    "musicxml": "application/vnd.recordare.musicxml+xml",
    "parquet": "application/vnd.apache.parquet",
    "json": "application/json",
    "yaml": "application/yaml",
}

_TEMPERATURE = r"\d[\d.e-]*"  # as `temperature_text` writes it
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
    """Chorales that are composed in one batch and stand in one file of the manifest."""

    temperature: float | None
    """None: excerpts of Bach's own chorales, which cost the composer something but no choice."""
    number: int
    """Counts the parts of a temperature."""
    start: int
    """Index of the first chorale."""
    stop: int
    """Index of the last chorale, plus one."""

    @property
    def folder(self) -> str:
        """Of the chorales' files."""
        if self.temperature is None:
            return "bach"
        return f"temperature={temperature_text(self.temperature)}"

    @property
    def manifest(self) -> str:
        """Key of the part's manifest."""
        if self.temperature is None:
            return BACH_PART
        # Not "temperature=…": readers of the whole folder would make that a column, and it is one.
        folder = temperature_text(self.temperature)
        return f"manifest/{folder}/part-{self.number:05d}.parquet"

    def key(self, index: int, suffix: str) -> str:
        """Key of a file of a chorale."""
        width = 4 if self.temperature is None else 6
        return f"{self.folder}/{index:0{width}d}.{suffix}"


@dataclass(frozen=True)
class Plan:
    """A run, with all that it needs from elsewhere but the weights. Small: tasks are sent it."""

    name: str
    config: GenerationConfig
    model: str
    """SHA-256 of the checkpoint's model."""
    corpus: str
    """SHA-256 of the corpus, or of what the checkpoint carries of its own."""
    given: Tokens
    """Of every chorale, int8 [4n], -1 is to be composed."""
    bach: tuple[tuple[str, Chords], ...]
    """Name ("test 12") and chords of real excerpts."""
    device: Device = "cpu"
    """What composes. A GPU's arithmetic is another one, so a run keeps to what it began on."""

    @property
    def part_size(self) -> int:
        """Chorales of a part, at most, and the sampler's batch."""
        return PART_SIZES[self.device]

    def parts(self) -> list[Part]:
        """All parts: one of each temperature after the other, so that all are soon to be heard."""
        composed = len(self.config.temperatures) * -(-self.config.count // self.part_size)
        return [self.part(place) for place in range(composed + 1)]

    def part(self, place: int) -> Part:
        """The part at a place of that list; Bach's is the last."""
        temperatures, count = self.config.temperatures, self.config.count
        number, which = divmod(place, len(temperatures))
        start = number * self.part_size
        if start >= count:
            return Part(None, 0, 0, len(self.bach))
        return Part(temperatures[which], number, start, min(start + self.part_size, count))

    def requests(self, part: Part) -> list[Request]:
        """What the sampler is asked for, at most `part_size`."""
        indices = range(part.start, part.stop)
        if part.temperature is None:
            return [Request(tokens.to_tokens(self.bach[index][1]), index) for index in indices]
        top_p = self.config.top_p
        return [Request(self.given, index, part.temperature, top_p) for index in indices]

    def title(self, part: Part, index: int) -> str:
        """What stands above a chorale's score."""
        if part.temperature is None:
            return f"Bach, {self.bach[index][0]}"
        return f"Chorale {index} at temperature {temperature_text(part.temperature)}"

    def metadata(self, part: Part | None = None, index: int | None = None) -> dict[str, str]:
        """What a file of the run carries in an object store: one of a part, of a chorale, or of
        neither.
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
        """What run.yaml keeps; the digests say what the places held."""
        config = self.config.model_dump(mode="json")
        config["checkpoint"] = _without_secrets(self.config.checkpoint)
        config["data"] = self.config.data and _without_secrets(self.config.data)
        digests = {"model": self.model, "corpus": self.corpus}
        return {**config, **digests, "device": self.device}


def is_written_by_runs(key: str) -> bool:
    """Whether a run may have written this key, so that starting over may delete it."""
    return _WRITTEN.fullmatch(key) is not None


def make_plan(name: str, config: GenerationConfig) -> Plan:
    """Check the configuration, and read all that a run needs but the weights.

    Raises:
        UserError: not a composer's checkpoint, no such corpus, an opening that is not there or
            leaves nothing to compose, more than an hour of music.
    """
    # Processes of a cluster that was started elsewhere have another working directory.
    if config.checkpoint != PACKAGED:
        config = config.model_copy(update={"checkpoint": storage.absolute(config.checkpoint)})
    check_length(config.chords, config.tempo)
    reference = read_reference(config.checkpoint, config.data, config.seed_from)
    given = given_tokens(config.chords, reference.opening, None)
    if not (given == NONE).any():
        raise UserError(
            f"--seed-from {config.seed_from}: leaves nothing to compose of --chords "
            f"{config.chords}; ask for more"
        )
    return Plan(
        name=name,
        config=config,
        model=model_digest(config.checkpoint),
        corpus=reference.digest,
        given=given,
        bach=tuple(_excerpts(reference.examples, config.chords, config.seed)),
    )


def _excerpts(
    groups: Sequence[Sequence[tuple[str, Chords]]], chords: int, seed: int
) -> list[tuple[str, Chords]]:
    """The beginnings of some real chorales, of the first group that has any that are long enough;
    where nothing is that long, the longest ones of the first group, whole.
    """
    for pieces in groups:
        fitting = [(name, piece[:chords]) for name, piece in pieces if len(piece) >= chords]
        if fitting:
            count = min(BACH_COUNT, len(fitting))
            chosen = np.random.default_rng(seed).choice(len(fitting), count, replace=False)
            return [fitting[place] for place in sorted(chosen.tolist())]
    return sorted(groups[0], key=lambda piece: len(piece[1]), reverse=True)[:BACH_COUNT]


def model_digest(checkpoint: str) -> str:
    """SHA-256 of a checkpoint's model.

    Raises:
        UserError: it is not there, or no such file.
    """
    uri = storage.join(located(checkpoint), checkpoints.MODEL)
    content = storage.read_bytes(uri)
    if content is None or not zipfile.is_zipfile(io.BytesIO(content)):
        found = "is not there" if content is None else "is damaged"
        raise UserError(f"{uri}: {found}; take another checkpoint")
    return hashlib.sha256(content).hexdigest()


def _without_secrets(uri: str) -> str:
    """A URI without user, password and query, in which pyarrow takes keys of a store."""
    if "://" not in uri:
        return uri
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
