"""Bad input through the files of jobs/: one line says what is wrong, and nothing is left behind."""

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import composers
import pytest
import tiny_chorale
import yaml
from corpus_files import midi
from tiny import RunJob

from rnnray.sketch.data import demo_drawings
from rnnray.sketch.sketch_config import notebook
from rnnray.sketch.sketch_task import SketchTask

FILES: dict[str, str | bytes] = {
    "file": "",
    "long.csv": "note0\n" + "60\n" * 9,
    "high.csv": "note0\n60\n82\n",
    "text.csv": "note0\nC4\n",
    "two.csv": "note0,note1\n60,55\n",
    "nothing.csv": "note0\n",
    "empty.musicxml": "",
    "broken.musicxml": "<score",
    "broken.mid": "MThd",
    "five.mid": midi(72, 67, 60, 55, 48),
    "above.mid": midi(96),
    "melody.txt": "60",
    "no.yaml": "model: [",
    "unit.yaml": "{model: {unit: 8}}",
    "epoch.yaml": "{epoch: 8}",
    "corpus/train/piece.csv": "note0,note1,note2,note3\n60,60,sixty,60\n",
    "train.csv/train/piece.csv": "note0,note1,note2,note3\n" + "72,67,60,48\n" * 9,
    "near.yaml": "model.lstm_unit: [64]",
    "absent.yaml": "model.bidirectional: [true]",
    "range.yaml": "model.dropout: {low: 0.5, high: 0.1}",
    "beyond.yaml": "model.dropout: {low: 0.5, high: 1.5}",
    "good.yaml": "model.dropout: [0.1, 0.2]",
    "units.yaml": "model.lstm_units: [8, 16]",
}
OPENING = "write a chorale and a number of chords, such as test:2:8"
NO_CONFIG = "it has no config.yaml; checkpoints are the folders named epoch-*"
NO_COMPOSER = f"not a checkpoint of the composer: {NO_CONFIG}"
NO_SKETCH = f"not a checkpoint of the sketch classifier: {NO_CONFIG}"
NO_VIDEO = f"not a checkpoint of the video classifier: {NO_CONFIG}"
ANOTHER = "a checkpoint of another model, not of the"
VIDEO = "--data demo --output x"
OF = "--checkpoint {composer} --data {corpus}"
MELODY = f"{OF} --melody {{files}}"
LISTEN = "--data {corpus} --name test:2"
FORECAST = "--data demo --output x"
GENERATE = f"{OF} --output out --name run --chords 12"

TRAIN = [f"train_{model}" for model in ("sketch", "chorale", "forecast", "video")]
WITH_PRESETS = [*TRAIN, "tune_sketch", "tune_chorale"]

# Job, arguments, exit code, and what its line says; for 2 at least the option.
HERE = [
    ("compose", f"{OF} --temperatures -1", 2, "--temperatures"),
    ("compose", f"{OF} --temperatures=-0.5", 2, "--temperatures"),
    ("compose", f"{OF} --temperatures nan", 2, "--temperatures"),
    ("compose", f"{OF} --temperatures inf", 2, "--temperatures"),
    ("compose", f"{OF} --temperatures", 2, "--temperatures"),
    ("compose", f"{OF} --temperatures 0.8 0.80000001", 2, "names one twice"),
    ("compose", f"{OF} --temperatures 0.8 --greedy", 2, "--temperatures"),
    ("compose", f"{OF} --chords 0", 2, "--chords"),
    ("compose", f"{OF} --count 0", 2, "--count"),
    ("compose", f"{OF} --top-p 0", 2, "--top-p"),
    ("compose", f"{OF} --top-p nan", 2, "--top-p"),
    ("compose", f"{OF} --seed -1", 2, "--seed"),
    ("compose", f"{OF} --keep treble", 2, "--keep"),
    ("compose", f"{OF} --seed-from test:2:8 --melody tune.mid", 2, "--seed-from"),
    ("compose", f"{OF} --transpose 12", 2, "--transpose"),
    ("compose", f"{OF} --open-bars 3", 2, "--open-bars"),
    ("compose", f"{OF} --melody tune.mid --open-bars 6:3", 2, "6:3: write a bar"),
    ("compose", f"{OF} --particles 0", 2, "--particles"),
    ("evaluate_chorale", "--particles 8", 2, "--particles are for --keep"),
    ("evaluate_chorale", "--keep soprano alto tenor bass", 2, "--keep names all four voices"),
    ("compose", f"{OF} --instrument kazoo", 2, "--instrument"),
    ("generate_chorales", f"{GENERATE} --temperatures", 2, "--temperatures"),
    ("generate_chorales", f"{GENERATE} --temperatures -1", 2, "greater than or equal to 0"),
    ("generate_chorales", f"{GENERATE} --temperatures nan", 2, "--temperatures"),
    ("generate_chorales", f"{GENERATE} --temperatures 0.8 0.80000001", 2, "a temperature twice"),
    ("generate_chorales", f"{GENERATE} --count 0", 2, "--count 0"),
    ("generate_chorales", f"{GENERATE} --count 1000001", 2, "--count 1000001"),
    ("generate_chorales", f"{GENERATE} --tempo 3.9", 2, "--tempo 3.9"),
    ("generate_chorales", f"{GENERATE} --tempo nan", 2, "--tempo nan"),
    ("generate_chorales", f"{GENERATE} --chords 0", 2, "--chords 0"),
    ("generate_chorales", f"{GENERATE} --name ../run", 2, "--name ../run"),
    ("generate_chorales", f"{GENERATE} --formats mp3", 2, "--formats"),
    ("generate_chorales", f"{GENERATE} --top-p 0", 2, "--top-p 0"),
    ("generate_chorales", f"{GENERATE} --presign-hours 200", 2, "--presign-hours 200"),
    ("generate_chorales", f"{GENERATE} --samplers 0", 2, "--samplers 0"),
    ("evaluate_chorale", f"{OF} --split half", 2, "--split"),
    ("listen", "--data jsb", 2, "--name"),
    *((job, "--preset weak", 2, "--preset") for job in WITH_PRESETS),
    ("train_chorale", "--model.architecture bars", 2, "--model.architecture"),
    ("train_chorale", "--window-shift 15", 2, "--window-shift"),
    ("train_chorale", "--transpose 13", 2, "--transpose"),
    ("tune_chorale", "--samples 0", 2, "--samples"),
    ("tune_chorale", "--scheduler pbt --searcher optuna", 2, "--scheduler"),
    ("tune_chorale", "--scheduler pbt --workers-per-trial 2", 2, "--scheduler"),
    ("tune_chorale", "--gpus-per-trial 0.5 --workers-per-trial 2", 2, "--gpus-per-trial"),
    ("train_sketch", "--epochs 0", 2, "--epochs"),
    ("train_sketch", "--no-such-option 1", 2, "--no-such-option"),
    ("train_sketch", "--model.filters 8 8", 2, "--model: filters, kernel_sizes and strides"),
    ("train_sketch", "--name ../elsewhere", 2, "--name"),
    ("train_sketch", "--gpu --no-gpu", 2, "gpu"),
    ("train_video", "--split 80:20", 2, "--split"),
    ("train_video", "--frames-per-second 0", 2, "--frames-per-second"),
    ("train_video", "--model.frames xception --frame-size 64", 2, "frame_size of 71 at least"),
    ("train_video", "--on-bad-file ignore", 2, "--on-bad-file"),
    ("classify_video", "--data demo --output x", 2, "--checkpoint"),
    ("evaluate_sketch", "--split test", 2, "--data"),
    ("evaluate_sketch", "--checkpoint x --data demo --split half", 2, "--split"),
    ("classify_sketches", "--checkpoint x --data demo", 2, "--output"),
    ("train_forecast", "--split 80:20", 2, "--split"),
    ("train_forecast", "--missing drop", 2, "--missing"),
    ("train_forecast", "--model.window-days 3", 2, "--model.window-days"),
    ("forecast", "--data demo --output x", 2, "--checkpoint"),
    ("compose", f"{OF} --seed-from test", 1, OPENING),
    ("compose", f"{OF} --seed-from test:2:", 1, OPENING),
    ("compose", f"{OF} --seed-from test:2:0", 1, OPENING),
    ("compose", f"{OF} --seed-from test:2:-8", 1, OPENING),
    ("compose", f"{OF} --seed-from test:2:900 --chords 1000", 1, "piece_2 has only 36 chords"),
    ("compose", f"{OF} --seed-from test:2:9 --chords 8", 1, "more than --chords 8; raise --chords"),
    ("compose", f"{OF} --seed-from test:9:8", 1, "test has 3 chorales, test:0 to test:2"),
    (
        "compose",
        f"{OF} --seed-from half:2:8",
        1,
        "'half' does not exist; the splits are train, valid, test",
    ),
    ("compose", f"{OF} --tempo 0", 1, "tempo 0: it must be quarter notes a minute"),
    ("compose", f"{OF} --tempo nan", 1, "tempo nan: it must be quarter notes a minute"),
    ("compose", f"{OF} --chords 1000 --tempo 4", 1, "1000 chords last more than an hour"),
    ("compose", f"{OF} --output {{files}}/file/out", 1, "file/out: cannot be written"),
    ("compose", "--checkpoint {composer} --data nowhere", 1, "nowhere: no such file or folder"),
    ("compose", "--checkpoint {files}/empty --data nowhere", 1, f"{{files}}/empty: {NO_COMPOSER}"),
    ("compose", "--checkpoint nowhere --data nowhere", 1, f"nowhere: {NO_COMPOSER}"),
    ("compose", "--checkpoint {sketch} --data nowhere", 1, "{sketch}: a checkpoint of another mod"),
    ("compose", "--checkpoint {cut} --data {corpus}", 1, "{cut}/model.keras: cannot be loaded"),
    ("compose", f"{OF} --melody nowhere.mid", 1, "nowhere.mid: cannot be read"),
    ("compose", f"{MELODY}/long.csv --chords 8", 1, "the melody has 9 chords, more than --chords"),
    (
        "compose",
        f"{MELODY}/high.csv",
        1,
        "quarter note 0.25 from the beginning: pitch 82 is outside",
    ),
    ("compose", f"{MELODY}/high.csv --transpose 9", 1, "--transpose -1 moves all notes"),
    ("compose", f"{MELODY}/text.csv", 1, "{files}/text.csv, line 2, note0: 'C4' is not a pitch"),
    ("compose", f"{MELODY}/two.csv", 1, "{files}/two.csv: has 2 voices, but --keep names 1"),
    ("compose", f"{MELODY}/two.csv --keep alto alto", 1, "--keep alto alto: names a voice twice"),
    ("compose", f"{MELODY}/nothing.csv", 1, "{files}/nothing.csv: has a header but no chords"),
    ("compose", f"{MELODY}/empty.musicxml", 1, "{files}/empty.musicxml: the file is empty"),
    (
        "compose",
        f"{MELODY}/broken.musicxml",
        1,
        "{files}/broken.musicxml: cannot be read as MusicXML",
    ),
    ("compose", f"{MELODY}/broken.mid", 1, "{files}/broken.mid: not a MIDI file, or a damaged one"),
    ("compose", f"{MELODY}/five.mid", 1, "{files}/five.mid: has 5 voices (track 0, track 1, track"),
    (
        "compose",
        f"{MELODY}/above.mid",
        1,
        "-15 moves all notes into this range; so does --transpose -24",
    ),
    (
        "compose",
        f"{MELODY}/melody.txt",
        1,
        "melody.txt: not a file of voices in a known format (.csv",
    ),
    ("classify_video", f"{VIDEO} --checkpoint nowhere", 1, f"nowhere: {NO_VIDEO}"),
    ("classify_video", f"{VIDEO} --checkpoint {{sketch}}", 1, f"{{sketch}}: {ANOTHER} video"),
    ("evaluate_chorale", "--checkpoint {files}/empty", 1, f"{{files}}/empty: {NO_COMPOSER}"),
    ("evaluate_chorale", "--checkpoint {sketch}", 1, f"{{sketch}}: {ANOTHER} composer"),
    ("evaluate_chorale", "--checkpoint {many} --data {corpus}", 1, "{many}/config.yaml: window_ch"),
    ("generate_chorales", f"{GENERATE} --checkpoint {{corpus}}", 1, f"{{corpus}}: {NO_COMPOSER}"),
    ("generate_chorales", f"{GENERATE} --chords 100000", 1, "last more than an hour"),
    ("generate_chorales", f"{GENERATE} --presign-hours 1", 1, "time limit need an s3://"),
    ("generate_chorales", f"{GENERATE} --output gs://bucket/prefix", 1, "gs://"),
    (
        "forecast",
        f"{FORECAST} --checkpoint {{files}}/empty",
        1,
        f"not a checkpoint of the forecaster: {NO_CONFIG}",
    ),
    ("forecast", f"{FORECAST} --checkpoint {{sketch}}", 1, f"{{sketch}}: {ANOTHER} forecaster"),
    ("listen", f"{LISTEN} --tempo 0", 1, "tempo 0: it must be quarter notes a minute"),
    ("listen", f"{LISTEN} --tempo inf", 1, "tempo inf: it must be quarter notes a minute"),
    ("listen", "--data {corpus} --name test:7", 1, "'test:7': test has 3 chorales, test:0 to"),
    ("listen", "--data {corpus} --name 'Ein feste Burg'", 1, "'Ein feste Burg': no such chorale"),
    ("listen", "--data {files}/corpus --name test:0", 1, "line 2, note2: 'sixty' is not a pitch"),
    ("train_sketch", "--config {files}/no.yaml", 1, "{files}/no.yaml: cannot be read as YAML"),
    ("train_sketch", "--config {files}/unit.yaml", 1, "model.unit: Extra inputs are not permitted"),
    ("train_sketch", "--config {files}/epoch.yaml", 1, "epoch: Extra inputs are not permitted"),
]
CHORALE = "--preset notebook --data {corpus}"
TUNE = "--data {corpus} --space {files}"
SKETCH = "--checkpoint {sketch} --data {files}/empty"
ON_A_CLUSTER = [
    ("train_sketch", "--data {files}/empty", 1, "{files}/empty: the folder has no files"),
    ("evaluate_sketch", SKETCH, 1, "{files}/empty: the folder has no files"),
    ("classify_sketches", f"{SKETCH} --output x", 1, "{files}/empty: the folder has no files"),
    ("evaluate_sketch", "--checkpoint nowhere --data demo", 1, f"nowhere: {NO_SKETCH}"),
    ("evaluate_sketch", "--checkpoint {composer} --data demo", 1, f"{ANOTHER} sketch classifier"),
    ("evaluate_sketch", "--checkpoint {other} --data demo", 1, "class 29: 'zigzag' and 'unicorn'"),
    ("evaluate_sketch", "--checkpoint {sketch} --data demo:30", 1, "{sketch}/model.keras: cannot"),
    ("classify_sketches", f"{SKETCH} --checkpoint {{files}} --output x", 1, f"files: {NO_SKETCH}"),
    (
        *("classify_sketches", "--checkpoint {sketch} --data demo --output {files}/file/out"),
        *(1, "file: cannot be written"),
    ),
    ("train_sketch", "--data demo:100 --storage-path {files}/file/runs", 1, "cannot be written"),
    ("train_sketch", "--data demo:100 --workers 64", 1, "64 workers with a CPU each cannot start"),
    ("train_sketch", "--data demo:100 --workers 2 --cpus-per-worker 3", 1, "with 3 CPUs each can"),
    ("train_sketch", "--data demo:100 --workers 2 --gpu", 1, "2 workers with a GPU each cannot"),
    (
        *("train_sketch", "--data demo:100 --workers 3 --global-batch-size 2"),
        *(1, "3 workers cannot share a global batch of 2"),
    ),
    ("train_video", "--data {files}/empty", 1, "{files}/empty: the folder has no files"),
    ("train_video", "--data {files}/corpus", 1, "no file in it is a video (MP4, MOV, MKV, WebM"),
    ("train_video", "--data demo:many", 1, "demo:COUNT takes a number of videos, such as"),
    ("train_chorale", "--data {files}/corpus", 1, "piece.csv, line 2, note2: 'sixty' is not"),
    ("train_chorale", "--data {files}/train.csv", 1, "'valid': the data have no chorales there"),
    ("train_chorale", f"{CHORALE} --window-chords 1000", 1, "fills a window of 1000 chords; use a"),
    ("train_chorale", f"{CHORALE} --storage-path {{files}}/file/runs", 1, "cannot be written"),
    ("tune_chorale", f"{TUNE}/near.yaml", 1, "did you mean model.lstm_units"),
    ("tune_chorale", f"{TUNE}/absent.yaml", 1, "'model.bidirectional' is not a field"),
    ("tune_chorale", f"{TUNE}/range.yaml", 1, "0.5 to 0.1 is not a range"),
    ("tune_chorale", f"{TUNE}/beyond.yaml", 1, "model.dropout"),
    ("tune_chorale", f"{TUNE}/good.yaml --metric validation_lost", 1, "mean validation_loss"),
    ("tune_chorale", f"{TUNE}/good.yaml --metric bleu", 1, "they report validation_loss"),
    (
        "tune_chorale",
        f"{TUNE}/good.yaml --gpus-per-trial 64",
        1,
        "no node of this cluster has 1 CPUs and 64 GPUs",
    ),
    ("tune_chorale", f"{TUNE}/units.yaml --scheduler pbt", 1, "none of model.lstm_units"),
    (
        "tune_chorale",
        f"{TUNE}/good.yaml --workers-per-trial 99",
        1,
        "99: this cluster has room for",
    ),
]
COLUMNS = ("job", "arguments", "code", "line")
Refuse = Callable[[str, str, int, str], None]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the arguments above name in braces."""
    folder = tmp_path_factory.mktemp("given")
    files = folder / "files"
    for name, content in FILES.items():
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (files / "empty").mkdir()
    composers.save_checkpoint(folder / "composer", "strong")
    for name in ("cut", "many"):
        shutil.copytree(folder / "composer", folder / name)
    model, config = folder / "cut/model.keras", folder / "many/config.yaml"
    model.write_bytes(model.read_bytes()[:5000])
    config.write_text(
        yaml.safe_dump(yaml.safe_load(config.read_text()) | {"window_chords": "many"})
    )
    classes = {
        "sketch": demo_drawings.CLASS_NAMES,
        "other": (*demo_drawings.CLASS_NAMES[:-1], "unicorn"),
    }
    for name, names in classes.items():
        (folder / name).mkdir()
        for file, text in SketchTask(notebook(), names).checkpoint_files().items():
            (folder / name / file).write_text(text)
        (folder / name / "position.json").write_text("{}")
        (folder / name / "model.keras").write_bytes(model.read_bytes())
    tiny_chorale.write_corpus(folder / "corpus")
    return {each.name: str(each) for each in folder.iterdir()}


@pytest.fixture
def refuse(
    run_here: RunJob, given: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Refuse:
    """Runs a job that must refuse its input, in an empty folder that stays so."""

    def run(job: str, arguments: str, code: int, line: str) -> None:
        monkeypatch.chdir(tmp_path)
        ended = run_here(job, *shlex.split(arguments.format_map(given)))
        assert ended.code == code, ended.out + ended.err
        assert "Traceback" not in ended.err
        assert "training /" not in ended.out
        if code == 1:
            assert line.format_map(given) in ended.failed_with()
        else:  # an option may stand there as it is written in Python
            assert line.replace("-", "_").strip("_") in ended.err.replace("-", "_")
        assert list(tmp_path.iterdir()) == []

    return run


@pytest.mark.parametrize(COLUMNS, HERE)
def test_bad_input_is_refused_in_a_line(
    refuse: Refuse, job: str, arguments: str, code: int, line: str
) -> None:
    refuse(job, arguments, code, line)


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize(COLUMNS, ON_A_CLUSTER)
def test_bad_input_is_refused_in_a_line_by_jobs_that_begin_with_a_cluster(
    refuse: Refuse, job: str, arguments: str, code: int, line: str
) -> None:
    refuse(job, arguments, code, line)


def test_verbose_adds_the_traceback(run_here: RunJob) -> None:
    ended = run_here("listen", "--data", "/nowhere", "--name", "test:0", "--verbose")
    assert ended.code == 1
    assert "Traceback" in ended.err
    assert ended.err.splitlines()[-1].endswith("no such file or folder")
