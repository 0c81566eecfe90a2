"""Files of daily series: what is refused, by position, column and remedy, and what is treated."""

import datetime as dt
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from observed import refused
from pyarrow import fs

from rnnray.errors import UserError
from rnnray.forecast.data import series_files, series_table
from rnnray.forecast.forecast_config import SeriesConfig

SHOPS = {"name_column": "shop"}
DAY = dt.date(2026, 1, 1)


def read(file: Path, **options: Any) -> dict[str, tuple[str, list[float]]]:
    """The first day and the values of each series of a file."""
    tables = series_files.read(fs.LocalFileSystem(), str(file), SeriesConfig(**options))
    table = pa.concat_tables(tables)
    return {
        name: (str(series_table.to_date(first_day)), values.tolist())
        for name, first_day, values in series_table.each(table)
    }


def parquet(file: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), file)
    return file


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("", {}, r"no column 'date'"),
        (
            "day,value\n2026-01-01,1\n",
            {},
            r"no column 'date', only 'day', 'value'; .*--date-column",
        ),
        ("date,value\n2026-01-01,one\n", {}, r"line 2: column value: 'one' is no number; correct"),
        ('date,value\n2026-01-01,"1,5"\n', {}, r"line 2: column value: '1,5' is no number"),
        ("date,value\n2026-01-01,inf\n", {}, r"line 2: column value: is infinite"),
        ("date,value\n2026-01-01,1\nsoon,2\n", {}, r"line 3: column date: 'soon' is no day; write"),
        ("date,value\n,2\n", {}, r"line 2: column date: is empty"),
        ("date,value\n2026-02-30,2\n", {}, r"line 2: column date: '2026-02-30' is no day of the c"),
        (
            "date,value\n2026-01-01T06:00Z,2\n",
            {},
            r"'2026-01-01T06:00Z' is no day; .*one row a day",
        ),
        (
            "date,value\n2026-01-31,2\n",
            {"date_format": "%m/%d/%Y"},
            r"line 2: column date: '2026-01-31' is no date as --date-format %m/%d/%Y has it",
        ),
        ("shop,date,value\n,2026-01-01,2\n", SHOPS, r"line 2: column shop: is empty; name the row"),
        (
            "shop,date,value\na,2026-01-01,2\nb,2026-01-01,2\na,2026-01-01,3\n",
            SHOPS,
            r"line 4: a has a second value for 2026-01-01 \(3, and 2 on line 2\)",
        ),
        (
            "date,value\n2026-01-01,2\n2026-01-04,2\n",
            {},
            r"line 3: file has no value from 2026-01-02 to 2026-01-03; --missing fill .*zero",
        ),
        (
            "date,value\n2026-01-01,2\n2026-01-02,\n2026-01-03,2\n",
            {},
            r"line 4: file has no value from 2026-01-02 to 2026-01-02",
        ),
        (
            "date,value\n2026-01-01,2\n3026-01-01,2\n",
            {"missing": "fill"},
            r"no value from 2026-01-02 to 3025-12-31, 365,241 days; correct the date",
        ),
        ("date,value\n2026-01-01,1,2\n", {}, r"cannot be read as CSV or Parquet \(.*Row #2"),
        ("PAR1", {}, r"cannot be read as CSV or Parquet"),
        ("\x00\xff", {}, r"no column 'date'|cannot be read"),
    ],
)
def test_what_cannot_be_a_daily_series_is_one_line_with_its_place_and_remedy(
    text: str, options: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    file = tmp_path / "file.csv"
    file.write_text(text, encoding="latin-1")
    assert re.match(rf"{file}: .*({expected})", refused(read, file, **options))


@pytest.mark.parametrize(
    ("dates", "values", "expected"),
    [
        ([1.5], [1.0], r"row 1: column date: double is no type of dates"),
        ([DAY], [True], r"row 1: column value: bool is no type of numbers"),
        ([DAY, None], [1.0, 1.0], r"row 2: column date: is empty"),
        ([dt.datetime(2026, 1, 1, 6)], [1.0], r"row 1: column date: .*06:00:00 has a time of day"),
        (pa.array([2**31 - 1], pa.date32()), [1.0], r"row 1: column date: is no day of the years"),
        ([DAY], ["o" * 10**6], r"row 1: column value: 'o{50}' is no number"),
        ([DAY], ["one"], r"row 1: column value: 'one' is no number"),
    ],
)
def test_so_is_what_parquet_has(
    dates: Any, values: list[Any], expected: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=expected):
        read(parquet(tmp_path / "a.parquet", date=dates, value=values))


def test_rows_in_any_order_that_say_the_same_twice_are_series(tmp_path: Path) -> None:
    file = tmp_path / "shops.csv"
    file.write_text(
        "\ufeffnote;shop;date;value\n"
        "x;b;2026-01-02;2\nx;a;2026-01-03;5\nx;b;2026-01-01;1\nx;a;2026-01-04; 6 \n"
        "x;b;2026-01-02;2\n"
    )
    assert read(file, **SHOPS) == {"b": ("2026-01-01", [1, 2]), "a": ("2026-01-03", [5, 6])}


def test_groups_of_few_rows_give_the_same_series_and_the_same_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"{shop},2026-01-0{day},{day}.5" for day in (2, 1, 3) for shop in "cabd"]
    file = tmp_path / "shops.csv"
    file.write_text("\n".join(["shop,date,value", *lines, "a,2026-01-04,4"]))
    whole = read(file, **SHOPS)
    assert [*whole] == ["c", "a", "b", "d"]
    monkeypatch.setattr(series_files, "_GROUP_ROWS", 5)
    config = SeriesConfig(**SHOPS)
    tables = [*series_files.read(fs.LocalFileSystem(), str(file), config)]
    assert [table["name"].to_pylist() for table in tables] == [["c"], ["a"], ["b"], ["d"]]
    assert read(file, **SHOPS) == whole
    file.write_text(file.read_text() + "\nd,2026-01-02,7")
    with pytest.raises(UserError, match=r"line 15: d has a second value .* 2.5 on line 5"):
        read(file, **SHOPS)


def test_a_file_without_names_is_a_series_of_its_own_name(tmp_path: Path) -> None:
    file = tmp_path / "rail.csv"
    file.write_bytes(b"date,value\r\n01/31/2026,1e3\r\n02/01/2026,.5\r\n")
    assert read(file, date_format="%m/%d/%Y") == {"rail": ("2026-01-31", [1000, 0.5])}


def test_missing_days_are_unknown_or_zero_as_asked(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("date,value\n2026-01-01,1\n2026-01-02,NaN\n2026-01-04,4\n2026-01-05,\n")
    np.testing.assert_equal(read(file, missing="fill")["a"][1], [1, np.nan, np.nan, 4])
    assert read(file, missing="zero")["a"][1] == [1, 0, 0, 4]


def test_a_day_with_a_time_zone_is_the_day_there(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("date,value\n2026-01-01T00:00:00+13:00,1\n2026-01-02 00:00Z,2\n")
    assert read(file)["a"] == ("2026-01-01", [1, 2])
    zone = pa.timestamp("us", "Pacific/Auckland")
    days = pa.array([dt.datetime(2025, 12, 31, 11, tzinfo=dt.UTC)], zone)
    assert read(parquet(tmp_path / "b.parquet", date=days, value=[1]))["b"][0] == "2026-01-01"


def test_parquet_of_dates_and_of_text_in_dictionaries(tmp_path: Path) -> None:
    text = pa.array(["2026-01-01", "2026-01-02"]).dictionary_encode()
    for dates in (text, pa.array([DAY, DAY + dt.timedelta(1)])):
        file = parquet(tmp_path / "a.parquet", date=dates, value=pa.array([1, 2], pa.int32()))
        assert read(file) == {"a": ("2026-01-01", [1, 2])}
