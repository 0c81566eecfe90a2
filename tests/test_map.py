"""README's tree is the tree: one line a file, with the first line of its docstring.

To write it again, in the order that it has, with new files after the others of their folder:

    .venv/bin/python tests/test_map.py
"""

import ast
import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
README = REPOSITORY / "README.md"
BLOCK = re.compile(r"(## How it is built\n\n```\n)(.*?)(```\n)", re.DOTALL)
ROOTS = ("jobs", "examples", "rnnray")
COLUMN = 32


def written() -> list[str]:
    """The lines of README's tree."""
    found = BLOCK.search(README.read_text())
    assert found, "README has no tree"
    return found[2].splitlines()


def line(path: Path, depth: int) -> str:
    """The line of a file or a folder, with what it says of itself."""
    init = path / "__init__.py" if path.is_dir() else path
    about = ""
    if init.suffix == ".py" and init.is_file():
        about = (ast.get_docstring(ast.parse(init.read_text())) or "").partition("\n")[0]
    elif init.suffix == ".js":
        comment = init.read_text().partition("// ")[2].partition("\n\n")[0]
        about = comment.replace("\n// ", " ")
    name = f"{'  ' * depth}{path.name}{'/' if path.is_dir() else ''}"
    return f"{name:{COLUMN}}{about.partition('. ')[0].rstrip('.,;:')}".rstrip()


def tree(folder: Path, order: list[str], depth: int = 0) -> list[str]:
    """The lines of a folder: files, then folders, each in the order of `order`, others after."""

    def rank(path: Path) -> tuple[bool, int, str]:
        whole = str(path.relative_to(REPOSITORY))
        # A folder stands where its first file stands.
        positions = [n for n, each in enumerate(order) if f"{each}/".startswith(f"{whole}/")]
        return path.is_dir(), min(positions, default=len(order)), path.name

    lines = [line(folder, depth)]
    for path in sorted(folder.iterdir(), key=rank):
        if path.name.startswith("__") or path.name.endswith(".egg-info") or path.is_symlink():
            continue
        lines += tree(path, order, depth + 1) if path.is_dir() else [line(path, depth + 1)]
    return lines


def paths(lines: list[str]) -> list[str]:
    """The paths of the files in the lines of a tree, in their order."""
    folders: list[str] = []
    found = []
    for text in lines:
        name = text.split()[0]
        depth = (len(text) - len(text.lstrip())) // 2
        folders = [*folders[:depth], name.rstrip("/")]
        found.append("/".join(folders))
    return found


def expected(order: list[str]) -> list[str]:
    """The lines as they should be: the tree, then README's own lines of other folders."""
    lines = [text for root in ROOTS for text in tree(REPOSITORY / root, order)]
    others = [
        re.sub(r"  +", lambda gap: " " * max(COLUMN - gap.start(), 2), text, count=1)
        for text, path in zip(written(), paths(written()), strict=True)
        if path.split("/")[0] not in ROOTS
    ]
    return lines + others


def test_the_tree_in_readme_is_the_tree() -> None:
    assert written() == expected(paths(written())), f"write it again: {__doc__}"


def test_nothing_imports_the_comparisons_with_the_book() -> None:
    for file in (REPOSITORY / "rnnray").rglob("*.py"):
        if file.parent.name != "benchmarks":
            assert "rnnray.benchmarks" not in file.read_text(), file


def test_no_package_of_a_model_needs_another_nor_do_their_common_parts() -> None:
    packages = {"chorale", "forecast", "sketch", "video"}
    for file in (REPOSITORY / "rnnray").rglob("*.py"):
        own = file.relative_to(REPOSITORY / "rnnray").parts[0]
        others = rf"rnnray\.({'|'.join(packages - {own})})\b"
        assert own == "benchmarks" or not re.search(others, file.read_text()), file


if __name__ == "__main__":
    asked = [f"rnnray/{module.replace('.', '/')}.py" for module in sys.argv[1:]]
    text = "".join(f"{each}\n" for each in expected(asked or paths(written())))
    README.write_text(BLOCK.sub(lambda found: found[1] + text + found[3], README.read_text()))
