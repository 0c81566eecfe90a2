"""The model card, README.md in a checkpoint's folder, for people who find the model."""

from collections.abc import Mapping
from dataclasses import dataclass

FILE = "README.md"
_FENCE = "````"  # longer than what a configuration may hold


@dataclass(frozen=True)
class ModelCard:
    """Texts of a task about its models, as Markdown without headings."""

    title: str
    does: str
    """Input and output of the model."""
    data: str
    """Data that it was trained on, and their split."""
    licence: str
    """Licence of the data."""
    not_for: str
    """Uses that the model is not made for."""

    def text(self, configuration: str) -> str:
        """Return the card of a run with this configuration (YAML), without metrics.

        `with_metrics` adds them.
        """
        return (
            f"# {self.title}\n\n{self.does}\n\n"
            f"## Data\n\n{self.data}\n\n## Licence of the data\n\n{self.licence}\n\n"
            f"## Not for\n\n{self.not_for}\n\n"
            f"## Configuration\n\n{_FENCE}yaml\n{configuration}{_FENCE}\n"
        )


def with_metrics(card: str, epochs: int, step: int, metrics: Mapping[str, float]) -> str:
    """Return a card with the progress of training and the validation metrics at its end.

    Args:
        card: the card, as from `ModelCard.text`.
        epochs: number of finished epochs.
        step: number of finished steps of the epoch after them.
        metrics: metrics of the last finished epoch; empty if there is none.
    """
    within = f" and {step:,} steps of the next" if step else ""
    done = f"After {epochs} epoch{'' if epochs == 1 else 's'}{within}."
    validation = {name: value for name, value in metrics.items() if name.startswith("validation_")}
    if not validation:
        return f"{card}\n## Scores\n\n{done} Not validated yet.\n"
    of = f" Of epoch {epochs}, on the validation split:" if step else " On the validation split:"
    rows = "".join(
        f"| {name.removeprefix('validation_')} | {value:.6g} |\n"
        for name, value in validation.items()
    )
    return f"{card}\n## Scores\n\n{done}{of}\n\n| | |\n|---|---|\n{rows}"


def code(text: str) -> str:
    """Return a text as a Markdown code span, even if it holds backticks."""
    ticks = "`"
    while ticks in text:
        ticks += "`"
    return f"{ticks} {text} {ticks}" if "`" in text else f"`{text}`"


def split_text(split: str | None) -> str:
    """Return a sentence about the split of the data, for `ModelCard.data`."""
    if split is None:
        return "The split is the data's own, or by a hash: see the documentation of `--split`."
    train, validation, test = split.split(":")
    return f"Split by a hash: {train} % training, {validation} % validation, {test} % test."
