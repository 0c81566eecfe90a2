"""The book's daily series: rides by bus and by rail in Chicago, 2016 to 2019.

Data: Chicago Transit Authority, https://data.cityofchicago.org/d/6iiy-9s97. The file
reaches from 2001 to 2021; the book takes the years before the pandemic, and so does this.
"""

import datetime
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from rnnray.archive import fetch_tar
from rnnray.errors import UserError
from rnnray.forecast.data import series_files, series_table
from rnnray.forecast.forecast_config import SeriesConfig

RIDERSHIP_URL = "https://github.com/ageron/data/raw/main/ridership.tgz"
RIDERSHIP_SHA256 = "0ff99f3dddd886ddea161b68f25f90b56b0468f5c91949b75376fb494516c794"

_COLUMNS = {"bus": "bus", "rail": "rail_boardings"}
_FIRST, _LAST = datetime.date(2016, 1, 1), datetime.date(2019, 12, 31)


def ridership_file(url: str = RIDERSHIP_URL, sha256: str = RIDERSHIP_SHA256) -> Path:
    """Return the CSV file of the archive: see `rnnray.archive.fetch_tar`.

    Raises:
        UserError: see there; or the archive has no such file.
    """
    folder = fetch_tar(url, sha256, "ridership")
    files = sorted(folder.rglob("*.csv"))
    if len(files) != 1:
        raise UserError(
            f"{folder}: {len(files)} CSV files instead of one; delete the folder and run again"
        )
    return files[0]


def read(file: Path) -> pa.Table:
    """Return the series `bus` and `rail` of 2016 to 2019 as a series table."""
    series = []
    for name, column in _COLUMNS.items():
        config = SeriesConfig(
            date_column="service_date", value_column=column, date_format="%m/%d/%Y"
        )
        (table,) = series_files.read(fs.LocalFileSystem(), str(file), config)
        for _, first_day, values in series_table.each(table):
            start = max(0, series_table.to_day(_FIRST) - first_day)
            end = series_table.to_day(_LAST) + 1 - first_day
            series.append((name, first_day + start, values[start:end]))
    return series_table.from_series(series)
