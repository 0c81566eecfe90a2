"""Chorales whose splits are all in one file, JSON or arrays."""

import io
import json
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from corpus_files import midi, refused, rows, tune, write

from rnnray.chorale.data import chorale_table
from rnnray.chorale.data.corpus import open_corpus


def test_all_splits_in_one_json_file(tmp_path: Path) -> None:
    splits = {"train": [tune(0), tune(0)], "valid": [tune(2)], "test": [tune(3)]}
    content = json.dumps(
        {
            key: [np.where(piece == 72, -1, piece).tolist() for piece in pieces]
            for key, pieces in splits.items()
        }
    )
    file = write(tmp_path, {"Jsb.json": content}) / "Jsb.json"
    names = [("Jsb_0", "train"), ("Jsb_1", "train"), ("Jsb_0", "valid"), ("Jsb_0", "test")]
    assert rows(file) == names
    written = [piece for pieces in splits.values() for piece in pieces]
    for piece, found in zip(written, chorale_table.chords_of(open_corpus(str(file))), strict=True):
        np.testing.assert_array_equal(found, np.where(piece == 72, 0, piece))


@pytest.mark.parametrize("form", ["plain", "pickled", "of Python 2"])
def test_arrays_in_npz_are_read_and_nothing_is_unpickled(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = tune(0).astype(float)
    silent[-4:, 3] = np.nan
    pieces = np.empty(2, object)
    pieces[:] = [silent, tune(1)[:16].astype(float)]
    if form == "plain":
        padded = np.full((2, 40, 4), np.nan)
        padded[0, :32], padded[1, :16] = pieces
        np.savez(tmp_path / "a.npz", train=padded)
    else:
        stream = io.BytesIO()
        header = {"descr": "|O", "fortran_order": False, "shape": (2,)}
        np.lib.format.write_array_header_1_0(stream, header)
        pickle.dump(pieces, stream, protocol=2 if form == "of Python 2" else 4)
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("train.npy", stream.getvalue())
    monkeypatch.setattr(pickle, "load", None)
    monkeypatch.setattr(pickle, "loads", None)
    first, second = chorale_table.chords_of(open_corpus(str(tmp_path / "a.npz")))
    np.testing.assert_array_equal(first, np.nan_to_num(silent))
    np.testing.assert_array_equal(second, tune(1)[:16])


@pytest.mark.parametrize(
    ("train", "words"),
    [
        (np.array([Path("a")], object), "train: .*names pathlib.*; the .json file of the same"),
        (np.array([tune(0)[:, :3], None], object)[:1], r"a chorale of int16 \[32, 3\] instead of"),
        (np.zeros((2, 4)), r"a chorale of float64 \[4\] instead of numbers \[chords, 4\]"),
        (np.array(["a", "b"]), r"a chorale of <U1 \[\] instead of numbers"),
        (np.float64(3), "cannot be read as .npz"),
    ],
)
def test_npz_of_anything_else_is_a_clear_error(
    tmp_path: Path, train: np.ndarray, words: str
) -> None:
    np.savez(tmp_path / "a.npz", train=train)
    assert re.search(words, refused(tmp_path / "a.npz"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"test": [[[60, 60, 60]]]}', "test 0, chord 0: is not 4 pitches, one for each voice"),
        ('{"test": [[[60, 60, 60, 60], [60, 60, 82, 60]]]}', "test 0, chord 1, voice 2: pitch 82"),
        ('{"test": [[[60, 60, 60.5, 60]]]}', "voice 2: '60.5' is not a pitch as a whole number"),
        ('{"test": [[[60, 60, Infinity, 60]]]}', "voice 2: 'inf' is not a pitch"),
        ('{"test": [[]]}', "test 0: has no chords"),
        ('{"test": 1}', "test: not a list of chorales"),
        ('{"title": "A song"}', "not a corpus in JSON"),
        ("[1, 2", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
    ],
)
def test_json_that_is_no_corpus_is_a_clear_error_and_beside_one_is_passed_over(
    tmp_path: Path, content: str, message: str
) -> None:
    line = refused(write(tmp_path / "all", {"a.json": content}) / "a.json")
    assert line.startswith(f"{tmp_path}/all/a.json")
    assert message in line
    write(tmp_path / "all", {"good.mid": midi(70, 65, 60, 50)})
    assert message in dict(chorale_table.skipped_of(open_corpus(str(tmp_path / "all"))))["a.json"]


def test_files_of_one_name_do_not_overwrite_each_other_s_pieces(tmp_path: Path) -> None:
    write(tmp_path, {"Jsb.JSON": json.dumps({"train": [tune(0).tolist(), tune(1).tolist()]})})
    write(tmp_path, {"Jsb.json": json.dumps({"train": [tune(2).tolist()]})})
    corpus = open_corpus(str(tmp_path))
    np.testing.assert_array_equal(next(iter(chorale_table.chords_of(corpus))), tune(0))
    assert len(corpus) == 2
    assert dict(chorale_table.skipped_of(corpus)) == {
        "Jsb.json": "there is another file of this name"
    }
