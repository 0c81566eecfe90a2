import csv
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from corpus_files import midi, refused, rows, tune, write
from fileserver import archive
from pyarrow import fs
from score_files import line
from score_files import midi as midi_file

from rnnray import storage
from rnnray.chorale.data import chorale_table
from rnnray.chorale.data.corpus import open_corpus
from rnnray.chorale.data.scores import read_score
from rnnray.chorale.render.midi_writer import midi_bytes
from rnnray.errors import UserError

CASES = Path(__file__).parents[4] / "shared" / "cases" / "chorale"

HEADER = "note0,note1,note2,note3\n"
FILES = {
    "all/train/b.csv": HEADER + "60,60,60,60\n60,60,60,61\n",
    "all/train/a.csv": HEADER + "72,67,60,48\n",
    "all/validation/c.csv": HEADER + "0,0,0,0\n",
    "all/test/deep/d.csv": HEADER + "81,81,36,36\n",
}
NAMES = [("a", "train"), ("b", "train"), ("c", "valid"), ("deep/d", "test")]


def tgz(path: Path, files: dict[str, str]) -> Path:
    path.write_bytes(archive({name: content.encode() for name, content in files.items()}))
    return path


def test_folder_archive_parquet_and_uri_hold_the_same_chorales(tmp_path: Path) -> None:
    folder = write(tmp_path / "folder", FILES)
    assert rows(folder) == NAMES
    expected = open_corpus(str(folder))
    assert chorale_table.named(expected, "train:1")[1].tolist() == [
        [60, 60, 60, 60],
        [60, 60, 60, 61],
    ]
    packed = tgz(tmp_path / "chorales.tgz", FILES)
    pq.write_table(expected, tmp_path / "chorales.parquet")
    for data in (
        packed,
        tmp_path / "chorales.parquet",
        folder / "all",
        folder.as_uri(),
        packed.as_uri(),
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
    assert chorale_table.hashed_split("c") != "valid"
    bad = "s3://b/bad.tgz/test/a.csv: has a header but no chords"
    assert refused("s3://b/bad.tgz").startswith(bad)
    assert refused("s3://b/none").startswith("s3://b/none: no such file or folder")


def test_one_split_alone_keeps_its_split(tmp_path: Path) -> None:
    folder = write(tmp_path / "folder", FILES)
    assert rows(folder / "all" / "train") == [("a", "train"), ("b", "train")]
    assert rows(folder / "all" / "train" / "a.csv") == [("a", "train")]


@pytest.mark.parametrize("folders", ["training val testing", "Train dev TEST", "train eval test"])
def test_folders_have_the_names_that_drawings_splits_have(tmp_path: Path, folders: str) -> None:
    files = {f"{folder}/a.csv": HEADER + "72,67,60,48\n" for folder in folders.split()}
    assert rows(write(tmp_path / "all", files)) == [("a", "train"), ("a", "valid"), ("a", "test")]


def test_without_split_folders_a_name_decides_wherever_the_files_lie(tmp_path: Path) -> None:
    files = {f"bach/book{number % 2}/{number}.csv": HEADER + "0,0,0,0\n" for number in range(30)}
    found = rows(write(tmp_path / "folder.v1", files))
    assert len(found) == 30
    assert {split for _, split in found} == {"train", "valid", "test"}
    assert all(split == chorale_table.hashed_split(name) for name, split in found)
    assert ("book1/7", chorale_table.hashed_split("book1/7")) in found
    assert rows(tmp_path / "folder.v1" / "bach") == found
    assert rows(tgz(tmp_path / "a.tgz", files)) == found


def test_scores_that_do_not_fit_are_skipped_and_told(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files: dict[str, str | bytes] = {
        "train/good.mid": midi(70, 65, 60, 50),
        "train/five.mid": midi(70, 65, 60, 50, 40),
        "train/three.mid": midi(70, 65, 60),
        "train/broken.midi": b"MThd",
        "train/good.xml": b"<a/>",
        "stray.mid": midi(70, 65, 60, 50),
        "README.md": b"mine",
        "train/metadata.csv": b"file,title\ngood.mid,A song\n",
        "train/.good.csv": b"what an editor leaves",
    }
    read = open_corpus(str(write(tmp_path, files)))
    assert read["name"].to_pylist() == ["good"]
    assert chorale_table.chords_of(read)[0].tolist() == [[70, 65, 60, 50]] * 4
    skipped = dict(chorale_table.skipped_of(read))
    assert list(skipped) == [
        "README.md",
        "stray.mid",
        "train/broken.midi",
        "train/five.mid",
        "train/good.xml",
        "train/metadata.csv",
        "train/three.mid",
    ]
    assert skipped["train/five.mid"].startswith("has 5 voices (")
    assert skipped["train/three.mid"] == "has 3 voices; a chorale has 4"
    assert skipped["train/good.xml"] == "there is another file of this name"
    assert skipped["train/metadata.csv"] == "a CSV of something other than chords"
    assert skipped["README.md"] == "chorales cannot be read from .md"
    assert f"{tmp_path}: 1 of 8 files taken" in capsys.readouterr().out
    (file,) = (cache / "not_taken").iterdir()
    with file.open() as lines:
        assert list(csv.reader(lines)) == [["file", "reason"], *map(list, skipped.items())]


def test_what_is_not_taken_is_counted_by_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files: dict[str, str | bytes] = {f"{number:02}.mid": b"x" for number in range(25)}
    files |= {f"{number:02}.pdf": b"x" for number in range(4)}
    files |= {f"one/{number}.mid": midi(70 - number) for number in range(3)}
    files |= {f"high/{number:02}.mid": midi(70, 65, 60, 20 + number) for number in range(9)}
    read = open_corpus(str(write(tmp_path, files | {"good.mid": midi(70, 65, 60, 50)})))
    assert len(chorale_table.skipped_of(read)) == 41
    said = [line[11:] for line in capsys.readouterr().out.splitlines()]
    assert said[0] == f"{tmp_path}: 1 of 42 files taken; not taken:"
    assert [line.split(maxsplit=1) for line in said[1:5]] == [
        ["25", "not a MIDI file, or a damaged one, such as 00.mid"],
        ["9", "a pitch out of range, such as high/00.mid"],
        ["4", "chorales cannot be read from .pdf, such as 00.pdf"],
        ["3", "has 1 voice, such as one/0.mid"],
    ]
    assert len(said) == 6


def test_a_corpus_can_be_read_where_no_list_can_be_written(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (cache / "not_taken").write_text("a file where the folder would be")
    write(tmp_path, {"good.mid": midi(70, 65, 60, 50), "a.pdf": b""})
    assert len(open_corpus(str(tmp_path))) == 1
    assert "the list of these files cannot be written" in capsys.readouterr().out


def test_the_same_music_is_not_in_two_splits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pieces = {"a": tune(0), "b": tune(0) + 2, "c": tune(1), "d": tune(2), "e": tune(2)}
    pieces["e"][5:9, 1] += 1  # a passing note
    files: dict[str, str | bytes] = {f"{n}.mid": midi_bytes(its) for n, its in pieces.items()}
    read = open_corpus(str(write(tmp_path / "all", files)))
    assert sorted(read["name"].to_pylist()) == ["a", "c", "d"]
    assert dict(chorale_table.skipped_of(read)) == {
        "b.mid": "the same music as a.mid",
        "e.mid": "the same music as d.mid",
    }
    assert "2 the same music as another one, such as b.mid" in capsys.readouterr().out
    # Splits of the user's own are kept; only a line names the music that is in two of them.
    apart = {f"{'test' if n == 'd' else 'train'}/{n}.mid": files[f"{n}.mid"] for n in "abcd"}
    assert len(rows(write(tmp_path / "apart", apart))) == 4
    assert "two splits" not in capsys.readouterr().out
    across = {"train/a.mid": files["a.mid"], "test/b.mid": files["b.mid"]}
    assert len(rows(write(tmp_path / "across", across))) == 2
    assert "the same music is in two splits in 1 cases" in capsys.readouterr().out


def test_a_zip_archive_is_read_like_its_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in FILES.items():
            packed.writestr(name, content)
    assert rows(tmp_path / "a.zip") == NAMES
    (tmp_path / "b.zip").write_bytes((tmp_path / "a.zip").read_bytes()[:-30])
    assert "b.zip: a damaged or incomplete archive" in refused(tmp_path / "b.zip")
    write(tmp_path, {"folder/a.zip": b"", "folder/b.csv": HEADER + "0,0,0,0\n"})
    assert chorale_table.skipped_of(open_corpus(str(tmp_path / "folder"))) == [
        ("a.zip", "an archive inside a folder or an archive is not unpacked")
    ]


KERN = """**kern\t**kern\t**kern\t**kern
*I"Alto\t*I"Bass\t*I"Tenor\t*I"Soprano
4aa\t4C\t4G\t4e
=1\t=1\t=1\t=1
4aa\t[2GG\t8A\t4f
.\t.\t8B-\t.
4e\t2GG]\t4r\t4g
4c\t.\t4A\t4a
*-\t*-\t*-\t*-
"""


def test_humdrum_is_read_by_the_names_of_its_voices(tmp_path: Path) -> None:
    read = open_corpus(str(write(tmp_path, {"a.krn": KERN}) / "a.krn"))
    chords = chorale_table.chords_of(read)[0].tolist()
    quarters = [[64, 81, 55, 48], [65, 81, 57, 43], [67, 64, 0, 43], [69, 60, 57, 43]]
    assert chords[:16:4] == quarters
    alto, bass = read_score(tmp_path / "a.krn").onsets.T[[1, 3]]
    assert alto.nonzero()[0].tolist() == [0, 4, 8, 12]
    assert bass.nonzero()[0].tolist() == [0, 4], "a tied note does not begin again"
    assert [chord[2] for chord in chords[4:8]] == [57, 57, 58, 58]
    assert "cannot be read as **kern" in refused(write(tmp_path, {"b.krn": "x"}) / "b.krn")


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not here")
def test_a_table_of_titles_beside_scores_is_passed_over() -> None:
    read = open_corpus(str(CASES / "meta"))
    assert "s1" in read["name"].to_pylist()
    assert (
        dict(chorale_table.skipped_of(read))["metadata.csv"]
        == "a CSV of something other than chords"
    )


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not here")
def test_pieces_in_other_metres_or_with_an_upbeat_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("three_four.musicxml", "pickup.musicxml", "cue_notes.musicxml")
    open_corpus(str(write(tmp_path, {name: (CASES / name).read_bytes() for name in names})))
    said = capsys.readouterr().out
    assert "1 times: a piece is not in 4/4; its bars are counted as 4/4" in said
    assert "1 times: a piece begins with an upbeat, which is counted as the beginning" in said


def test_pieces_without_splits_say_how_to_split_them(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {f"s{n}.mid": midi_bytes(tune(n)) for n in (1, 2, 3)}
    with pytest.raises(UserError, match=r"only 3 in train; put files into folders .* --split 80:1"):
        chorale_table.select(open_corpus(str(write(tmp_path, files))), "valid")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.txt": "x"}, ": no file of chorales in a known format"),
        ({"test/a.csv": HEADER + "1,2,3,4\n"}, "/test/a.csv, line 2, note0: pitch 1 is"),
        ({"a.mid": midi(70, 60)}, ": none of its files is a chorale; a.mid: has 2 voices"),
        ({"a.parquet": "PAR1"}, "a.parquet: cannot be read as Parquet"),
    ],
)
def test_a_folder_that_is_no_corpus_is_a_clear_error(
    tmp_path: Path, files: dict[str, str | bytes], message: str
) -> None:
    line = refused(write(tmp_path, files))
    assert line.startswith(str(tmp_path))
    assert message in line


def test_nothing_there_or_nothing_in_it_is_a_clear_error(tmp_path: Path) -> None:
    assert "no such file or folder" in refused(tmp_path / "missing")
    assert "the folder has no files" in refused(tmp_path)
    (tmp_path / "a.doc").write_bytes(b"x")
    assert "a.doc: no file of chorales in a known format" in refused(tmp_path / "a.doc")


def test_a_broken_archive_and_a_mistake_inside_are_named(tmp_path: Path) -> None:
    archive = tgz(tmp_path / "a.tgz", {"train/x.csv": HEADER + "0,0,0,-1\n"})
    for data in (str(archive), archive.as_uri()):
        assert refused(data).startswith(f"{archive}/train/x.csv, line 2, note3: pitch -1")
    archive.write_bytes(archive.read_bytes()[:-20])
    assert "a.tgz: a damaged or incomplete archive" in refused(archive)


def test_what_was_repaired_reaches_the_log_in_sum(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    voices = [line(72, 74), line(67, 65), line(60, 59), [*line(48, 50), (50, 480, 960)]]
    for name in ("train/a.mid", "train/b.mid"):  # in a split that somebody made both stay
        (tmp_path / name).parent.mkdir(exist_ok=True)
        midi_file(tmp_path / name, [("", {0: notes}) for notes in voices])
    read = open_corpus(str(tmp_path))
    assert [chords[::4].tolist() for chords in chorale_table.chords_of(read)] == [
        [[72, 67, 60, 48], [74, 65, 59, 50]]
    ] * 2
    said = capsys.readouterr().out
    assert "2 times: the second of two equal simultaneous notes is left out" in said
