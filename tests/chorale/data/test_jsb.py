import hashlib
from pathlib import Path

import pytest
from fileserver import Server, archive
from observed import refused

from rnnray.chorale.data import chorale_table, corpus
from rnnray.chorale.data.jsb import JSB_SHA256, JSB_URL, jsb_folder
from rnnray.errors import UserError

REAL = Path(__file__).parents[4] / "shared" / "data" / "jsb_chorales.tgz"
CHORALE = b"note0,note1,note2,note3\n60,60,60,60\n"
ARCHIVE = archive({"jsb_chorales/test/chorale_305.csv": CHORALE})
LENGTHS = {"train": (229, 55_228), "valid": (76, 18_408), "test": (77, 18_900)}


def served(server: Server) -> tuple[str, str]:
    server.content = ARCHIVE
    return server.url.replace("file.tar.gz", "a.tgz"), hashlib.sha256(server.content).hexdigest()


def test_the_archive_is_fetched_once_and_then_read_without_a_network(
    server: Server, cache: Path
) -> None:
    url, sha256 = served(server)
    folder = jsb_folder(url, sha256)
    assert folder == cache / "jsb" / "a"
    assert jsb_folder(url, sha256) == folder
    assert len(server.requests) == 1
    (cache / "jsb" / "a.tgz").unlink()
    assert corpus.open_corpus(str(jsb_folder(url, sha256)))["name"].to_pylist() == ["chorale_305"]


def test_another_archive_than_the_known_one_is_refused(server: Server, cache: Path) -> None:
    url, _ = served(server)
    with pytest.raises(UserError, match=r"sha256 is .* not e722fbc"):
        jsb_folder(url)
    assert not (cache / "jsb" / "a").exists()


def test_another_archive_that_was_put_there_by_hand_is_refused(cache: Path) -> None:
    by_hand = cache / "jsb" / "jsb_chorales.tgz"
    by_hand.parent.mkdir(parents=True)
    by_hand.write_bytes(ARCHIVE)
    message = refused(corpus.open_corpus, "jsb")
    assert message.startswith(f"{by_hand}: sha256 is ")
    assert f"not {JSB_SHA256}; delete it and run again" in message
    assert not by_hand.with_suffix("").exists()


def test_without_a_network_the_user_learns_where_to_put_the_archive(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    told = f"download {JSB_URL} yourself and put it at {cache / 'jsb' / 'jsb_chorales.tgz'}"
    assert told in refused(corpus.open_corpus, "jsb")


@pytest.mark.skipif(not REAL.is_file(), reason="the real chorales are not here")
def test_the_real_chorales_are_all_there(cache: Path) -> None:
    (cache / "jsb").mkdir(parents=True)
    (cache / "jsb" / "jsb_chorales.tgz").write_bytes(REAL.read_bytes())
    chorales = corpus.open_corpus("jsb")
    for split, (count, length) in LENGTHS.items():
        pieces = chorale_table.chords_of(chorale_table.select(chorales, split))
        assert (len(pieces), sum(map(len, pieces))) == (count, length)
    assert corpus.open_corpus(str(REAL)).equals(chorales)
    # The book's test_files[2], from the sorted files of the folder.
    assert chorale_table.named(chorales, "test:2")[0] == "chorale_307"
    assert chorale_table.named(chorales, "chorale_307")[1][0].tolist() == [73, 68, 61, 53]
