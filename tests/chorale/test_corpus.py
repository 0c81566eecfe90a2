import io
import tarfile
from pathlib import Path

import mido
import pyarrow.parquet as pq
import pytest
from pyarrow import fs
from score_files import line
from score_files import midi as midi_file

from rnnray import storage
from rnnray.chorale import table
from rnnray.chorale.corpus import open_corpus
from rnnray.errors import UserError

HEADER = "note0,note1,note2,note3\n"
FILES = {
    "all/train/b.csv": HEADER + "60,60,60,60\n60,60,60,61\n",
    "all/train/a.csv": HEADER + "72,67,60,48\n",
    "all/validation/c.csv": HEADER + "0,0,0,0\n",
    "all/test/deep/d.csv": HEADER + "81,81,36,36\n",
}
NAMES = [("a", "train"), ("b", "train"), ("c", "valid"), ("deep/d", "test")]


def midi(*pitches: int) -> bytes:
    file = mido.MidiFile(type=1)
    for pitch in pitches:
        track = file.add_track()
        track.append(mido.Message("note_on", note=pitch, time=0))
        track.append(mido.Message("note_off", note=pitch, time=480))
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def tgz(path: Path, files: dict[str, str]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content.encode()))
    return path


def rows(path: object) -> list[tuple[str, str]]:
    read = open_corpus(str(path))
    assert read.schema.equals(table.SCHEMA)
    return list(zip(read["name"].to_pylist(), read["split"].to_pylist(), strict=True))


def test_folder_archive_parquet_and_uri_hold_the_same_chorales(tmp_path: Path) -> None:
    folder = write(tmp_path / "folder", FILES)
    assert rows(folder) == NAMES
    expected = open_corpus(str(folder))
    assert table.named(expected, "train:1")[1].tolist() == [[60, 60, 60, 60], [60, 60, 60, 61]]
    archive = tgz(tmp_path / "chorales.tgz", FILES)
    pq.write_table(expected, tmp_path / "chorales.parquet")
    for data in (
        archive,
        tmp_path / "chorales.parquet",
        folder / "all",
        folder.as_uri(),
        archive.as_uri(),
    ):
        assert open_corpus(str(data)).equals(expected), data


def test_an_object_store_is_read_like_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "all", FILES)
    tgz(tmp_path / "bad.tgz", {"test/a.csv": HEADER})
    bucket = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    local = storage.open_uri

    def open_uri(uri: str) -> tuple[fs.FileSystem, str]:
        return (bucket, uri.removeprefix("s3://b/")) if uri.startswith("s3://") else local(uri)

    monkeypatch.setattr(storage, "open_uri", open_uri)
    assert rows("s3://b/all") == NAMES
    assert rows("s3://b/all/all/validation/c.csv") == [("c", "valid")]
    assert table.hashed_split("c") != "valid"
    with pytest.raises(
        UserError, match=r"^s3://b/bad\.tgz/test/a\.csv: has a header and no chords"
    ):
        open_corpus("s3://b/bad.tgz")
    with pytest.raises(UserError, match=r"^s3://b/none: no such file or folder"):
        open_corpus("s3://b/none")


def test_one_split_alone_keeps_its_split(tmp_path: Path) -> None:
    folder = write(tmp_path / "folder", FILES)
    assert rows(folder / "all" / "train") == [("a", "train"), ("b", "train")]
    assert rows(folder / "all" / "train" / "a.csv") == [("a", "train")]


def test_without_split_folders_a_name_decides_wherever_the_files_lie(tmp_path: Path) -> None:
    files = {f"bach/book{number % 2}/{number}.csv": HEADER + "0,0,0,0\n" for number in range(30)}
    found = rows(write(tmp_path / "folder.v1", files))
    assert len(found) == 30
    assert {split for _, split in found} == {"train", "valid", "test"}
    assert all(split == table.hashed_split(name) for name, split in found)
    assert ("book1/7", table.hashed_split("book1/7")) in found
    assert rows(tmp_path / "folder.v1" / "bach") == found
    assert rows(tgz(tmp_path / "a.tgz", files)) == found


def test_scores_that_do_not_fit_are_skipped_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files: dict[str, str | bytes] = {
        "train/good.mid": midi(70, 65, 60, 50),
        "train/five.mid": midi(70, 65, 60, 50, 40),
        "train/three.mid": midi(70, 65, 60),
        "train/broken.midi": b"MThd",
        "train/good.xml": b"<a/>",
        "stray.mid": midi(70, 65, 60, 50),
        "README.md": b"mine",
        "train/.good.csv": b"what an editor leaves",
    }
    read = open_corpus(str(write(tmp_path, files)))
    assert read["name"].to_pylist() == ["good"]
    assert table.chords_of(read)[0].tolist() == [[70, 65, 60, 50]] * 4
    skipped = dict(table.skipped_of(read))
    assert sorted(skipped) == [
        "stray.mid",
        "train/broken.midi",
        "train/five.mid",
        "train/good.xml",
        "train/three.mid",
    ]
    assert skipped["train/five.mid"].startswith("has 5 voices (")
    assert skipped["train/three.mid"] == "has 3 voices, a chorale has 4"
    assert skipped["train/good.xml"] == "there is another file of this name"
    said = capsys.readouterr().out
    assert all(f"skipped {name}: {reason}" in said for name, reason in skipped.items())


def test_many_skipped_files_do_not_flood_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files: dict[str, str | bytes] = {f"{number:02}.mid": b"x" for number in range(25)}
    read = open_corpus(str(write(tmp_path, files | {"good.mid": midi(70, 65, 60, 50)})))
    assert len(table.skipped_of(read)) == 25
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 11
    assert said[-1].endswith("skipped 15 more files")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.txt": "x"}, ": no file that chorales are read from"),
        ({"test/a.csv": HEADER + "1,2,3,4\n"}, "/test/a.csv, line 2, note0: pitch 1 is"),
        ({"a.mid": midi(70, 60)}, ": none of its files is a chorale; a.mid: has 2 voices"),
        ({"a.parquet": "PAR1"}, "a.parquet: not a Parquet file that can be read"),
    ],
)
def test_a_folder_that_is_no_corpus_is_a_clear_error(
    tmp_path: Path, files: dict[str, str | bytes], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        open_corpus(str(write(tmp_path, files)))
    assert str(caught.value).startswith(str(tmp_path))
    assert message in str(caught.value)


def test_nothing_there_or_nothing_in_it_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        open_corpus(str(tmp_path / "missing"))
    with pytest.raises(UserError, match="the folder has no files"):
        open_corpus(str(tmp_path))
    (tmp_path / "a.doc").write_bytes(b"x")
    with pytest.raises(UserError, match=r"a\.doc: no file that chorales are read from"):
        open_corpus(str(tmp_path / "a.doc"))


def test_an_archive_cannot_write_beside_its_folder(tmp_path: Path) -> None:
    files = {"good.csv": HEADER + "0,0,0,0\n", "../../evil.csv": HEADER + "0,0,0,0\n"}
    with pytest.raises(UserError, match=r"a\.tgz: member '../../evil.csv' would leave the folder"):
        open_corpus(str(tgz(tmp_path / "a.tgz", files)))
    assert not list(tmp_path.parent.rglob("evil.csv"))


def test_a_broken_archive_and_a_mistake_inside_are_named(tmp_path: Path) -> None:
    archive = tgz(tmp_path / "a.tgz", {"train/x.csv": HEADER + "0,0,0,-1\n"})
    for data in (str(archive), archive.as_uri()):
        with pytest.raises(UserError) as caught:
            open_corpus(data)
        assert str(caught.value).startswith(f"{archive}/train/x.csv, line 2, note3: pitch -1")
    archive.write_bytes(archive.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"a\.tgz: a damaged or incomplete archive"):
        open_corpus(str(archive))


def test_what_was_repaired_reaches_the_log_in_sum(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    voices = [line(72, 74), line(67, 65), line(60, 59), [*line(48, 50), (50, 480, 960)]]
    for name in ("a.mid", "b.mid"):
        midi_file(tmp_path / name, [("", {0: notes}) for notes in voices])
    read = open_corpus(str(tmp_path))
    assert [chords[::4].tolist() for chords in table.chords_of(read)] == [
        [[72, 67, 60, 48], [74, 65, 59, 50]]
    ] * 2
    said = capsys.readouterr().out
    assert "2 times: the second of two equal notes at once is left out" in said
