"""What jobs/benchmark.py generate measures."""

from pathlib import Path

import pytest

from rnnray.benchmarks import generation_speed
from rnnray.chorale.composer import TrainedComposer
from rnnray.chorale.generation.folder import open_run
from rnnray.chorale.generation.generation_options import GenerationConfig, GenerationOptions
from rnnray.chorale.generation.run import Generated
from rnnray.errors import UserError


@pytest.mark.usefixtures("not_compiled")
def test_each_way_has_its_rate_and_nothing_stays_behind(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(generation_speed, "_GIVEN", 1)
    uris: list[str] = []
    loaded: list[str] = []

    def generate(config: GenerationConfig, options: GenerationOptions) -> Generated:
        if Path(config.checkpoint).exists():
            loaded.append(TrainedComposer(config.checkpoint).config.model.architecture)
        assert (config.count, config.chords, config.formats) == (6, 2, ("wav", "mid", "musicxml"))
        store = open_run(options)
        for key in ("run.yaml", "temperature=1/000000.mid", "summary.json"):
            store.put(key, b"", content_type="")
        uris.append(store.uri)
        names = ("compose", "render", "upload", "first", "pieces", "publish")
        return Generated(store.uri, "", 6, 0, dict.fromkeys(names, 1.0) | {"total": 3.0}, 321.0)

    monkeypatch.setattr(generation_speed.run, "generate", generate)
    monkeypatch.setattr(generation_speed.ray, "cluster_resources", lambda: {"CPU": 4.0})
    rates = generation_speed.generate(6, 2, "corpus", str(tmp_path))
    assert loaded == ["notes", "notes"]
    assert list(rates) == ["book", "local", "s3"]
    assert rates["book"] is not None
    assert rates["book"] > 0
    assert (rates["local"], rates["s3"]) == (2.0, 2.0)
    assert uris[1].startswith(str(tmp_path))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    said = capsys.readouterr().out
    assert "together 50% of the 4 CPUs' time" in said
    assert "local: the driver's memory peaked at 321 MiB" in said
    assert "times the book's way" in said
    monkeypatch.setattr(generation_speed, "_book", lambda chords, checkpoint: 1.0)
    assert generation_speed.generate(6, 2, "corpus")["s3"] is None


def test_why_a_run_failed_is_not_hidden_by_what_stays_behind(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> Generated:
        raise UserError("the first error")

    def fail_again(*_: object) -> None:
        raise UserError("the second error")

    monkeypatch.setattr(generation_speed, "_book", lambda chords, checkpoint: 1.0)
    monkeypatch.setattr(generation_speed.run, "generate", fail)
    monkeypatch.setattr(generation_speed.folder, "clear", fail_again)
    with pytest.raises(UserError, match="the first error"):
        generation_speed.generate(6, 9, "corpus")
    assert "could not be deleted: the second error" in capsys.readouterr().out
