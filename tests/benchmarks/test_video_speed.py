"""What jobs/benchmark.py video measures."""

import pytest

from rnnray.benchmarks import video_speed


@pytest.mark.usefixtures("ray_cluster")
def test_each_way_to_decode_has_its_rate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {"_FILES": 10, "_ROUNDS": 1, "_SECONDS": 1, "_WIDTH": 64, "_HEIGHT": 48}
    for name, value in sizes.items():
        monkeypatch.setattr(video_speed, name, value)
    rates = video_speed.video()
    assert list(rates) == ["pyav", "ours"]
    assert min(rates.values()) > 0
    assert "our reader: " in capsys.readouterr().out
