"""Composing through jobs/compose.py: the files, the voices that are kept, and that a chorale is a
function of the checkpoint, the seed and its index alone.
"""

import json
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray.data
from observed import contents
from tiny import Ended, RunJob
from tiny_chorale import TrainedChorale, chorale, notes, sounds, write_csv

from rnnray import storage
from rnnray.chorale import composing, tokens
from rnnray.chorale.chords import VOICE_COUNT
from rnnray.chorale.composer import TrainedComposer
from rnnray.chorale.data import chorale_table
from rnnray.chorale.data.corpus import open_corpus
from rnnray.chorale.render.midi_writer import midi_bytes
from rnnray.chorale.render.musicxml_writer import musicxml_bytes
from rnnray.chorale.render.rendering import render
from rnnray.chorale.request import Request
from rnnray.chorale.tokens import NONE

SUFFIXES = {".mid", ".wav", ".musicxml", ".svg", ".png", ".html"}
CHORDS = 12
TEMPERATURES = (0.0, 0.8, 1.5)


class Compose:
    """A Ray Data actor that composes batches of requests."""

    def __init__(self, checkpoint: str, threads: int) -> None:
        self._sampler = TrainedComposer(checkpoint, threads=threads).sampler(batch_size=8, seed=7)

    def __call__(self, rows: dict[str, Any]) -> dict[str, Any]:
        batches = self._sampler.compose(
            [
                Request(np.full(4 * CHORDS, NONE, np.int8), int(index), float(temperature))
                for index, temperature in zip(rows["index"], rows["temperature"], strict=True)
            ]
        )
        composed = [composition for batch in batches for composition in batch]
        return rows | {
            "notes": np.stack([tokens.to_tokens(one.chords) for one in composed]),
            "nats": np.stack([one.nats for one in composed]),
        }


def compose(run_here: RunJob, trained: TrainedChorale, output: Path, *arguments: str) -> Ended:
    """With the corpus that the checkpoint was trained on."""
    ended = run_here(
        "compose",
        *("--checkpoint", str(trained.checkpoint)),
        *("--output", str(output), *arguments),
    )
    assert ended.code == 0, ended.err
    assert ended.err == ""
    return ended


def test_every_chorale_is_written_in_every_form_at_every_temperature(
    run_here: RunJob, trained_chorale: TrainedChorale, tmp_path: Path
) -> None:
    arguments = ("--temperatures", "0.8", "1.5", "--count", "2", "--chords", "20", "--seed", "3")
    out = tmp_path / "out"
    data = ("--data", str(trained_chorale.corpus))
    ended = compose(run_here, trained_chorale, out, *arguments, *data)
    expected = {
        f"temperature={temperature}/{index}{suffix}"
        for temperature in ("0.8", "1.5")
        for index in ("0000", "0001")
        for suffix in SUFFIXES
    }
    written = contents(out)
    assert set(written) == expected | {"pitches.png"}
    result = ended.result
    assert set(result["temperatures"]) == {"0.8", "1.5"}
    listed = [
        file for statistics in result["temperatures"].values() for file in statistics["files"]
    ]
    assert {str(Path(file).relative_to(out)) for file in listed} == expected
    assert result["bach"]["chorales"] == len(open_corpus(str(trained_chorale.corpus)))
    for statistics in result["temperatures"].values():
        assert (statistics["chorales"], statistics["steps"]) == (2, 40)
        assert 0 < statistics["nats_per_note"] < 20
        assert set(statistics) == {*result["bach"], "nats_per_note", "files"}

    midis = sorted(out.rglob("*.mid"))
    read = [sounds(path, 20) for path in midis]
    for path, chords in zip(midis, read, strict=True):
        assert sounds(path.with_suffix(".musicxml"), 20).tolist() == chords.tolist()
        with wave.open(str(path.with_suffix(".wav"))) as sound:
            seconds = sound.getnframes() / sound.getframerate()
        assert 20 / 4 * 60 / 80 <= seconds < 20 / 4 * 60 / 80 + 6, "not 80 quarters a minute"
        assert path.with_suffix(".svg").read_bytes().lstrip().startswith((b"<svg", b"<?xml"))
        assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert len({chords.tobytes() for chords in read}) == 4, "two chorales are the same"

    # Once more, with what the checkpoint knows of the corpus: the same bytes, and nothing beside
    # them.
    assert compose(run_here, trained_chorale, out, *arguments).result == result
    again = contents(out)
    assert set(again) == set(written)
    assert {name for name in written if again[name] != written[name]} == set()


def test_a_shorter_chorale_leaves_no_pages_of_a_longer_one_before_it(tmp_path: Path) -> None:
    for quarters, pages in ((80, 2), (4, 1)):
        files = render(
            str(tmp_path / "0000"), chorale(0, quarters), title="", tempo=80, instrument="sine"
        )
        assert len(files) == len(SUFFIXES) + pages - 1
        assert {str(tmp_path / name) for name in contents(tmp_path)} == set(files)


def test_a_chorale_alone_is_the_same_as_among_a_hundred(
    run_here: RunJob,
    trained_chorale: TrainedChorale,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def midi_alone(uri: str, chords: Any, *, title: str, tempo: float, **_: Any) -> list[str]:
        storage.write_bytes(f"{uri}.mid", midi_bytes(chords, tempo=tempo, title=title))
        return [f"{uri}.mid"]

    # Sound and pictures of some hundred chorales would take a minute.
    monkeypatch.setattr(composing, "render", midi_alone)
    options = ("--temperatures", *map(str, TEMPERATURES), "--top-p", "0.95", "--chords", "24")
    compose(run_here, trained_chorale, tmp_path / "1", *options, "--count", "1")
    compose(run_here, trained_chorale, tmp_path / "100", *options, "--count", "100")
    alone, among = (
        {name: content for name, content in contents(folder).items() if name.endswith(".mid")}
        for folder in (tmp_path / "1", tmp_path / "100")
    )
    assert (len(alone), len(among)) == (len(TEMPERATURES), 100 * len(TEMPERATURES))
    assert alone.items() <= among.items()
    wild = {
        sounds(tmp_path / "100" / name, 8).tobytes() for name in among if "temperature=1.5" in name
    }
    assert len(wild) == 100, "neighbours that are all the same would prove little"


def test_a_chorale_is_the_same_here_and_on_two_workers(
    ray_cluster: None, trained_chorale: TrainedChorale
) -> None:
    # Sent whole: the workers do not find modules of the tests.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    requests = [
        {"index": index, "temperature": temperature}
        for temperature in TEMPERATURES
        for index in range(7)
    ]
    checkpoint = str(trained_chorale.checkpoint)

    rows = (
        ray.data.from_items(requests, override_num_blocks=4)
        .map_batches(
            Compose,
            fn_constructor_args=(checkpoint, 1),
            batch_size=5,
            compute=ray.data.ActorPoolStrategy(size=2),
            num_cpus=0.5,
        )
        .take_all()
    )
    assert len(rows) == len(requests)
    elsewhere = {(row["index"], row["temperature"]): row for row in rows}
    here = Compose(checkpoint, 0)(
        {name: np.array([row[name] for row in requests]) for name in ("index", "temperature")}
    )
    for number, request in enumerate(requests):
        row = elsewhere[request["index"], request["temperature"]]
        np.testing.assert_array_equal(row["notes"], here["notes"][number])
        np.testing.assert_allclose(row["nats"], here["nats"][number], rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "keep", "rest"),
    [
        ("one_voice.csv", ["soprano"], 12),
        ("four_voices.mid", ["soprano"], 0),
        ("four_voices.musicxml", ["soprano", "bass"], 32),
    ],
)
def test_the_voices_of_a_melody_are_kept_to_the_note(
    run_here: RunJob,
    trained_chorale: TrainedChorale,
    tmp_path: Path,
    name: str,
    keep: list[str],
    rest: int,
) -> None:
    """And to the time: after a rest at the beginning, the harmony begins with the melody."""
    kept = [0, 3] if "bass" in keep else [0]
    others = [voice for voice in range(VOICE_COUNT) if voice not in kept]
    piece = chorale(99, 4)[:-1]
    piece[:, others] += 1  # a semitone off, so that nobody composes them like that
    file = tmp_path / name
    given = np.concatenate([np.zeros((rest, VOICE_COUNT), np.int16), piece])
    if file.suffix == ".csv":
        write_csv(file, given[:, :1])
    else:
        write = midi_bytes if file.suffix == ".mid" else musicxml_bytes
        file.write_bytes(write(given))
    out = tmp_path / "out"
    ended = compose(
        *(run_here, trained_chorale, out, "--melody", str(file), "--keep", *keep),
        *("--temperatures", "1.5", "--seed", "1"),
    )
    assert ended.result["temperatures"]["1.5"]["steps"] == len(piece)
    everything = sounds(out / "temperature=1.5/0000.mid", len(given))
    assert not everything[:rest].any()
    composed = everything[rest:]
    assert composed.any(axis=0).all()
    reference = tmp_path / "reference.mid"
    reference.write_bytes(midi_bytes(given))
    for suffix in (".mid", ".musicxml"):
        written = notes(out / f"temperature=1.5/0000{suffix}")
        assert [written[voice] for voice in kept] == [notes(reference)[voice] for voice in kept]
    assert (composed[:, others] != piece[:, others]).any(0).all(), "those were not composed"


def test_greedy_goes_on_from_the_first_chords_of_a_real_chorale(
    run_here: RunJob, trained_chorale: TrainedChorale, tmp_path: Path
) -> None:
    arguments = ("--greedy", "--seed-from", "test:2:9", "--chords", "16")
    one, other = tmp_path / "one", tmp_path / "other"
    ended = compose(run_here, trained_chorale, one, *arguments, "--seed", "1")
    composed = sounds(one / "temperature=0/0000.mid", 16)
    _, real = chorale_table.named(open_corpus(str(trained_chorale.corpus)), "test:2")
    assert composed[:9].tolist() == real[:9].tolist()
    assert list(ended.result["temperatures"]) == ["0"]
    # The likeliest notes do not hang on the seed.
    compose(run_here, trained_chorale, other, *arguments, "--seed", "2")
    assert contents(one) == contents(other)


def test_listen_writes_a_real_chorale_in_every_form(
    run_here: RunJob, trained_chorale: TrainedChorale, tmp_path: Path
) -> None:
    ended = run_here(
        "listen",
        *("--data", str(trained_chorale.corpus), "--name", "test:2"),
        *("--output", str(tmp_path)),
    )
    assert ended.code == 0, ended.err
    _, real = chorale_table.named(open_corpus(str(trained_chorale.corpus)), "test:2")
    assert json.loads(ended.out.splitlines()[-1]) == {
        "name": "piece_2",
        "chords": len(real),
        "files": ended.result["files"],
    }
    assert set(contents(tmp_path)) == {f"piece_2{suffix}" for suffix in SUFFIXES}
    assert {Path(file) for file in ended.result["files"]} == set(tmp_path.iterdir())
    for suffix in (".mid", ".musicxml"):
        assert sounds(tmp_path / f"piece_2{suffix}", len(real)).tolist() == real.tolist()
