"""Class lists beside shards of drawings: one name a line, in the order of class_index."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
from pyarrow import fs

from rnnray.errors import UserError
from rnnray.sketch.data import sketch_table
from rnnray.sketch.data.unpacking import open_content

# The name in checkpoints and exports.
_NAMES = ("classes.txt",)
_SUFFIX = ".classes"


def is_class_list(path: str) -> bool:
    """Return whether a file is a class list, by its name."""
    name = PurePosixPath(path).name
    return name.endswith(_SUFFIX) or name in _NAMES


def beside(filesystem: fs.FileSystem, folder: str) -> list[str]:
    """Return the class lists in a folder, sorted, without those in its subfolders."""
    found = filesystem.get_file_info(fs.FileSelector(folder, allow_not_found=True))
    return sorted(
        info.path for info in found if info.type == fs.FileType.File and is_class_list(info.path)
    )


def read_list(filesystem: fs.FileSystem, path: str, member: str | None = None) -> tuple[str, ...]:
    """Return the names of a class list, without a byte-order mark.

    Args:
        filesystem: file system of the list.
        path: path within the file system.
        member: name of the list within a zip archive at `path`.

    Raises:
        UserError: a name twice, no names, damage, or a file that is not UTF-8.
    """
    name = path if member is None else f"{path}/{member}"
    try:
        with open_content(filesystem, path, member) as stream:
            text = stream.read().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{name}: cannot be read ({error})") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{name}: a class list must be UTF-8, which byte {error.start} is not"
        ) from error
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not names or len(set(names)) != len(names):
        raise UserError(f"{name}: a class list needs at least one name, one a line, each once")
    return names


def common(found: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the one list that all class lists repeat.

    Raises:
        UserError: they differ; two files are named.
    """
    first = next(iter(found))
    for path, names in found.items():
        if tuple(names) != tuple(found[first]):
            raise UserError(f"{path} and {first}: different class lists")
    return tuple(found[first])


def in_order_of(rows: Iterable[pa.Table], class_names: Sequence[str]) -> Iterable[pa.Table]:
    """Yield sketch tables with `class_index` mapped into another order of the same names."""
    index_of = {name: index for index, name in enumerate(class_names)}
    for each in rows:
        own = sketch_table.class_names_of(each.schema) or ()
        if tuple(own) == tuple(class_names):
            yield each
            continue
        # The last element is that of index -1, the unknown class.
        mapped = np.array([*(index_of[name] for name in own), sketch_table.UNKNOWN_CLASS], np.int64)
        column = each.schema.get_field_index("class_index")
        indices = pa.array(mapped[each["class_index"].to_numpy()])
        yield each.set_column(column, "class_index", indices).replace_schema_metadata(
            sketch_table.schema(class_names).metadata
        )
