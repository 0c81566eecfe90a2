"""The book's data set: fetched once, checked, and read as two series of four years."""

import hashlib
from datetime import date, timedelta
from pathlib import Path

import pytest
from fileserver import Server, archive

from rnnray.errors import UserError
from rnnray.forecast.data import ridership, series_table

NAME = "ridership/CTA_-_Ridership_-_Daily_Boarding_Totals.csv"


def boardings() -> bytes:
    lines = ["service_date,day_type,bus,rail_boardings,total_rides"]
    for number in range(25 * 365):
        day = date(2001, 1, 1) + timedelta(number)
        lines.append(f"{day:%m/%d/%Y},W,{number},{2 * number},{3 * number}")
    content = "\n".join([*lines, *lines[300:330], ""]).encode()  # a month twice, as in the real one
    return archive({NAME: content})


def test_bus_and_rail_from_2016_to_2019_fetched_once(server: Server, cache: Path) -> None:
    server.content = boardings()
    url = server.url.replace("file.tar.gz", "ridership.tgz")
    digest = hashlib.sha256(server.content).hexdigest()
    file = ridership.ridership_file(url, digest)
    assert file == cache / "ridership" / "ridership" / NAME
    assert ridership.ridership_file(url, digest) == file
    assert len(server.requests) == 1
    start = (date(2016, 1, 1) - date(2001, 1, 1)).days
    series = [*series_table.each(ridership.read(file))]
    assert [name for name, _, _ in series] == ["bus", "rail"]
    for times, (_, first_day, values) in enumerate(series, 1):
        assert series_table.to_date(first_day) == date(2016, 1, 1)
        assert values.tolist() == [times * (start + day) for day in range(1461)]


def test_another_archive_is_refused(server: Server, cache: Path) -> None:
    server.content = boardings()
    with pytest.raises(UserError, match=r"sha256 is .* not 0ff99f3d"):
        ridership.ridership_file(server.url.replace("file.tar.gz", "ridership.tgz"))
    assert not (cache / "ridership" / "ridership").exists()
