import errno
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

from rnnray.errors import UserError
from rnnray.run_lock import LockLost, RunLock, lock_store
from rnnray.training.faults import patient_files
from rnnray.training.faults.patient_files import PatientFiles, retry_storage


class Clock:
    """Passes only while somebody sleeps, and does what is to be done at a time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._later: list[tuple[float, Callable[[], object]]] = []

    def at(self, seconds: float, do: Callable[[], object]) -> None:
        self._later.append((seconds, do))

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        due = [each for each in self._later if each[0] <= self.now]
        for each in due:
            self._later.remove(each)
            each[1]()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("rnnray.retry.time", clock)
    monkeypatch.setattr("rnnray.retry._told", {})
    times = {"_PAUSE": 0.05, "_LONGEST_PAUSE": 0.2, "_SILENCE": 0.1, "_LINE_SECONDS": 0.0}
    for name, seconds in times.items():
        monkeypatch.setattr(f"rnnray.retry.{name}", seconds)
    monkeypatch.setattr(patient_files, "PATIENCE", 5.0)
    return clock


def files(events: list[dict[str, Any]]) -> fs.FileSystem:
    return fs.PyFileSystem(PatientFiles(fs.LocalFileSystem(), "uri", events.append))


def test_a_checkpoint_is_written_when_the_storage_takes_it_again(
    tmp_path: Path, clock: Clock
) -> None:
    def mend() -> None:
        """Put a folder where a file is in the way."""
        blocked.unlink()
        blocked.mkdir()

    source, blocked = tmp_path / "source", tmp_path / "blocked"
    source.mkdir()
    (source / "model").write_bytes(b"m" * 100_000)
    (source / "empty").write_bytes(b"")
    blocked.write_text("in the way")
    events: list[dict[str, Any]] = []
    clock.at(0.6, mend)
    fs.copy_files(str(source), str(blocked), destination_filesystem=files(events))
    assert {path.name for path in blocked.iterdir()} == {"model", "empty"}
    assert (blocked / "model").read_bytes() == b"m" * 100_000
    messages = [event["message"] for event in events]
    assert messages[0].startswith("uri: the storage refuses (Not a directory), trying again")
    assert messages[-1].startswith("uri: written after ")


def test_a_checkpoint_on_a_local_disk_is_written_once_though_the_disk_was_full(
    tmp_path: Path,
) -> None:
    killed = tmp_path / f".{'0' * 32}.part"
    killed.mkdir()
    (killed / "model").write_bytes(b"half")
    attempts: list[Path] = []

    def save(folder: Path) -> None:
        attempts.append(folder)
        assert [path.name for path in tmp_path.iterdir()] == [folder.name]
        assert list(folder.iterdir()) == []
        (folder / "model").write_bytes(b"weights")
        if len(attempts) < 5:  # longer than `_SILENCE`, whatever the random pauses are
            raise OSError(errno.ENOSPC, "No space left on device")

    events: list[dict[str, Any]] = []
    patient = files(events)
    with patient.handler.saved(str(tmp_path), save) as folder:
        written = (folder / "model").stat().st_ino
        patient.create_dir(str(tmp_path / "epoch-0001"))
        patient.handler.take(folder / "model", str(tmp_path / "epoch-0001" / "model"))
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-0001"]
    assert (tmp_path / "epoch-0001" / "model").stat().st_ino == written
    assert (tmp_path / "epoch-0001" / "model").read_bytes() == b"weights"
    assert "refuses (No space left on device), trying again" in events[0]["message"]
    assert "written after" in events[-1]["message"]


def test_a_checkpoint_that_is_refused_is_no_fault_of_the_storage(tmp_path: Path) -> None:
    def refuse(folder: Path) -> None:
        (folder / "model").write_bytes(b"half")
        raise UserError("bias is not finite")

    with pytest.raises(UserError), files([]).handler.saved(str(tmp_path), refuse):
        pass
    assert list(tmp_path.iterdir()) == []


def test_storage_that_stays_away_is_the_reason_of_the_failure(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"refuses \(Not a directory\) for \d+ s now; mend it"):  # noqa: SIM117
        with files([]).open_output_stream(str(tmp_path / "file/snapshot")) as stream:
            stream.write(b"{}")
    assert 4 < clock.now <= 5


def test_a_network_drive_that_is_gone_for_a_while_is_waited_for(
    tmp_path: Path, clock: Clock
) -> None:
    events: list[dict[str, Any]] = []
    mount = tmp_path / "mount"
    clock.at(0.6, mount.mkdir)
    with files(events).open_output_stream(str(mount / "snapshot")) as stream:
        stream.write(b"{}")
    assert (mount / "snapshot").read_bytes() == b"{}"
    assert "refuses (No such file or directory)" in events[0]["message"]


def test_what_was_there_stays_until_the_new_file_is_whole(tmp_path: Path) -> None:
    """Ray Train's list of checkpoints: half of it would end every later run."""
    snapshot = tmp_path / "snapshot.json"
    snapshot.write_text("old")
    with files([]).open_output_stream(str(snapshot)) as stream:
        stream.write(b"ne")
        assert snapshot.read_text() == "old"
        stream.write(b"w")
    assert snapshot.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["snapshot.json"]


def test_a_missing_file_is_missing_at_once(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    patient = files(events)
    with pytest.raises(FileNotFoundError):
        patient.open_input_stream(str(tmp_path / "nothing"))
    assert patient.get_file_info(str(tmp_path / "nothing")).type == fs.FileType.NotFound
    assert events == []


def test_a_server_s_own_words_which_may_have_keys_are_not_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patient_files, "PATIENCE", 0.8)

    def refuse() -> None:
        raise OSError("AWS Error INVALID_ACCESS_KEY_ID during PutObject: the id AKIASECRET is none")

    events: list[dict[str, Any]] = []
    with pytest.raises(UserError) as gave_up:
        retry_storage("s3://bucket/run", refuse, events.append)
    for text in (events[0]["message"], str(gave_up.value)):
        assert "(INVALID_ACCESS_KEY_ID)" in text
        assert "AKIASECRET" not in text


def test_it_is_the_same_file_system_in_every_process() -> None:
    """Ray Train refuses a checkpoint on another file system than the run's."""
    mine = fs.PyFileSystem(PatientFiles(fs.LocalFileSystem(), "uri", print))
    assert pickle.loads(pickle.dumps(mine)) == mine


def test_a_run_that_lost_its_lock_changes_nothing_on_the_next_one_s_files(tmp_path: Path) -> None:
    store = lock_store(str(tmp_path))
    with RunLock(store, beat_seconds=60) as lock:
        mine = fs.PyFileSystem(PatientFiles(fs.LocalFileSystem(), "uri", print, lock.held))
        with mine.open_output_stream(str(tmp_path / "snapshot")) as stream:
            stream.write(b"mine")
        store.delete("lock.json")
        with RunLock(store, beat_seconds=60):
            changes = [
                lambda: mine.open_output_stream(str(tmp_path / "snapshot")).close(),
                lambda: mine.delete_file(str(tmp_path / "snapshot")),
                lambda: mine.move(str(tmp_path / "snapshot"), str(tmp_path / "other")),
                lambda: mine.create_dir(str(tmp_path / "epoch-0001")),
                mine.handler.saved(str(tmp_path), lambda folder: None).__enter__,
            ]
            for change in changes:
                with pytest.raises(LockLost, match="took over while this one"):
                    change()
    assert {path.name for path in tmp_path.iterdir()} == {"snapshot"}
    assert (tmp_path / "snapshot").read_bytes() == b"mine"
