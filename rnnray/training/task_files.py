"""A task's own files in a checkpoint, written and read: configuration, class names, model card."""

from collections.abc import Sequence
from typing import TypeVar

import yaml
from pydantic import ValidationError

from rnnray import storage
from rnnray.errors import UserError
from rnnray.packaged import located
from rnnray.training import model_card
from rnnray.training.checkpoints import CLASSES, POSITION
from rnnray.training.model_card import ModelCard
from rnnray.training.training_options import TrainingConfig
from rnnray.yaml_file import read_mapping

CONFIG = "config.yaml"
_FEW = 5  # problems that a message names

ConfigKind = TypeVar("ConfigKind", bound=TrainingConfig)


def files_of(
    config: TrainingConfig, card: ModelCard, class_names: Sequence[str] = ()
) -> dict[str, str]:
    """Return the content of each file by name, for `Task.checkpoint_files`.

    Args:
        config: configuration of the run.
        card: texts of the task about its models.
        class_names: names of the outputs; without any, there is no file of them.
    """
    configuration = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    classes = {CLASSES: "".join(f"{name}\n" for name in class_names)} if class_names else {}
    return {CONFIG: configuration, **classes, model_card.FILE: card.text(configuration)}


def read_config(uri: str, kind: type[ConfigKind], model: str, job: str) -> ConfigKind:
    """Return the configuration of a checkpoint.

    Args:
        uri: path or URI of the checkpoint's folder, or the name of a packaged one.
        kind: class of the configuration.
        model: the model for messages, such as "the composer".
        job: name of the job that writes such checkpoints.

    Raises:
        UserError: the folder is no checkpoint of such a model.
    """
    uri = located(uri)
    content = _read(uri, CONFIG, model)
    _read(uri, POSITION, model)  # the folder of a whole run has a configuration too
    values = read_mapping(content, f"{uri}/{CONFIG}")
    try:
        config = kind.model_validate(values)
        problems = []
    except ValidationError as error:
        problems = error.errors()
    unknown = [each for each in problems if each["type"] == "extra_forbidden"]
    if "model" not in values or any(each["loc"][0] == "model" for each in unknown):
        raise UserError(
            f"{uri}: a checkpoint of another model, not of {model}; use one that jobs/{job}.py "
            "wrote"
        )
    if problems:
        texts = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in problems[:_FEW])
        raise UserError(f"{uri}/{CONFIG}: {'; '.join(texts)}")
    return config


def read_classes(uri: str, model: str) -> tuple[str, ...]:
    """Return the class names of a checkpoint, in the order of the model's outputs.

    Args:
        uri: path or URI of the checkpoint's folder, or the name of a packaged one.
        model: the model for messages.

    Raises:
        UserError: the folder has none.
    """
    return tuple(_read(located(uri), CLASSES, model).decode(errors="replace").split("\n")[:-1])


def _read(uri: str, name: str, model: str) -> bytes:
    content = storage.read_bytes(storage.join(uri, name))
    if content is None:
        raise UserError(
            f"{uri}: not a checkpoint of {model}: it has no {name}; checkpoints are the folders "
            "named epoch-* below --storage-path/--name"
        )
    return content
