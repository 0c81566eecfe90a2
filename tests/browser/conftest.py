"""Headless Chromium, and runs to look at."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnray.chorale.render.page import Piece, build
from rnnray.chorale.render.sound import synthesize
from rnnray.chorale.render.sound_files import SOUNDS

# A page must not need the network, nor does the browser.
ARGUMENTS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
TEMPO = 120.0
STEPS = 16  # two seconds


class Run:
    """A folder with a page, whose pieces have statistics that are easy to reckon with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = (folder / "index.html").as_uri()

    @staticmethod
    def statistics(index: int) -> dict[str, float]:
        """All different nats, a third of the pieces with fifths, half with crossing voices."""
        return {
            "nats_per_note": (index * 7 % 30) / 100,
            "parallel_fifths": float(index % 3 == 0),
            "crossing": (index % 2) / 8,
        }

    def pieces(
        self, temperature: float | None, count: int, suffixes: Iterable[str] = ("wav", "mid")
    ) -> Iterator[Piece]:
        """Rising melodies; Bach's pieces, those without a temperature, lack the nats."""
        folder = "bach" if temperature is None else f"temperature={temperature:g}"
        name = "test {}" if temperature is None else "{:06d}"
        for index in range(count):
            soprano = 60 + (np.arange(STEPS) // 4 + index) % 20
            chords = np.stack([soprano, *(np.full(STEPS, low) for low in (60, 55, 48))], axis=1)
            statistics = self.statistics(index)
            if temperature is None:
                del statistics["nats_per_note"]
            yield Piece(
                name=name.format(index),
                temperature=temperature,
                chords=chords.astype(np.int16),
                statistics=statistics,
                files={suffix: f"{folder}/{index:06d}.{suffix}" for suffix in suffixes},
            )

    def write(
        self,
        pieces: Iterable[Piece],
        *,
        title: str = "Run",
        link: Callable[[str], str] = str,
        sound: bool = True,
    ) -> None:
        """The page, and the same few chords as the recording of every piece, where there is one."""
        chords = np.tile(np.array([[67, 60, 55, 48]], np.int16), (STEPS, 1))
        audio = synthesize(chords, tempo=TEMPO, instrument="sine", sample_rate=8000)
        recordings = {suffix: make(audio, 8000) for suffix, make in SOUNDS.items()}

        def recorded() -> Iterator[Piece]:
            for piece in pieces:
                for suffix in recordings.keys() & piece.files.keys() if sound else ():
                    self.put(piece.files[suffix], recordings[suffix])
                yield piece

        for file in build(title, TEMPO, recorded(), link=link):
            self.put(file.key, file.content)

    def put(self, key: str, content: bytes) -> None:
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser with a new profile, closed with the module: its event loop is in others' way."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"no Chromium on the PATH ({', '.join(PROGRAMS)})")
    with api.sync_playwright() as playwright:
        # Chromium's own sandbox does not run as root.
        browser = playwright.chromium.launch(
            executable_path=program, args=ARGUMENTS, chromium_sandbox=False
        )
        yield browser
        browser.close()


@pytest.fixture
def new_page(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Pages by viewport and the like; none of their scripts may fail, nor break their policy."""
    contexts, failures = [], []

    def new(**options: Any) -> Any:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 800}} | options)
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.on("console", lambda message: refused(message.text) and failures.append(message.text))
        return page

    yield new
    for context in contexts:
        context.close()
    assert not failures


def refused(text: str) -> bool:
    """Whether a line of the browser's console is of what a page's own policy forbids it."""
    return "Content Security Policy" in text


@pytest.fixture
def page(new_page: Callable[..., Any]) -> Any:
    return new_page()


@pytest.fixture
def new_run(tmp_path: Path) -> Run:
    """An empty folder for a run."""
    return Run(tmp_path)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two temperatures of 30 pieces each, 12 of Bach's, all with sound."""
    made = Run(tmp_path_factory.mktemp("run"))
    made.write([*made.pieces(0.8, 30), *made.pieces(1.5, 30), *made.pieces(None, 12)])
    return made
