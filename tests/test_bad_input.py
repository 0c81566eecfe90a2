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
from tiny import Ended, RunJob

from rnnray.sketch.data import demo_drawings
from rnnray.sketch.sketch_config import notebook
from rnnray.sketch.sketch_task import SketchTask

FILES: dict[str, str | bytes] = {
    "file": "",
    "long.csv": "note0\n" + "60\n" * 9,
    "high.csv": "note0\n60\n82\n",
    "text.csv": "note0\nC4\n",
    "two.csv": "note0,note1\n60,55\n",
    "above.mid": midi(96),
    "melody.txt": "60",
    "unit.yaml": "{model: {unit: 8}}",
    "corpus/train/piece.csv": "note0,note1,note2,note3\n60,60,sixty,60\n",
    "train.csv/train/piece.csv": "note0,note1,note2,note3\n" + "72,67,60,48\n" * 9,
    "near.yaml": "model.lstm_unit: [64]",
    "good.yaml": "model.dropout: [0.1, 0.2]",
    "units.yaml": "model.lstm_units: [8, 16]",
}
NO_CONFIG = "it has no config.yaml; checkpoints are the folders named epoch-*"
NO_COMPOSER = f"not a checkpoint of the composer: {NO_CONFIG}"
NO_SKETCH = f"not a checkpoint of the sketch classifier: {NO_CONFIG}"
NO_VIDEO = f"not a checkpoint of the video classifier: {NO_CONFIG}"
NO_FORECASTER = f"not a checkpoint of the forecaster: {NO_CONFIG}"
ANOTHER = "a checkpoint of another model, not of the"
OF = "--checkpoint {composer} --data {corpus}"
MELODY = f"{OF} --melody {{files}}"
LISTEN = "--data {corpus} --name test:2"
OUTPUT = "--data demo --output x"
GENERATE = f"{OF} --output out --name run --chords 12"

TRAIN = [f"train_{model}" for model in ("sketch", "chorale", "forecast", "video")]
WITH_PRESETS = [*TRAIN, "tune_sketch", "tune_chorale"]

# Job, arguments, and what its line says: at least the option.
WRONG_USE = [
    ("compose", f"{OF} --temperatures -1", "--temperatures"),
    ("compose", f"{OF} --temperatures=-0.5", "--temperatures"),
    ("compose", f"{OF} --temperatures nan", "--temperatures"),
    ("compose", f"{OF} --temperatures inf", "--temperatures"),
    ("compose", f"{OF} --temperatures", "--temperatures"),
    ("compose", f"{OF} --temperatures 0.8 0.80000001", "names one twice"),
    ("compose", f"{OF} --temperatures 0.8 --greedy", "--temperatures"),
    ("compose", f"{OF} --chords 0", "--chords"),
    ("compose", f"{OF} --count 0", "--count"),
    ("compose", f"{OF} --top-p 0", "--top-p"),
    ("compose", f"{OF} --top-p nan", "--top-p"),
    ("compose", f"{OF} --seed -1", "--seed"),
    ("compose", f"{OF} --keep treble", "--keep"),
    ("compose", f"{OF} --seed-from test:2:8 --melody tune.mid", "--seed-from"),
    ("compose", f"{OF} --transpose 12", "--transpose"),
    ("compose", f"{OF} --open-bars 3", "--open-bars"),
    ("compose", f"{OF} --melody tune.mid --open-bars 6:3", "6:3: write a bar"),
    ("compose", f"{OF} --particles 0", "--particles"),
    ("evaluate_chorale", "--particles 8", "--particles are for --keep"),
    ("evaluate_chorale", "--keep soprano alto tenor bass", "--keep names all four voices"),
    ("compose", f"{OF} --instrument kazoo", "--instrument"),
    ("generate_chorales", f"{GENERATE} --temperatures", "--temperatures"),
    ("generate_chorales", f"{GENERATE} --temperatures -1", "greater than or equal to 0"),
    ("generate_chorales", f"{GENERATE} --temperatures nan", "--temperatures"),
    ("generate_chorales", f"{GENERATE} --temperatures 0.8 0.80000001", "a temperature twice"),
    ("generate_chorales", f"{GENERATE} --count 0", "--count 0"),
    ("generate_chorales", f"{GENERATE} --count 1000001", "--count 1000001"),
    ("generate_chorales", f"{GENERATE} --tempo 3.9", "--tempo 3.9"),
    ("generate_chorales", f"{GENERATE} --tempo nan", "--tempo nan"),
    ("generate_chorales", f"{GENERATE} --chords 0", "--chords 0"),
    ("generate_chorales", f"{GENERATE} --name ../run", "--name ../run"),
    ("generate_chorales", f"{GENERATE} --formats mp3", "--formats"),
    ("generate_chorales", f"{GENERATE} --top-p 0", "--top-p 0"),
    ("generate_chorales", f"{GENERATE} --presign-hours 200", "--presign-hours 200"),
    ("generate_chorales", f"{GENERATE} --samplers 0", "--samplers 0"),
    ("evaluate_chorale", f"{OF} --split half", "--split"),
    ("listen", "--data jsb", "--name"),
    *((job, "--preset weak", "--preset") for job in WITH_PRESETS),
    ("train_chorale", "--model.architecture bars", "--model.architecture"),
    ("train_chorale", "--window-shift 15", "--window-shift"),
    ("train_chorale", "--transpose 13", "--transpose"),
    ("tune_chorale", "--samples 0", "--samples"),
    ("tune_chorale", "--scheduler pbt --searcher optuna", "--scheduler"),
    ("tune_chorale", "--scheduler pbt --workers-per-trial 2", "--scheduler"),
    ("tune_chorale", "--gpus-per-trial 0.5 --workers-per-trial 2", "--gpus-per-trial"),
    ("train_sketch", "--epochs 0", "--epochs"),
    ("train_sketch", "--no-such-option 1", "--no-such-option"),
    ("train_sketch", "--model.filters 8 8", "--model: filters, kernel_sizes and strides"),
    ("train_sketch", "--name ../elsewhere", "--name"),
    ("train_sketch", "--gpu --no-gpu", "gpu"),
    ("train_video", "--split 80:20", "--split"),
    ("train_video", "--frames-per-second 0", "--frames-per-second"),
    ("train_video", "--model.frames xception --frame-size 70", "frame_size of 71 at least"),
    ("train_video", "--on-bad-file ignore", "--on-bad-file"),
    ("classify_video", OUTPUT, "--checkpoint"),
    ("evaluate_sketch", "--split test", "--data"),
    ("evaluate_sketch", "--checkpoint x --data demo --split half", "--split"),
    ("classify_sketches", "--checkpoint x --data demo", "--output"),
    ("train_forecast", "--split 80:20", "--split"),
    ("train_forecast", "--missing drop", "--missing"),
    ("train_forecast", "--model.window-days 3", "--model.window-days"),
    ("forecast", OUTPUT, "--checkpoint"),
]
# Of what a file or a folder may lack, one or two for each option: the rest is told by the readers'
# own tests.
BAD_INPUT = [
    ("compose", f"{OF} --seed-from test:2:", "write a chorale and a number of chords, such as te"),
    ("compose", f"{OF} --seed-from test:2:9 --chords 8", "more than --chords 8; raise --chords"),
    ("compose", f"{OF} --tempo 0", "tempo 0: it must be quarter notes a minute"),
    ("compose", f"{OF} --chords 1000 --tempo 4", "1000 chords last more than an hour"),
    ("compose", f"{OF} --output {{files}}/file/out", "file/out: cannot be written"),
    ("compose", "--checkpoint {composer} --data nowhere", "nowhere: no such file or folder"),
    ("compose", "--checkpoint {files}/empty --data nowhere", f"{{files}}/empty: {NO_COMPOSER}"),
    ("compose", "--checkpoint nowhere --data nowhere", f"nowhere: {NO_COMPOSER}"),
    ("compose", "--checkpoint {sketch} --data nowhere", "{sketch}: a checkpoint of another model"),
    ("compose", "--checkpoint {cut} --data {corpus}", "{cut}/model.keras: cannot be loaded"),
    ("compose", f"{OF} --melody nowhere.mid", "nowhere.mid: cannot be read"),
    ("compose", f"{MELODY}/long.csv --chords 8", "the melody has 9 chords, more than --chords"),
    ("compose", f"{MELODY}/high.csv --transpose 9", "--transpose -1 moves all notes"),
    ("compose", f"{MELODY}/text.csv", "{files}/text.csv, line 2, note0: 'C4' is not a pitch"),
    ("compose", f"{MELODY}/two.csv --keep alto alto", "--keep alto alto: names a voice twice"),
    ("compose", f"{MELODY}/above.mid", "-15 moves all notes into this range; so does --transpose"),
    ("compose", f"{MELODY}/melody.txt", "melody.txt: not a file of voices in a known format (.csv"),
    ("classify_video", f"{OUTPUT} --checkpoint nowhere", f"nowhere: {NO_VIDEO}"),
    ("classify_video", f"{OUTPUT} --checkpoint {{sketch}}", f"{{sketch}}: {ANOTHER} video"),
    ("evaluate_chorale", "--checkpoint {files}/empty", f"{{files}}/empty: {NO_COMPOSER}"),
    ("evaluate_chorale", "--checkpoint {sketch}", f"{{sketch}}: {ANOTHER} composer"),
    ("evaluate_chorale", "--checkpoint {many} --data {corpus}", "{many}/config.yaml: window_ch"),
    ("generate_chorales", f"{GENERATE} --checkpoint {{corpus}}", f"{{corpus}}: {NO_COMPOSER}"),
    ("generate_chorales", f"{GENERATE} --chords 100000", "last more than an hour"),
    ("generate_chorales", f"{GENERATE} --presign-hours 1", "time limit need an s3://"),
    ("generate_chorales", f"{GENERATE} --output gs://bucket/prefix", "gs://"),
    ("forecast", f"{OUTPUT} --checkpoint {{files}}/empty", NO_FORECASTER),
    ("forecast", f"{OUTPUT} --checkpoint {{sketch}}", f"{{sketch}}: {ANOTHER} forecaster"),
    ("listen", f"{LISTEN} --tempo 0", "tempo 0: it must be quarter notes a minute"),
    ("listen", "--data {corpus} --name test:7", "'test:7': test has 3 chorales, test:0 to"),
    ("listen", "--data {files}/corpus --name test:0", "line 2, note2: 'sixty' is not a pitch"),
    ("train_sketch", "--config {files}/unit.yaml", "model.unit: Extra inputs are not permitted"),
]
DEMO = "--data demo:100"
CHORALE = "--preset notebook --data {corpus}"
TUNE = "--data {corpus} --space {files}"
SKETCH = "--checkpoint {sketch} --data {files}/empty"
ON_A_CLUSTER = [
    ("train_sketch", "--data {files}/empty", "{files}/empty: the folder has no files"),
    ("evaluate_sketch", SKETCH, "{files}/empty: the folder has no files"),
    ("classify_sketches", f"{SKETCH} --output x", "{files}/empty: the folder has no files"),
    ("evaluate_sketch", "--checkpoint nowhere --data demo", f"nowhere: {NO_SKETCH}"),
    ("evaluate_sketch", "--checkpoint {composer} --data demo", f"{ANOTHER} sketch classifier"),
    ("evaluate_sketch", "--checkpoint {other} --data demo", "class 29: 'zigzag' and 'unicorn'"),
    ("evaluate_sketch", "--checkpoint {sketch} --data demo:30", "{sketch}/model.keras: cannot"),
    ("classify_sketches", f"{SKETCH} --checkpoint {{files}} --output x", f"files: {NO_SKETCH}"),
    ("classify_sketches", f"{SKETCH} --data demo --output {{files}}/file/out", "cannot be written"),
    ("train_sketch", f"{DEMO} --storage-path {{files}}/file/runs", "cannot be written"),
    ("train_sketch", f"{DEMO} --workers 64", "64 workers with a CPU each cannot start"),
    ("train_sketch", f"{DEMO} --workers 2 --cpus-per-worker 3", "with 3 CPUs each can"),
    ("train_sketch", f"{DEMO} --workers 2 --gpu", "2 workers with a GPU each cannot"),
    ("train_sketch", f"{DEMO} --workers 3 --global-batch-size 2", "cannot share a global batch of"),
    ("train_video", "--data {files}/empty", "{files}/empty: the folder has no files"),
    ("train_video", "--data {files}/corpus", "no file in it is a video (MP4, MOV, MKV, WebM"),
    ("train_video", "--data demo:many", "demo:COUNT takes a number of videos, such as"),
    ("train_chorale", "--data {files}/corpus", "piece.csv, line 2, note2: 'sixty' is not"),
    ("train_chorale", "--data {files}/train.csv", "'valid': the data have no chorales there"),
    ("train_chorale", f"{CHORALE} --window-chords 1000", "fills a window of 1000 chords; use a"),
    ("train_chorale", f"{CHORALE} --storage-path {{files}}/file/runs", "cannot be written"),
    ("tune_chorale", f"{TUNE}/near.yaml", "did you mean model.lstm_units"),
    ("tune_chorale", f"{TUNE}/good.yaml --metric validation_lost", "mean validation_loss"),
    ("tune_chorale", f"{TUNE}/good.yaml --gpus-per-trial 64", "has 1 CPUs and 64 GPUs"),
    ("tune_chorale", f"{TUNE}/units.yaml --scheduler pbt", "none of model.lstm_units"),
    ("tune_chorale", f"{TUNE}/good.yaml --workers-per-trial 99", "99: this cluster has room for"),
]
COLUMNS = ("job", "arguments", "line")
Run = Callable[[str, str], Ended]


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
def run(
    run_here: RunJob, given: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Runs a job that must refuse its input, in an empty folder that stays so."""

    def run(job: str, arguments: str) -> Ended:
        monkeypatch.chdir(tmp_path)
        ended = run_here(job, *shlex.split(arguments.format_map(given)))
        assert "Traceback" not in ended.err
        assert "training /" not in ended.out
        assert list(tmp_path.iterdir()) == []
        return ended

    return run


@pytest.mark.parametrize(COLUMNS, WRONG_USE)
def test_wrong_use_is_told_by_its_option(run: Run, job: str, arguments: str, line: str) -> None:
    ended = run(job, arguments)
    assert ended.code == 2, ended.out + ended.err
    # An option may stand there as it is written in Python.
    assert line.replace("-", "_").strip("_") in ended.err.replace("-", "_")


@pytest.mark.parametrize(COLUMNS, BAD_INPUT)
def test_bad_input_is_refused_in_a_line(
    run: Run, given: dict[str, str], job: str, arguments: str, line: str
) -> None:
    assert line.format_map(given) in run(job, arguments).failed_with()


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize(COLUMNS, ON_A_CLUSTER)
def test_bad_input_is_refused_in_a_line_by_jobs_that_begin_with_a_cluster(
    run: Run, given: dict[str, str], job: str, arguments: str, line: str
) -> None:
    assert line.format_map(given) in run(job, arguments).failed_with()
