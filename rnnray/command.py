"""The command `rnnray`, which lists the jobs and runs them: `rnnray train-sketch --data demo`."""

import ast
import difflib
import runpy
import sys
from pathlib import Path

from rnnray import job

_FOLDER = Path(__file__).parent / "jobs"  # in a clone a link to jobs/


def main() -> None:
    """Run the job that the command line names, or list all."""
    jobs = {file.stem.replace("_", "-"): file for file in sorted(_FOLDER.glob("*.py"))}
    name, *rest = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        sys.stdout.write(_list(jobs))
    elif name in jobs:
        job.program, sys.argv = f"rnnray {name}", [str(jobs[name]), *rest]
        runpy.run_path(str(jobs[name]), run_name="__main__")
    else:
        near = difflib.get_close_matches(name, jobs, n=1)
        hint = f"did you mean {near[0]}?" if near else "`rnnray` lists them"
        sys.stderr.write(f"error: there is no job {name!r}; {hint}\n")
        sys.exit(2)


def _list(jobs: dict[str, Path]) -> str:
    width = max(map(len, jobs))
    lines = [f"  {name:{width}}  {_about(file)}" for name, file in jobs.items()]
    usage = "usage: rnnray JOB [OPTIONS]; rnnray JOB --help explains the options"
    return "\n".join([usage, "", "jobs:", *lines]) + "\n"


def _about(file: Path) -> str:
    documented = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return documented.partition("\n")[0]
