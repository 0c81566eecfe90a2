"""What jobs/benchmark.py generate measures."""

from pathlib import Path

import pytest

from rnnray.chorale.composer import TrainedComposer
from rnnray.chorale.generation import benchmark
from rnnray.chorale.generation.options import GenerationConfig, GenerationOptions
from rnnray.chorale.generation.run import Generated, open_run


def test_each_way_has_its_rate_and_nothing_stays_behind(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    places: list[str] = []

    def generate(config: GenerationConfig, options: GenerationOptions) -> Generated:
        assert TrainedComposer(config.checkpoint).config.model.architecture == "notes"
        assert (config.count, config.chords, config.formats) == (6, 9, ("wav", "mid", "musicxml"))
        store = open_run(options)
        for key in ("run.yaml", "temperature=1/000000.mid", "summary.json"):
            store.put(key, b"", content_type="")
        places.append(store.uri)
        names = ("compose", "render", "upload", "first", "pieces", "publish")
        return Generated(store.uri, "", 6, 0, dict.fromkeys(names, 1.0) | {"total": 3.0}, 1.0)

    monkeypatch.setattr(benchmark.run, "generate", generate)
    monkeypatch.setattr(benchmark.ray, "cluster_resources", lambda: {"CPU": 4.0})
    rates = benchmark.generate(6, 9, "corpus", str(tmp_path))
    assert list(rates) == ["book", "local", "s3"]
    assert rates["book"] is not None
    assert rates["book"] > 0
    assert (rates["local"], rates["s3"]) == (2.0, 2.0)
    assert places[1].startswith(str(tmp_path))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert benchmark.generate(6, 9, "corpus")["s3"] is None
    said = capsys.readouterr().out
    assert "composing and rendering took 50% of the 4 CPUs' time" in said
    assert "times the book's way" in said
