"""All sources of daily series: `demo`, `ridership`, or a path or URI of files; read by Ray Data."""

import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import ray
import ray.data
from pyarrow import fs

from rnnray import reach, splits, storage
from rnnray.errors import UserError
from rnnray.forecast.data import demo_series, ridership, series_files, series_table, windows
from rnnray.forecast.forecast_config import ForecastConfig, ForecastModelConfig, SeriesConfig
from rnnray.progress import say
from rnnray.run_folder import condensed
from rnnray.training.rows import Blocks, TrainingData, mixed, read

_DEMO_COUNT = 100
_DEMO_CHUNK, _FILES_A_PART = 100, 50
_BLOCK_BYTES = 4 << 20
_SHOWN = 3


@dataclass(frozen=True)
class DemoPart:
    """A range of the endless sequence of generated series."""

    numbers: range

    def tables(self) -> Iterator[pa.Table]:
        """Yield the series as series tables."""
        yield series_table.from_series([demo_series.series(number) for number in self.numbers])


@dataclass(frozen=True)
class TablePart:
    """Series at hand."""

    table: pa.Table

    def tables(self) -> Iterator[pa.Table]:
        """Yield the series as series tables."""
        yield self.table


@dataclass(frozen=True)
class FilesPart:
    """Files that are read one after the other."""

    filesystem: fs.FileSystem
    paths: tuple[str, ...]
    config: SeriesConfig

    def tables(self) -> Iterator[pa.Table]:
        """Yield the series as series tables."""
        for path in self.paths:
            yield from series_files.read(self.filesystem, path, self.config)


Part = DemoPart | TablePart | FilesPart


@dataclass(frozen=True)
class DailySeries:
    """Daily series in Ray's object store, and the days that they span."""

    data: str
    blocks: Blocks
    """Series tables."""
    days: range
    """From the first day of all series to their last, since 1970-01-01."""

    def splits(self, split: str) -> dict[str, range]:
        """Return the days of `train`, `validation` and `test`, in this order of time.

        Args:
            split: TRAIN:VALIDATION:TEST, shares of the days in percent.
        """
        ranges = splits.ranges(split, len(self.days))
        return {name: self.days[each.start : each.stop] for name, each in ranges.items()}

    def windows(
        self, model: ForecastModelConfig, days: range, *, most: int = 0, seed: int = 0
    ) -> ray.data.Dataset:
        """Return the windows of all series, lazily made: see `windows.tables`."""
        make = partial(windows.tables, config=model, days=days, most=most, seed=seed)
        return _blocks(ray.data.from_arrow_refs(list(self.blocks.tables))).map_batches(
            make, batch_format="pyarrow", batch_size=None
        )

    def last_windows(self, model: ForecastModelConfig) -> ray.data.Dataset:
        """Return the window at the end of each series, lazily made: see `windows.last`."""
        return _blocks(ray.data.from_arrow_refs(list(self.blocks.tables))).map_batches(
            partial(windows.last, config=model), batch_format="pyarrow", batch_size=None
        )


def open_series(data: str, config: SeriesConfig) -> DailySeries:
    """Read a source of daily series.

    Args:
        data: see `ForecastConfig`.
        config: names of the columns of files, and how they are read.

    Raises:
        UserError: nothing is there, a row cannot be used, or a name is in two files.
    """
    parts, where = _parts(data, config)
    numbers = ray.data.from_items([*range(len(parts))], override_num_blocks=len(parts))
    tables = _blocks(numbers).map_batches(
        partial(_tables_of, parts=parts), batch_size=None, batch_format="pyarrow", **where
    )
    blocks = read(tables, "series")
    if not blocks.rows:
        raise UserError(f"{data}: no series; every value is missing")
    names = Counter(name for some in blocks.of_each(series_table.names_of) for name in some)
    name, times = names.most_common(1)[0]
    if times > 1:
        raise UserError(
            f"{data}: series {name} is in {times} files; put each series into one file, or name "
            "the series with --name-column"
        )
    firsts, ends = zip(*blocks.of_each(series_table.span_of), strict=True)
    days = range(min(firsts), max(ends))
    say(
        f"{blocks.rows:,} series from {series_table.to_date(days.start)} to "
        f"{series_table.to_date(days.stop - 1)}"
    )
    return DailySeries(data, blocks, days)


def training_data(config: ForecastConfig, series: DailySeries) -> TrainingData:
    """Make the windows of the train and the validation split.

    Args:
        config: the lengths, the shares of the splits, and how many windows.
        series: the opened source.

    Raises:
        UserError: a split has no window.
    """
    model, days = config.model, series.splits(config.split)
    validation = read(series.windows(model, days["validation"]), "validation windows")
    training = read(
        series.windows(model, days["train"], most=config.windows_per_series, seed=config.seed),
        "training windows",
    )
    for split, blocks in (("train", training), ("validation", validation)):
        if not blocks.rows:
            raise UserError(
                f"{series.data}: no window of {model.window_days} and {model.horizon_days} days "
                f"in the {len(days[split])} days of the {split} split; use longer series, "
                "fewer --model.window-days, or another --split"
            )
    say_too_short(series, model.window_days + model.horizon_days)
    if config.shuffle_rows:
        training = mixed(training, config.seed, "training windows")
    identity = {
        "first_day": str(series_table.to_date(series.days.start)),
        "last_day": str(series_table.to_date(series.days.stop - 1)),
        "training_windows": training.rows,
        "series": condensed(
            {key: value for some in series.blocks.of_each(_digests) for key, value in some.items()}
        ),
    }
    return TrainingData(training, validation, identity)


def say_too_short(series: DailySeries, days: int) -> int:
    """Print how many series are shorter than a window, and the names of a few; return how many."""
    names = [name for some in series.blocks.of_each(partial(_shorter, days=days)) for name in some]
    if names:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        say(
            f"{len(names):,} of {series.blocks.rows:,} series are shorter than {days} days and "
            f"are left out: {', '.join(names[:_SHOWN])}{more}"
        )
    return len(names)


def _parts(data: str, config: SeriesConfig) -> tuple[Sequence[Part], Mapping[str, Any]]:
    kind, colon, count = data.partition(":")
    if kind == "demo" and (not colon or re.fullmatch(r"[1-9]\d{0,6}", count, re.ASCII)):
        numbers = range(int(count or _DEMO_COUNT))
        chunks = range(0, len(numbers), _DEMO_CHUNK)
        return [DemoPart(numbers[start : start + _DEMO_CHUNK]) for start in chunks], {}
    if data == "ridership":
        return [TablePart(ridership.read(ridership.ridership_file()))], {}
    if kind == "demo":
        raise UserError(f"data {data}: demo:COUNT takes a number of series, such as demo:100")
    where = reach.reading(data, "the series")
    filesystem, paths = storage.list_files(data)
    # Many small files a task, but no more tasks than files.
    size = min(_FILES_A_PART, -(-len(paths) // 16))
    return [
        FilesPart(filesystem, tuple(paths[start : start + size]), config)
        for start in range(0, len(paths), size)
    ], where


def _tables_of(numbers: pa.Table, parts: Sequence[Part]) -> Iterator[pa.Table]:
    for number in numbers["item"].to_pylist():
        yield from parts[number].tables()


def _blocks(dataset: ray.data.Dataset) -> ray.data.Dataset:
    dataset.context.target_max_block_size = _BLOCK_BYTES
    dataset.context.execution_options.preserve_order = True
    return dataset


def _shorter(table: pa.Table, days: int) -> list[str]:
    return [name for name, _, values in series_table.each(table) if len(values) < days]


def _digests(table: pa.Table) -> dict[str, str]:
    return {
        name: f"{len(values)} days, {zlib.crc32(values.tobytes()):08x}"
        for name, _, values in series_table.each(table)
    }
