#!/usr/bin/env python3
"""Write a page to draw on, which recognises what is drawn: one HTML file.

The page has the classifier in it and computes in the browser, without a server and without a
network: open it from a folder, or send it to a friend. The last line of the output is JSON: output,
classes (their number), and bytes.
"""

from typing import Any

from rnnray import job
from rnnray.packaged import CLASSIFIER


class Options(job.JobOptions):
    """Options of this job."""

    checkpoint: str = CLASSIFIER
    """Path or URI of a checkpoint folder (epoch-* in a run's folder); quickdraw is the classifier
    that comes with the package."""
    output: str = "draw.html"
    """Path or URI of the page to write."""


def main(config: Options) -> dict[str, Any]:
    """Do the job."""
    from rnnray import storage
    from rnnray.progress import say
    from rnnray.sketch import draw_page

    output = storage.absolute(config.output)
    storage.check_writable(output.rpartition("/")[0])
    say("loading the classifier")
    page = draw_page.build(config.checkpoint)
    content = page.html.encode()
    storage.write_bytes(output, content)
    say(f"open {config.output} in a browser, and draw")
    return {"output": config.output, "classes": page.classes, "bytes": len(content)}


if __name__ == "__main__":
    job.run(main, Options, description=__doc__)
