"""The forecaster, from daily series to their next days."""
