"""The real chorales, and a whole generation run, read and made once."""

from pathlib import Path

import generated
import pyarrow as pa
import pytest
from composers import save_checkpoint, save_corpus
from generated import CHORDS, COUNT, TEMPERATURES

from rnnray.artifacts import open_store
from rnnray.chorale.data.corpus import open_corpus
from rnnray.chorale.generation.generation_options import GenerationConfig
from rnnray.chorale.generation.plan import Plan, make_plan


@pytest.fixture(scope="session")
def real_chorales() -> pa.Table:
    """The chorales of the book."""
    archive = Path(__file__).parents[3] / "shared/data/jsb_chorales.tgz"
    if not archive.is_file():
        pytest.skip("the real chorales are not here")
    return open_corpus(str(archive))


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> GenerationConfig:
    """Configuration of a run with three excerpts of Bach."""
    folder = tmp_path_factory.mktemp("generation")
    return GenerationConfig(
        checkpoint=save_checkpoint(folder / "checkpoint", "strong"),
        temperatures=TEMPERATURES,
        count=COUNT,
        chords=CHORDS,
        data=save_corpus(folder / "corpus.parquet", (20, 33, 9, CHORDS, 40)),
        seed_from="test:0:2",
        rules=("strict", "hidden=0"),
        formats=("wav", "mid"),
        tempo=200,
        instrument="sine",
    )


@pytest.fixture(scope="session")
def made(config: GenerationConfig) -> Plan:
    """Plan of the run."""
    return make_plan("run-1", config)


@pytest.fixture(scope="session")
def unbroken(made: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the run, made without interruption; tests do not change it."""
    folder = tmp_path_factory.mktemp("unbroken") / "run-1"
    generated.run(made, open_store(str(folder)))
    return folder
