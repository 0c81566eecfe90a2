"""Bad input through the composer's jobs: one line that says what is wrong, and nothing is left."""

import io
import tarfile
from pathlib import Path

import mido
import pytest
import yaml
from tiny import RunJob, Trained
from tiny_chorale import TrainedChorale, chorale, write_corpus, write_csv

HEADER = "note0,note1,note2,note3\n"


def written(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def midi(path: Path, *pitches: int) -> Path:
    """A MIDI file with a track for each pitch, held for a quarter note."""
    file = mido.MidiFile(type=1)
    for pitch in pitches:
        track = file.add_track()
        track.append(mido.Message("note_on", note=pitch, time=0))
        track.append(mido.Message("note_off", note=pitch, time=file.ticks_per_beat))
    file.save(path)
    return path


@pytest.mark.parametrize(
    ("job", "arguments"),
    [
        ("compose", ["--temperatures", "-1"]),
        ("compose", ["--temperatures=-0.5"]),
        ("compose", ["--temperatures", "nan"]),
        ("compose", ["--temperatures", "inf"]),
        ("compose", ["--temperatures"]),
        ("compose", ["--temperatures", "0.8", "--greedy"]),
        ("compose", ["--chords", "0"]),
        ("compose", ["--count", "0"]),
        ("compose", ["--top-p", "0"]),
        ("compose", ["--top-p", "nan"]),
        ("compose", ["--seed", "-1"]),
        ("compose", ["--keep", "treble"]),
        ("compose", ["--seed-from", "test:2:8", "--melody", "tune.mid"]),
        ("compose", ["--transpose", "12"]),
        ("compose", ["--instrument", "kazoo"]),
        ("evaluate_chorale", ["--split", "half"]),
        ("listen", ["--data", "jsb"]),
        ("train_chorale", ["--preset", "weak"]),
        ("train_chorale", ["--model.architecture", "bars"]),
        ("train_chorale", ["--window-shift", "15"]),
        ("train_chorale", ["--transpose", "13"]),
        ("tune_chorale", ["--samples", "0"]),
    ],
)
def test_wrong_use_is_exit_code_2(
    run_here: RunJob,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    job: str,
    arguments: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint = ["--checkpoint", "x"] if job in ("compose", "evaluate_chorale") else []
    ended = run_here(job, *checkpoint, *arguments)
    assert ended.code == 2
    assert "Traceback" not in ended.err
    # It names the option that is wrong.
    option = "--name" if job == "listen" else arguments[0].partition("=")[0]
    assert option.lstrip("-").replace("-", "_") in ended.err.replace("-", "_")
    assert ended.out == ""
    assert written(tmp_path) == set()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed-from", "test"], "write a chorale and a number of chords, such as test:2:8"),
        (["--seed-from", "test:2:"], "write a chorale and a number of chords, such as test:2:8"),
        (["--seed-from", "test:2:0"], "write a chorale and a number of chords, such as test:2:8"),
        (["--seed-from", "test:2:-8"], "write a chorale and a number of chords, such as test:2:8"),
        (["--seed-from", "test:2:900", "--chords", "1000"], "piece_2 has only 36 chords"),
        (["--seed-from", "test:2:9", "--chords", "8"], "more than --chords 8; raise --chords"),
        (["--seed-from", "test:9:8"], "test has 3 chorales, test:0 to test:2"),
        (
            ["--seed-from", "half:2:8"],
            "split 'half' does not exist; the splits are train, valid, test",
        ),
        (["--tempo", "0"], "tempo 0: it must be quarter notes a minute"),
        (["--tempo", "nan"], "tempo nan: it must be quarter notes a minute"),
        (["--data", "nowhere"], "nowhere: no such file or folder"),
        (["--melody", "nowhere.mid"], "nowhere.mid: cannot be read"),
        (["--output", "file/out"], "file/out: cannot be written"),
    ],
)
def test_what_cannot_be_composed(
    run_here: RunJob,
    trained_chorale: TrainedChorale,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    ended = run_here(
        "compose",
        *("--checkpoint", str(trained_chorale.checkpoint), "--data", str(trained_chorale.corpus)),
        *arguments,
    )
    assert message in ended.failed_with()
    assert written(tmp_path) == {"file"}
    assert ended.out == "", "it was found after the work"


@pytest.mark.parametrize(
    ("name", "content", "arguments", "message"),
    [
        ("long.csv", "note0\n" + "60\n" * 9, ["--chords", "8"], "9 chords, more than --chords 8"),
        (
            *("high.csv", "note0\n60\n82\n", []),
            "quarter note 0.25 from the beginning: pitch 82 is outside 36 to 81",
        ),
        ("far.csv", "note0\n60\n82\n", ["--transpose", "9"], "--transpose -1 moves all notes"),
        ("low.csv", "note0\n-3\n", [], "line 2, note0: pitch -3 is neither 0"),
        ("text.csv", "note0\nC4\n", [], "line 2, note0: 'C4' is not a pitch"),
        ("headless.csv", "60\n62\n", [], "line 1: the header is '60'"),
        (
            "five.csv",
            "note0,note1,note2,note3,note4\n60,60,60,60,60\n",
            [],
            "line 1: the header is",
        ),
        ("two.csv", "note0,note1\n60,55\n", [], "has 2 voices, but --keep names 1"),
        ("one.csv", "note0\n60\n", ["--keep", "alto", "alto"], "names a voice twice"),
        ("nothing.csv", "note0\n", [], "has a header but no chords"),
        ("empty.csv", "", [], "the file is empty"),
        ("empty.musicxml", "", [], "the file is empty"),
        ("broken.musicxml", "<score", [], "cannot be read as MusicXML"),
        ("broken.mid", "MThd", [], "not a MIDI file, or a damaged one"),
        (
            "melody.txt",
            "60",
            [],
            "not a file of voices in a known format (.csv, .mid",
        ),
    ],
)
def test_a_melody_that_cannot_be_used(
    run_here: RunJob,
    trained_chorale: TrainedChorale,
    tmp_path: Path,
    name: str,
    content: str,
    arguments: list[str],
    message: str,
) -> None:
    (tmp_path / name).write_text(content)
    assert message in melody_error(run_here, trained_chorale, tmp_path / name, *arguments)


@pytest.mark.parametrize(
    ("pitches", "message"),
    [
        ((72, 67, 60, 55, 48), "has 5 voices (track 0, track 1, track 2, track 3, track 4)"),
        ((), "has no notes"),
        ((96,), "--transpose -15 moves all notes into this range; so does --transpose -24"),
    ],
)
def test_a_midi_melody_that_cannot_be_used(
    run_here: RunJob,
    trained_chorale: TrainedChorale,
    tmp_path: Path,
    pitches: tuple[int, ...],
    message: str,
) -> None:
    file = midi(tmp_path / "melody.mid", *pitches)
    assert message in melody_error(run_here, trained_chorale, file)


def melody_error(run_here: RunJob, trained: TrainedChorale, file: Path, *arguments: str) -> str:
    ended = run_here(
        "compose",
        *("--checkpoint", str(trained.checkpoint), "--data", str(trained.corpus)),
        *("--melody", str(file), "--output", str(file.parent / "out"), *arguments),
    )
    line = ended.failed_with()
    assert str(file) in line or "the melody" in line or "--keep" in line
    assert written(file.parent) == {file.name}
    return line


@pytest.mark.parametrize("job", ["evaluate_chorale", "compose"])
def test_a_checkpoint_that_is_none_or_another_model_s(
    run_here: RunJob, trained: Trained, trained_chorale: TrainedChorale, tmp_path: Path, job: str
) -> None:
    (tmp_path / "empty").mkdir()
    output = ["--output", str(tmp_path / "out")] if job == "compose" else []
    for checkpoint, message in [
        (tmp_path / "empty", "not a checkpoint of the composer; checkpoints are the folders"),
        (tmp_path / "nowhere", "not a checkpoint of the composer; checkpoints are the folders"),
        (trained_chorale.storage / "shared", "not a checkpoint of the composer; checkpoints are"),
        (trained.checkpoint, "a checkpoint of another model, not of the composer"),
    ]:
        # Told before the corpus is fetched, which may take minutes.
        ended = run_here(job, "--checkpoint", str(checkpoint), "--data", "nowhere", *output)
        assert ended.failed_with().startswith(f"error: {checkpoint}: {message}")
    assert written(tmp_path) == {"empty"}


def test_a_composer_s_checkpoint_is_no_sketch_classifier_s(
    run_here: RunJob, trained_chorale: TrainedChorale
) -> None:
    checkpoint = str(trained_chorale.checkpoint)
    ended = run_here("evaluate_sketch", "--checkpoint", checkpoint, "--data", "demo:100")
    line = ended.failed_with()
    assert line.startswith(f"error: {checkpoint}: not a checkpoint of the sketch classifier")


def test_a_checkpoint_that_was_damaged(
    run_here: RunJob, trained_chorale: TrainedChorale, tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for file in trained_chorale.checkpoint.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    model, config = folder / "model.keras", folder / "config.yaml"
    model.write_bytes(model.read_bytes()[:5000])
    arguments = ("--checkpoint", str(folder), "--data", str(trained_chorale.corpus))
    ended = run_here("compose", *arguments, "--output", str(tmp_path / "out"))
    assert ended.failed_with().startswith(f"error: {model}: cannot be loaded")
    saved = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump(saved | {"window_chords": "many"}))
    ended = run_here("evaluate_chorale", *arguments)
    assert ended.failed_with().startswith(f"error: {config}: window_chords: ")
    config.write_text("model: [")
    ended = run_here("evaluate_chorale", *arguments)
    assert ended.failed_with().startswith(f"error: {config}: cannot be read as YAML")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("note0,note1,note2\n60,60,60\n", "line 1: the header is 'note0,note1,note2'"),
        (HEADER + "60,60,60\n", "line 2: has 3 values, not 4"),
        (HEADER + "60,60,,60\n", "line 2, note2: is missing; write 0"),
        (HEADER + "60,60,sixty,60\n", "line 2, note2: 'sixty' is not a pitch"),
        (HEADER + "60,60,60,60\n60,60,60,35\n", "line 3, note3: pitch 35 is neither 0"),
        (HEADER + "60,60,60,-60\n", "line 2, note3: pitch -60 is neither 0"),
        ("", "the file is empty"),
    ],
)
def test_a_chorale_of_the_corpus_that_is_wrong(
    run_here: RunJob, tmp_path: Path, content: str, message: str
) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    file = corpus / "valid" / "wrong.csv"
    file.write_text(content)
    ended = run_here(
        "train_chorale", "--data", str(corpus), "--storage-path", str(tmp_path / "runs")
    )
    line = ended.failed_with()
    assert line.startswith(f"error: {file}")
    assert message in line
    assert not (tmp_path / "runs").exists()


def archive(path: Path, *names: str) -> Path:
    """An archive of one-chord chorales."""
    content = (HEADER + "72,67,60,48\n").encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_an_archive_with_a_path_that_leaves_its_folder(run_here: RunJob, tmp_path: Path) -> None:
    file = archive(tmp_path / "in" / "evil.tgz", "test/good.csv", "../../evil.csv")
    ended = run_here(
        "listen", "--data", str(file), "--name", "test:0", "--output", str(tmp_path / "out")
    )
    assert ended.failed_with() == (
        f"error: {file}: member '../../evil.csv' would leave the folder; not unpacked"
    )
    assert written(tmp_path) == {"in", "in/evil.tgz"}


def test_another_archive_in_the_cache_than_the_known_one(
    run_here: RunJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RNNRAY_CACHE", str(tmp_path / "cache"))
    file = archive(tmp_path / "cache/jsb/jsb_chorales.tgz", "jsb_chorales/test/chorale_305.csv")
    ended = run_here("listen", "--name", "test:0", "--output", str(tmp_path / "out"))
    line = ended.failed_with()
    assert line.startswith(f"error: {file}: sha256 is ")
    assert "delete it and run again" in line
    assert not (tmp_path / "out").exists()
    assert not file.with_suffix("").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--name", "test:7"], "'test:7': test has 3 chorales, test:0 to test:2"),
        (["--name", "Ein feste Burg"], "'Ein feste Burg': no such chorale"),
        (["--name", "test:2", "--tempo", "0"], "tempo 0: it must be quarter notes a minute"),
        (["--name", "test:2", "--tempo", "inf"], "tempo inf: it must be quarter notes a minute"),
    ],
)
def test_what_cannot_be_listened_to(
    run_here: RunJob,
    trained_chorale: TrainedChorale,
    tmp_path: Path,
    arguments: list[str],
    message: str,
) -> None:
    ended = run_here(
        "listen",
        *("--data", str(trained_chorale.corpus), "--output", str(tmp_path / "out"), *arguments),
    )
    assert ended.failed_with().startswith(f"error: {message}")
    assert written(tmp_path) == set()


def test_windows_that_are_longer_than_every_piece(
    run_here: RunJob, trained_chorale: TrainedChorale, tmp_path: Path
) -> None:
    ended = run_here(
        "train_chorale",
        *("--preset", "notebook", "--data", str(trained_chorale.corpus)),
        *("--window-chords", "1000", "--storage-path", str(tmp_path / "runs")),
    )
    line = ended.failed_with()
    assert "fills a window of 1000 chords; use a smaller --window-chords" in line
    assert written(tmp_path) == set()


@pytest.mark.parametrize("missing", ["train", "valid"])
def test_a_corpus_without_a_split_that_is_needed(
    run_here: RunJob, tmp_path: Path, missing: str
) -> None:
    for split in {"train", "valid", "test"} - {missing}:
        write_csv(tmp_path / "corpus" / split / "piece.csv", chorale(0, 8))
    ended = run_here(
        "train_chorale",
        *("--data", str(tmp_path / "corpus"), "--storage-path", str(tmp_path / "runs")),
    )
    assert f"split '{missing}': the data have no chorales there" in ended.failed_with()
    assert not (tmp_path / "runs").exists()


def test_storage_that_cannot_be_written_is_found_before_training(
    run_here: RunJob, trained_chorale: TrainedChorale, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    ended = run_here(
        "train_chorale",
        *("--data", str(trained_chorale.corpus), "--storage-path", str(tmp_path / "file/runs")),
    )
    assert "cannot be written" in ended.failed_with()
    assert ended.out == ""
