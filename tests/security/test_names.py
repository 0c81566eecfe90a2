"""Names, keys and URIs that users or files give cannot lead out of where they belong."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import RunJob, names_of_job

from rnnray import storage
from rnnray.artifacts import open_store
from rnnray.chorale.data import chorale_table
from rnnray.errors import UserError
from rnnray.job import WrongUse, options_of

WITH_A_NAME = {
    "train_sketch": {},
    "train_chorale": {},
    "train_video": {},
    "tune_sketch": {},
    "tune_chorale": {},
    "generate_chorales": {"checkpoint": "x"},
}
OUTSIDE = [
    *("../x", "..", "a/../../x", "/etc/x", "a/b", "a\\b", "~/x", "s3://bucket/x"),
    *("a\0b", "a\nb", "a\n", "\x1b[2J", ".hidden", "-x", " x", "", "é", "$(id)", "<b>"),
]


def options_of_job(job: str) -> Any:
    """The class of what a job's command line gives."""
    module = names_of_job(job)
    return options_of(module.get("Config") or module["Options"])


@pytest.mark.parametrize("job", WITH_A_NAME)
def test_a_name_of_a_run_is_one_plain_folder(job: str) -> None:
    options = options_of_job(job)
    options.model_validate(WITH_A_NAME[job] | {"name": "epoch=3_b-1.5"})
    for name in OUTSIDE:
        with pytest.raises(WrongUse, match="--name"):
            options.model_validate(WITH_A_NAME[job] | {"name": name})


def test_a_name_that_leaves_its_folder_makes_nothing(run_here: RunJob, tmp_path: Path) -> None:
    where = ("--storage-path", str(tmp_path / "runs"))
    ended = run_here("train_sketch", "--data", "demo:100", *where, "--name", "../outside\n")
    assert "--name" in ended.failed_with(2)
    assert not list(tmp_path.iterdir())


URI_OPTIONS = [
    ("train_sketch", ["--data"], ["--storage-path", "{}"]),
    ("train_sketch", ["--storage-path"], ["--data", "{}"]),
    ("train_sketch", ["--export"], ["--data", "{}"]),
    ("train_chorale", ["--data"], ["--storage-path", "{}"]),
    ("train_chorale", ["--storage-path"], ["--data", "{}"]),
    ("tune_sketch", ["--data"], ["--storage-path", "{}"]),
    ("tune_sketch", ["--space"], ["--storage-path", "{}"]),
    ("tune_chorale", ["--storage-path"], ["--data", "{}"]),
    ("generate_chorales", ["--output"], ["--checkpoint", "{}"]),
    ("generate_chorales", ["--checkpoint"], ["--output", "{}"]),
    ("generate_chorales", ["--data"], ["--checkpoint", "{}", "--output", "{}"]),
    ("prepare_sketches", ["--output"], ["--data", "{}"]),
    ("prepare_sketches", ["--data"], ["--output", "{}"]),
    ("classify_sketches", ["--output"], ["--data", "{}", "--checkpoint", "{}"]),
    ("evaluate_sketch", ["--checkpoint"], ["--data", "{}"]),
    ("evaluate_chorale", ["--checkpoint"], ["--data", "{}"]),
    ("compose", ["--output"], ["--checkpoint", "{}"]),
    ("compose", ["--checkpoint"], ["--output", "{}"]),
    ("compose", ["--melody"], ["--checkpoint", "{}", "--output", "{}"]),
    ("export_sketch", ["--output"], ["--checkpoint", "{}"]),
    ("listen", ["--output"], ["--name", "test:0", "--data", "{}"]),
    ("listen", ["--data"], ["--name", "test:0", "--output", "{}"]),
]


@pytest.mark.parametrize(("job", "option", "others"), URI_OPTIONS)
def test_no_option_takes_a_uri_that_goes_up_in_a_bucket_or_has_secrets_in_it(
    job: str, option: list[str], others: list[str], tmp_path: Path
) -> None:
    options = options_of_job(job)
    pairs = zip(others[::2], others[1::2], strict=True)
    given = {name[2:].replace("-", "_"): value.format(tmp_path) for name, value in pairs}
    (field,) = (name[2:].replace("-", "_") for name in option)
    for uri, words in [
        ("s3://bucket/prefix/../../other", "cannot contain '..'"),
        ("s3://bucket/prefix/%2e%2E/other", "cannot contain '..'"),
        ("gs://bucket/..", "cannot contain '..'"),
        ("s3://AKID:sEcReT@bucket/x", "credentials"),
        ("s3://AKID:sEc/ReT@bucket/x", "credentials"),
        ("s3://bucket/x?region=eu&secret_key=sEcReT", "credentials"),
        ("a\0b", "null byte"),
    ]:
        with pytest.raises(UserError, match=words) as caught:
            options.model_validate(given | {field: uri})
        assert "sEc" not in str(caught.value)
        assert len(caught.value.args[0].splitlines()) == 1


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/x", "a\0b", "a\nb", "a//b", ".", ""])
def test_no_key_leads_out_of_a_store(tmp_path: Path, key: str) -> None:
    for store in (open_store(str(tmp_path / "run")), open_store("s3://bucket/run")):
        for use in (
            lambda store=store: store.put(key, b"x", content_type="text/plain"),
            lambda store=store: store.get(key),
            lambda store=store: store.size(key),
            lambda store=store: store.delete(key),
        ):
            with pytest.raises(ValueError, match="not a key"):
                use()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "uri", ["s3://bucket/p/../..", "s3://bucket/p/%2e%2e/x", "gs://bucket/../x", "nowhere/a\0b"]
)
def test_no_uri_leads_out_of_a_bucket(uri: str) -> None:
    for use in (
        storage.open_uri,
        storage.read_bytes,
        storage.list_files,
        lambda uri: storage.write_bytes(uri, b""),
        storage.delete,
    ):
        with pytest.raises(UserError, match=r"cannot contain '\.\.'|null byte"):
            use(uri)


def corpus_with_name(file: Path, name: str) -> str:
    chords = np.tile(np.array([72, 67, 60, 48], np.int16), (8, 1))
    pq.write_table(chorale_table.from_chorales([(name, "test", chords)]), file)
    return str(file)


@pytest.mark.parametrize(
    "name", ["../evil", "/evil", "a/../../evil", "..", "a//evil", "a\0b", "a\nb", "\x1b[2Jx", "a/"]
)
def test_a_chorale_whose_name_would_be_a_file_elsewhere_is_refused(
    run_here: RunJob, tmp_path: Path, name: str
) -> None:
    data = corpus_with_name(tmp_path / "corpus.parquet", name)
    output = tmp_path / "a" / "b" / "heard"
    ended = run_here("listen", "--data", data, "--name", "test:0", "--output", str(output))
    assert "cannot be the name of a file" in ended.failed_with()
    assert ended.err.rstrip("\n").isprintable()
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.parquet"]


def test_words_and_keys_of_drawings_name_no_files(
    ray_cluster: None, run_here: RunJob, tmp_path: Path
) -> None:
    strokes = [[[0, 10, 20], [0, 10, 0]], [[0, 20], [0, 20]]]
    lines = [
        {"word": word, "key_id": f"../../{number}", "drawing": strokes}
        for number in range(60)
        for word in ("../../evil", "/tmp/evil", "<script>alert(1)</script>")
    ]
    data = tmp_path / "drawings.ndjson"
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    output = tmp_path / "a" / "b" / "prepared"
    ended = run_here("prepare_sketches", "--data", str(data), "--output", str(output))
    assert ended.code == 0, ended.err
    found = {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}
    assert {path.partition("/")[0] for path in found} == {
        *("train", "validation", "test", "sketches.json"),
    }
    assert {path.name for path in tmp_path.iterdir()} == {"drawings.ndjson", "a"}
    parts = sorted(output.glob("train/*.parquet"))
    names: Any = json.loads(pa.parquet.read_schema(parts[0]).metadata[b"class_names"])
    assert names == sorted({line["word"] for line in lines})
