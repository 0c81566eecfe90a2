from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from observed import refused

from rnnray.chorale.data import chorale_table, music21_corpus
from rnnray.chorale.data.corpus import open_corpus
from rnnray.errors import UserError

FEW = ("bwv253.mxl", "bwv269.mxl", "bwv414.mxl", "bwv52.6.mxl", "bwv846.mxl")


@pytest.fixture
def cached(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that keeps music21's corpus, of which five files stand for all."""
    files = [path for path in music21_corpus.corpus_files() if path.name in FEW]
    assert len(files) == len(FEW)
    monkeypatch.setattr(music21_corpus, "corpus_files", lambda: files)
    return cache / "music21" / f"chorales-{version('music21')}-2.parquet"


def test_the_chorales_are_parsed_once_and_then_read_from_the_cache(
    cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_corpus("music21")
    assert cached.is_file()
    monkeypatch.setattr(music21_corpus, "parse_chorales", None)  # not called again
    assert open_corpus("music21").equals(first)

    assert sorted(first["name"].to_pylist()) == ["bwv253", "bwv269", "bwv52.6"]
    for name, split in zip(first["name"].to_pylist(), first["split"].to_pylist(), strict=True):
        assert split == chorale_table.hashed_split(name)
    # Aus meines Herzens Grunde: the pickup's chord, then the first measure's with the bass above.
    chords = chorale_table.named(first, "bwv269")[1]
    assert chords[[0, 4]].tolist() == [[67, 62, 59, 43], [67, 62, 59, 55]]
    # Six parts, of which two horns are left out.
    assert chorale_table.named(first, "bwv52.6")[1].shape == (224, 4)
    skipped = dict(chorale_table.skipped_of(first))
    assert skipped["bwv414.mxl"] == "the same music as bwv253"
    assert skipped["bwv846.mxl"] == "has 3 voices; a chorale has 4"


def test_what_was_not_parsed_to_the_end_is_not_kept(
    cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(music21_corpus.scores, "read_voices", interrupt)
    with pytest.raises(KeyboardInterrupt):
        open_corpus("music21")
    assert not list(cached.parent.glob("*.parquet*[!k]"))


def test_a_damaged_cache_is_a_clear_error(cached: Path) -> None:
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"PAR1")
    message = refused(open_corpus, "music21")
    assert message.startswith(f"{cached}: a damaged file")
    assert "delete it and run again" in message


def test_a_music21_without_its_corpus_is_a_clear_error() -> None:
    with pytest.raises(UserError, match="none of its 0 files by Bach is a chorale"):
        music21_corpus.parse_chorales([])


def test_the_same_music_in_another_key_or_with_a_few_notes_changed_counts_once() -> None:
    random = np.random.default_rng(0)
    one = random.integers(50, 70, (64, 4)).astype(np.int16)
    other = random.integers(50, 70, (64, 4)).astype(np.int16)
    changed = one + np.int16(3)
    changed[::8] += np.int16(1)
    assert music21_corpus.same_music(one, changed)
    assert music21_corpus.same_music(one, one[:-4])
    assert not music21_corpus.same_music(one, other)
    assert not music21_corpus.same_music(one, one[:32])
    assert not music21_corpus.same_music(one, np.zeros_like(one))
