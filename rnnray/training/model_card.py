"""The model card, README.md in a checkpoint's folder, for people who find the model."""

from collections.abc import Mapping
from dataclasses import dataclass

FILE = "README.md"
_FENCE = "````"  # longer than what a configuration may hold


@dataclass(frozen=True)
class ModelCard:
    """What a task says of its models. Texts are Markdown, without headings."""

    title: str
    does: str
    """What goes in and what comes out."""
    data: str
    """What it was trained on, and how that was split."""
    licence: str
    """Of the data."""
    not_for: str
    """What the model should not be used for."""
    configuration: str
    """As YAML."""

    def text(self) -> str:
        """The card without scores, which `with_scores` adds."""
        return (
            f"# {self.title}\n\n{self.does}\n\n"
            f"## Data\n\n{self.data}\n\n## Licence of the data\n\n{self.licence}\n\n"
            f"## Not for\n\n{self.not_for}\n\n"
            f"## Configuration\n\n{_FENCE}yaml\n{self.configuration}{_FENCE}\n"
        )


def with_scores(card: str, epochs: int, step: int, metrics: Mapping[str, float]) -> str:
    """A card that ends with how far the training is, and how good the model is.

    Args:
        card: see `ModelCard.text`.
        epochs: that are done.
        step: of the next one.
        metrics: of the last one that is done; empty without.
    """
    within = f" and {step:,} steps of the next" if step else ""
    done = f"After {epochs} epoch{'' if epochs == 1 else 's'}{within}."
    scores = {name: value for name, value in metrics.items() if name.startswith("validation_")}
    if not scores:
        return f"{card}\n## Scores\n\n{done} Not validated yet.\n"
    of = f" Of epoch {epochs}, on the validation split:" if step else " On the validation split:"
    rows = "".join(
        f"| {name.removeprefix('validation_')} | {value:.6g} |\n" for name, value in scores.items()
    )
    return f"{card}\n## Scores\n\n{done}{of}\n\n| | |\n|---|---|\n{rows}"


def code(text: str) -> str:
    """A text as a Markdown code span, whatever is in it."""
    ticks = "`"
    while ticks in text:
        ticks += "`"
    return f"{ticks} {text} {ticks}" if "`" in text else f"`{text}`"


def split_text(split: str | None) -> str:
    """How data are split, for `ModelCard.data`."""
    if split is None:
        return "The split is the data's own, or by a hash: see the documentation of `--split`."
    train, validation, test = split.split(":")
    return f"Split by a hash: {train} % training, {validation} % validation, {test} % test."
