"""The forecaster trained for real on generated series, and what its checkpoint forecasts."""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import Ended, RunJob

from rnnray.forecast.data import demo_series, series_table

SERIES = 12


@pytest.fixture(scope="module")
def trained(run_here: RunJob, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A small forecaster from two workers, through the job file; not to be changed by tests."""
    ended = run_here(
        "train_forecast",
        *("--data", f"demo:{SERIES}", "--epochs", "8"),
        *("--model.units", "16", "--model.layers", "1", "--global-batch-size", "64"),
        *("--optimizer.learning-rate", "0.01", "--workers", "2"),
        *("--storage-path", str(tmp_path_factory.mktemp("runs"))),
    )
    assert ended.code == 0, ended.out + ended.err
    return ended


def test_it_beats_the_same_weekday_of_last_week(trained: Ended) -> None:
    result = trained.result
    assert (result["split"], result["series"], result["windows"]) == ("test", SERIES, SERIES * 141)
    assert result["count"] == result["windows"] * 7
    for when in ("day_ahead", "all_days"):
        for error in ("mae", "mape"):
            assert result[f"{error}_{when}"] < result[f"naive_{error}_{when}"], result
    assert "validation of" in trained.out
    assert "a day ahead: MAE" in trained.out
    pictures = {path.name for path in Path(result["pictures"]).iterdir()}
    assert pictures == {"learning_curves.png", "errors.png", "forecasts.png"}


def test_a_checkpoint_forecasts_the_days_after_series_in_files(
    run_here: RunJob, trained: Ended, tmp_path: Path
) -> None:
    tables = []
    for number in range(2):
        name, first_day, values = demo_series.series(number)
        days = pa.array(np.arange(len(values), dtype=np.int32) + first_day).cast(pa.date32())
        columns = {"shop": [name] * len(values), "date": days, "sold": values}
        tables.append(pa.table(columns)[: 400 if number else None])
    tables.append(tables[0][:20].set_column(0, "shop", pa.array(["new"] * 20)))
    pq.write_table(pa.concat_tables(tables), tmp_path / "shops.parquet")
    output = tmp_path / "forecasts.parquet"
    ended = run_here(
        "forecast",
        *("--checkpoint", trained.result["checkpoint"], "--data", str(tmp_path / "shops.parquet")),
        *("--name-column", "shop", "--value-column", "sold", "--output", str(output)),
    )
    assert ended.code == 0, ended.out + ended.err
    assert ended.result["count"] == 2
    assert "1 of 3 series are shorter than 30 days and are left out: new" in ended.out
    rows = pq.read_table(output)
    assert rows["name"].to_pylist() == ["demo-00000"] * 7 + ["demo-00001"] * 7
    assert rows["days_ahead"].to_pylist() == [*range(1, 8)] * 2
    assert rows["date"].to_pylist()[6:8] == [
        date(2024, 1, 7),
        series_table.to_date(demo_series.FIRST_DAY + 400),
    ]
    # A week of the second series, which goes on in what the forecaster has not read.
    actual = demo_series.series(1)[2][400:407]
    assert np.abs(rows["forecast"].to_numpy()[7:] / actual - 1).mean() < 0.3


def test_a_series_in_two_files_and_a_bad_row_are_one_line_each(
    run_here: RunJob, tmp_path: Path
) -> None:
    for file in ("a.csv", "b.csv"):
        (tmp_path / file).write_text("shop,date,value\nx,2026-01-01,1\n")
    arguments = ("--data", str(tmp_path), "--storage-path", str(tmp_path / "runs"))
    ended = run_here("train_forecast", *arguments, "--name-column", "shop")
    assert "series x is in 2 files; put each series into one file" in ended.failed_with()
    ended = run_here("train_forecast", *arguments)
    assert "no window of 30 and 7 days in the 0 days of the" in ended.failed_with()
    (tmp_path / "b.csv").write_text("date,value\n2026-01-01,one\n")
    ended = run_here("train_forecast", *arguments)
    assert f"{tmp_path}/b.csv: line 2: column value: 'one' is no number" in ended.failed_with()
    assert not (tmp_path / "runs").exists()
