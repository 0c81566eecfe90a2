"""The record of the values that a seed draws for the trials of a sweep."""

from recorded import same_values

from rnnray.chorale.chorale_config import strong
from rnnray.tuning import search, space


def test_draws() -> None:
    searched = {
        "optimizer.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "model.dropout": {"low": 0.0, "high": 0.5},
        "model.embedding": {"low": 8, "high": 64},
        "global_batch_size": {"low": 8, "high": 64, "log": True},
        "model.lstm_units": [64, 128, 256],
    }
    drawn = {
        f"seed {seed}": search.draw(
            space.parse(searched, config := strong().model_copy(update={"seed": seed}), "here"),
            config,
            3,
        )
        for seed in (0, 42)
    }
    same_values("draws.json", drawn)
