"""The forecaster's network, in Keras alone, so that Keras's other backends can run it."""

from typing import Any

import keras
from keras import layers, ops

from rnnray.forecast.forecast_config import ForecastModelConfig

_WEEK = 7
_CALENDAR = 9  # channels: seven weekdays, sine and cosine of the season


@keras.saving.register_keras_serializable("rnnray")
class LastWeek(layers.Layer):  # type: ignore[misc]
    """From days to the naive forecasts after each of them: the same weekdays of the week before.

    Days before the window count as 0, its mean.

    Args:
        horizon: number of days of a forecast.
        last: give the forecast after the last day alone.

    Call: float [batch, days, channels], the first channel the value -> float [batch, days or 1,
    horizon]
    """

    def __init__(self, horizon: int, *, last: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.horizon, self.last = horizon, last

    def call(self, inputs: Any) -> Any:
        """See the class."""
        days = inputs.shape[1]
        values = ops.pad(inputs[:, :, 0], [[0, 0], [_WEEK - 1, 0]])
        week = [values[:, ahead : ahead + days] for ahead in range(min(self.horizon, _WEEK))]
        forecasts = ops.stack([week[ahead % _WEEK] for ahead in range(self.horizon)], axis=-1)
        return forecasts[:, -1:] if self.last else forecasts

    def compute_output_spec(self, inputs: Any) -> Any:
        """Return the shape and dtype of the forecasts."""
        batch, days, _ = inputs.shape
        shape = (batch, 1 if self.last else days, self.horizon)
        return keras.KerasTensor(shape, dtype=inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "horizon": self.horizon, "last": self.last}


def build(config: ForecastModelConfig, *, unroll: bool = False) -> keras.Model:
    """Return a new forecaster: [rows, window_days, channels] -> float32 [rows, steps, horizon].

    Values and forecasts are scaled by each window. There is one step for output "vector", and one
    after each day for "sequence".

    Args:
        config: configuration of the model.
        unroll: lay the recurrence out as a straight line of operations, faster on a CPU.
    """
    vector = config.output == "vector"
    channels = 1 + config.from_last_week + _CALENDAR * config.calendar
    days = x = layers.Input((config.window_days, channels), name="days")
    kind = {"simple": layers.SimpleRNN, "lstm": layers.LSTM, "gru": layers.GRU}[config.recurrent]
    for number in range(config.layers):
        last = number == config.layers - 1
        x = kind(config.units, return_sequences=not (vector and last), unroll=unroll)(x)
        if config.dropout:
            x = layers.Dropout(config.dropout)(x)
    # Zeros: training begins at the naive forecast.
    initializer = "zeros" if config.from_last_week else "glorot_uniform"
    x = layers.Dense(
        config.horizon_days, kernel_initializer=initializer, dtype="float32", name="forecast"
    )(x)
    if vector:
        x = layers.Reshape((1, config.horizon_days))(x)
    if config.from_last_week:
        naive = LastWeek(config.horizon_days, last=vector, dtype="float32")(days)
        x = layers.Add(dtype="float32")([x, naive])
    return keras.Model(days, x, name="forecaster")
