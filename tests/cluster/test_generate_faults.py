"""Batch generation under faults: nothing is lost, nothing is done twice, errors are one line.

The runs are drivers in processes of their own on the tests' Ray cluster, which outlives them, as
the cluster of submitted jobs does.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import s3server
from faults import Bucket, Folder, Process, end, is_kept, owns, settled
from object_store import ObjectStore
from observed import wait_until
from s3server import BUCKET, KEY_ID, SECRET
from tiny import REPOSITORY, Ended, RunJob
from tiny_chorale import TrainedChorale

pytestmark = pytest.mark.faults

COUNT = 70  # a part and a bit, at each of two temperatures
KILLS = 5
OUTAGE_SECONDS = 20

Arguments = Callable[[object], tuple[str, ...]]
Generate = Callable[..., Ended]
Start = Callable[..., Process]


@pytest.fixture(scope="module")
def arguments(trained_chorale: TrainedChorale) -> Arguments:
    """Of one and the same run, into a given output."""
    return lambda output: (
        *("--checkpoint", str(trained_chorale.checkpoint), "--data", str(trained_chorale.corpus)),
        *("--temperatures", "0.8", "1.5", "--count", str(COUNT), "--chords", "8"),
        *("--formats", "mid", "--output", str(output), "--name", "run-1"),
    )


@pytest.fixture
def generate(run_here: RunJob, arguments: Arguments) -> Generate:
    """Runs the job in this process."""
    return lambda output, *more: run_here("generate_chorales", *arguments(output), *more)


@pytest.fixture
def start(ray_cluster: None, arguments: Arguments) -> Iterator[Start]:
    """Starts the job in a process; the settings are its environment, and that of its workers."""
    import ray  # noqa: PLC0415

    address = ray.get_runtime_context().gcs_address
    processes: list[Process] = []

    def begin(
        output: object,
        settings: Mapping[str, str] = {},
        *,
        before: tuple[str, ...] = (),
        own_ray: bool = False,
    ) -> Process:
        environment = os.environ | settings
        environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
        environment.pop("RAY_ADDRESS", None)
        if not own_ray:
            environment["RAY_ADDRESS"] = address
            # As `ray job submit --runtime-env-json` hands them on.
            job = {"runtime_env": {"env_vars": dict(settings)}}
            environment["RAY_JOB_CONFIG_JSON_ENV_VAR"] = json.dumps(job)
        processes.append(
            subprocess.Popen(
                [*before, sys.executable, "jobs/generate_chorales.py", *arguments(output)],
                cwd=REPOSITORY,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def unbroken(
    run_job: RunJob,
    arguments: Arguments,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, bytes]:
    """What the run writes if nothing goes wrong, by key."""
    output = tmp_path_factory.mktemp("without_faults")
    ended = run_job("generate_chorales", *arguments(output), timeout=300)
    assert ended.code == 0, ended.err
    return Folder(output / "run-1").contents()


@pytest.fixture
def chance() -> random.Random:
    """Random moments; FAULTS_SEED gives those of an earlier test again."""
    seed = int(os.environ.get("FAULTS_SEED", time.time_ns() % 2**32))
    print(f"FAULTS_SEED={seed}")  # noqa: T201
    return random.Random(seed)


@pytest.mark.parametrize("where", ["folder", "bucket"])
def test_five_kills_lose_nothing_and_nothing_is_done_twice(
    where: str,
    start: Start,
    object_store: ObjectStore,
    unbroken: dict[str, bytes],
    chance: random.Random,
    tmp_path: Path,
) -> None:
    store: Folder | Bucket
    if where == "folder":
        output, settings, store = str(tmp_path), {}, Folder(tmp_path / "run-1")
    else:
        output, settings = object_store.uri("kills"), dict(object_store)
        store = Bucket(object_store, "kills/run-1/")
    total = len(list(filter(is_kept, unbroken)))
    there: dict[str, Any] = {}
    for life in range(KILLS):
        some = len(there) + chance.randint(0, (total - len(there)) // (KILLS + 1 - life))
        process = start(output, settings)
        wait_until(partial(owns, process, store), process)
        wait_until(lambda some=some: len(store.stamps()) >= some, process)
        process.kill()
        process.wait()
        assert store.get("summary.json") is None
        now = settled(store.stamps)
        assert {key: now.get(key) for key in there} == there
        print(f"killed at {some}: {len(now)} of {total} files are there")  # noqa: T201
        there = now
    if isinstance(store, Folder):  # what a kill in the middle of a put leaves
        (store.path / "bach").mkdir(exist_ok=True)
        (store.path / "bach" / f".{life:032x}.part").write_bytes(b"half")

    ended = end(start(output, settings))
    assert ended.code == 0, ended.err
    assert store.contents() == unbroken
    now = store.stamps()
    assert {key: now.get(key) for key in there} == there
    assert ended.result["found"] == sum(key.startswith("temperature=") for key in there)


def test_an_outage_of_the_object_store_loses_nothing(
    start: Start, object_store: ObjectStore, unbroken: dict[str, bytes], chance: random.Random
) -> None:
    bucket = Bucket(object_store, "faults/run-1/")
    total = len(list(filter(is_kept, unbroken)))
    process = start(object_store.uri("faults"), object_store)
    some = chance.randint(1, total // 2)
    wait_until(lambda: len(bucket.stamps()) >= some, process)
    there = bucket.stamps()
    object_store.stop()
    try:
        time.sleep(OUTAGE_SECONDS)
    finally:
        object_store.start()
    ended = end(process)
    assert ended.code == 0, ended.err
    assert "waiting for the object store" in ended.out
    assert bucket.contents() == unbroken
    now = bucket.stamps()
    assert {key: now.get(key) for key in there} == there


def test_withdrawn_rights_end_a_run_in_a_line_without_secrets_and_a_busy_store_ends_no_run(
    start: Start, unbroken: dict[str, bytes], chance: random.Random
) -> None:
    with s3server.serve() as server, tempfile.TemporaryDirectory(dir="/tmp") as ray_files:
        settings = {
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{server.server_port}",
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }
        server.refuse = refused = f"0.8/{chance.randrange(COUNT):06d}.mid"
        output = f"s3://{BUCKET}/faults"
        # A cluster of its own, whose log files are this run's. A path of pytest's is too long.
        process = start(output, settings | {"RAY_TMPDIR": ray_files}, own_ray=True)
        ended = end(process)
        assert "refuses access (AccessDenied)" in ended.failed_with()
        logs = [file for file in Path(ray_files).rglob("*") if file.is_file()]
        assert logs
        for text in (ended.out, ended.err, *(log.read_text(errors="replace") for log in logs)):
            assert KEY_ID not in text
            assert SECRET not in text
        assert 0 < len(server.objects) < len(unbroken)

        server.refuse = ""
        first = len(server.requests)
        server.busy_every = 10
        ended = end(start(output, settings))
        assert ended.code == 0, ended.err
        prefix = "faults/run-1/"
        assert {k.removeprefix(prefix): v for k, (v, _) in server.objects.items()} == unbroken
    answered = [
        request
        for number, request in enumerate(server.requests, 1)
        if (refused not in request if number <= first else number % server.busy_every)
    ]
    puts = [request for request in answered if request.startswith("PUT") and ".mid" in request]
    assert len(puts) == len(set(puts)), "put twice"


def test_a_full_disk_is_one_line_and_a_run_with_room_goes_on(
    start: Start, generate: Generate, unbroken: dict[str, bytes], tmp_path: Path
) -> None:
    full, room = tmp_path / "full", tmp_path / "room"
    full.mkdir()
    room.mkdir()
    script = (
        f'mount -t tmpfs -o size=300k none {full} && "$@"; code=$?; '
        f"cp -a {full}/. {room} && exit $code"
    )
    small = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh")
    try:
        subprocess.run([*small, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no disk of one's own can be mounted here")
    # Workers of the tests' cluster would not see this disk.
    ended = end(start(full, before=small, own_ray=True))
    assert "its disk is full" in ended.failed_with()
    store = Folder(room / "run-1")
    there = store.stamps()
    assert there

    ended = generate(room)
    assert ended.code == 0, ended.err
    assert store.contents() == unbroken
    now = store.stamps()
    assert {key: now.get(key) for key in there} == there


def test_of_two_runs_at_once_one_stops_and_one_completes(
    start: Start,
    generate: Generate,
    object_store: ObjectStore,
    unbroken: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in object_store.items():
        monkeypatch.setenv(name, value)
    bucket = Bucket(object_store, "twice/run-1/")
    process = start(object_store.uri("twice"), object_store)
    wait_until(partial(owns, process, bucket), process)
    message = generate(object_store.uri("twice")).failed_with()
    assert "another run is writing there" in message
    ended = end(process)
    assert ended.code == 0, ended.err
    assert ended.result["written"] == 2 * COUNT
    assert bucket.contents() == unbroken


@pytest.mark.parametrize("verbose", [(), ("--verbose",)])
@pytest.mark.parametrize(
    ("wrong", "bucket", "words"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "not-the-secret"}, "tests", "rejects these credentials"),
        ({"AWS_ACCESS_KEY_ID": "not-the-key"}, "tests", "rejects these credentials"),
        ({}, "not-there", "there is no such bucket"),
    ],
)
def test_wrong_credentials_and_a_missing_bucket_are_a_line_without_secrets(
    wrong: dict[str, str],
    bucket: str,
    words: str,
    verbose: tuple[str, ...],
    generate: Generate,
    object_store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = object_store | wrong
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    ended = generate(f"s3://{bucket}/faults", *verbose)
    assert ended.code == 1
    assert words in ended.err.splitlines()[-1]
    if not verbose:
        assert words in ended.failed_with()
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"):
        assert settings[name] not in ended.out + ended.err
