"""What all tests share: hypothesis without deadlines, the real sample, servers, one local Ray."""

import gc
import io
import os
import runpy
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import fileserver
import pytest
from hypothesis import settings
from lazily import tf
from tiny import REPOSITORY, Ended, RunJob

from rnnray.archive import extract_tar

# Before anything imports TensorFlow or Ray.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
# Where Ray finds no cluster that somebody runs, or left, on this machine. A path of pytest's is too
# long for sockets.
_ray_files = tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True)
os.environ["RAY_TMPDIR"] = _ray_files.name

SAMPLE = Path(__file__).parents[2] / "shared" / "data" / "quickdraw_tutorial_sample.tar.gz"

# What a test needs beside this process, by the fixtures that it uses, directly or not.
NEEDS = {
    **dict.fromkeys(("ray_cluster", "own_ray", "nodes"), "ray"),
    "chromium": "browser",
    **dict.fromkeys(("free_ports", "server", "metadata"), "server"),
}

# A shared machine is slow at times, and that is no failure.
settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")

# Seldom: among TensorFlow's many objects, each search for cycles takes long.
gc.set_threshold(50_000, 20, 20)


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with what it needs, and one that needs nothing with `quick`."""
    for item in items:
        needed = {NEEDS[name] for name in NEEDS.keys() & set(getattr(item, "fixturenames", ()))}
        for name in sorted(needed):
            item.add_marker(name)
        if not any(item.get_closest_marker(name) for name in (*NEEDS.values(), "faults", "long")):
            item.add_marker("quick")


@pytest.fixture(autouse=True)
def no_ray_in_quick_tests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that starts Ray says so by a fixture, or `make quick` would not stay quick."""
    if "quick" in request.keywords and "ray" in sys.modules:
        message = "what starts Ray uses the fixture `ray_cluster` or `own_ray`"
        monkeypatch.setattr("ray.init", lambda *_, **__: pytest.fail(message))


@pytest.fixture
def not_compiled() -> Iterator[None]:
    """Lets functions of TensorFlow run as they stand, where compiling takes longer than the test.

    Their results are the same, but for rounding.
    """
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("RNNRAY_CACHE", str(folder))
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[fileserver.Server]:
    """A server of one file, which is asked again without a pause."""
    monkeypatch.setattr("rnnray.download._BACKOFF_SECONDS", 0.01)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with fileserver.serving() as server:
        yield server


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that are drawn; no file is written."""
    from test_plot_style import keep_figures  # noqa: PLC0415  (matplotlib: only where it is needed)

    return keep_figures(monkeypatch)


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the real sample of the tutorial's archive."""
    if not SAMPLE.is_file():
        pytest.skip("the real drawings are not here")
    folder = tmp_path_factory.mktemp("data") / "quickdraw"
    extract_tar(SAMPLE, folder)
    return folder


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A local Ray, started once for all tests; more CPUs than there are, so that nothing waits."""
    import ray  # noqa: PLC0415  (seconds: only for the tests that need it)
    import ray.data  # noqa: PLC0415

    from rnnray import ray_private  # noqa: PLC0415

    with ray_private.on_loopback():
        ray.init(
            "local",
            num_cpus=4,
            include_dashboard=False,
            log_to_driver=False,
        )
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.raise_original_map_exception = True  # as `rnnray.cluster.connect` has it
    yield
    ray.shutdown()


@pytest.fixture
def own_ray() -> Iterator[Path]:
    """A folder for the files of a Ray that the test starts itself.

    Short: Ray puts Unix sockets below it, whose paths may have 107 characters.
    """
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as path:
        yield Path(path)


@pytest.fixture(scope="session")
def free_ports() -> Callable[[int], list[int]]:
    """Finds ports on 127.0.0.1 that nobody listens on."""

    def find(count: int) -> list[int]:
        sockets = [socket.socket() for _ in range(count)]
        try:
            for each in sockets:
                each.bind(("127.0.0.1", 0))
            return [each.getsockname()[1] for each in sockets]
        finally:
            for each in sockets:
                each.close()

    return find


@pytest.fixture(scope="session")
def object_store(
    tmp_path_factory: pytest.TempPathFactory, free_ports: Callable[[int], list[int]]
) -> Iterator[Any]:
    """A real S3 server with a bucket, an `ObjectStore`; its settings are not in this process's
    environment.
    """
    from object_store import ObjectStore  # noqa: PLC0415  (boto3: only for the tests that need it)

    store = ObjectStore(tmp_path_factory.mktemp("object_store"), *free_ports(1))
    store.start()
    try:
        store.create_bucket()
        yield store
    finally:
        store.stop()


@pytest.fixture(scope="session")
def run_here() -> RunJob:
    """Runs a file of jobs/ in this process, which saves the seconds that a new one starts in."""

    def run(name: str, *arguments: str) -> Ended:
        file = str(REPOSITORY / "jobs" / f"{name}.py")
        out, err = io.StringIO(), io.StringIO()
        with (
            patch.object(sys, "argv", [file, *arguments]),
            redirect_stdout(out),
            redirect_stderr(err),
            pytest.raises(SystemExit) as exit_,
        ):
            runpy.run_path(file, run_name="__main__")
        assert isinstance(exit_.value.code, int)
        return Ended(exit_.value.code, out.getvalue(), err.getvalue())

    return run
