"""A corpus that cannot be trained on is told before training, with a way out that is one."""

from pathlib import Path

import pytest
from corpus_files import tune, write

from rnnray.chorale.chorale_config import ChoraleConfig
from rnnray.chorale.data.corpus import open_corpus
from rnnray.chorale.data.training_windows import training_data
from rnnray.chorale.render.midi_writer import midi_bytes
from rnnray.errors import UserError


@pytest.mark.parametrize(
    ("tunes", "split", "words"),
    [
        ((0, 0, 0), "80:10:10", r"only 1 in train \(2 more of the same music left out\); two diff.*"
                                r"at least, three for a test split$"),
        ((0, 0, 0), None, r"only 1 in train \(2 more .*; two different.* and --split 80:10:10$"),
        ((0,), "80:10:10", "only 1 in train; two different pieces are needed at least"),
        ((0, 1, 2), None, "only 3 in train; use --split 80:10:10, or put them into folders"),
        ((0, 1), "80:10:10", ""),
    ],
)  # fmt: skip
def test_too_few_pieces_for_a_split_never_ask_for_what_was_given(
    tmp_path: Path, tunes: tuple[int, ...], split: str | None, words: str
) -> None:
    files = {f"s{n}.mid": midi_bytes(tune(seed)) for n, seed in enumerate(tunes, 1)}
    folder = str(write(tmp_path / "all", files))
    config = ChoraleConfig(data=folder, split=split, window_chords=16, window_shift=16)
    corpus = open_corpus(folder, split=split)
    if not words:
        training_data(config, corpus)
        return
    with pytest.raises(UserError, match=words):
        training_data(config, corpus)
