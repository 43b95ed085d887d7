"""Training as a stage of a run: events from the workers, models and figures into ``mva/``."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from intccms import mva as classifiers
from intccms.analysis import runner
from intccms.datasets import Fileset
from intccms.datasets.metadata import Metadata
from intccms.engine.processor import AnalysisProcessor, SampleProcessor
from intccms.errors import IncompleteError
from intccms.execution.executors import Executor
from intccms.execution.tasks import Observer
from intccms.mva import Trained
from intccms.pipeline.figures import drawn
from intccms.plots import look_of
from intccms.plots import mva as figures_of
from intccms.plots.style import Drawn, Planned
from intccms.schema import Config
from intccms.storage import Output

__all__ = ["sampler_of", "trained"]


def sampler_of(
    processor: AnalysisProcessor, metadata: Metadata
) -> tuple[SampleProcessor, Metadata]:
    """Make what collects the training events, and the plan of the datasets that have some.

    Raises
    ------
    InputError
        If a classifier cannot be trained.
    """
    todo = classifiers.check(processor.config, metadata.fileset)
    sampler = SampleProcessor(processor, classifiers.wanted(todo))
    mine = Fileset(tuple(one for one in metadata.fileset if one.dataset in sampler.tasks))
    kept: dict[str, Any] = {
        name: tuple(one for one in getattr(metadata, name) if one.dataset in sampler.tasks)
        for name in ("files", "failures", "work_items")
    }
    part = replace(metadata, fileset=mine, **kept)
    return sampler, part


def trained(
    processor: AnalysisProcessor,
    metadata: Metadata,
    executor: Executor,
    *,
    output: Output,
    observer: Observer,
) -> tuple[dict[str, Trained], list[Drawn]]:
    """Train and save every classifier that is not an ONNX model.

    Returns
    -------
    tuple
        The classifiers by name, and what became of their figures.

    Raises
    ------
    IncompleteError
        If more of the events to train on was lost than ``general.max_lost_fraction``.
    IntccmsError
        If a training fails.
    """
    config, found, plots = processor.config, dict[str, Trained](), list[Drawn]()
    sampler, part = sampler_of(processor, metadata)
    if not sampler.wanted:
        return found, plots
    analysis = runner.process(config, part, executor, processor=sampler, observer=observer)
    allowed, lost = config.general.max_lost_fraction, analysis.ledger.lost_fraction()
    if lost > allowed:
        first = analysis.ledger.lost_chunks[0]
        raise IncompleteError(
            f"no training: {lost:.1%} of a dataset is lost, more than general.max_lost_fraction="
            f"{allowed:g} allows; first: dataset {first.dataset!r}, {first.file}: {first.error}"
        )
    for mva in config.mva:
        if mva.name in sampler.wanted:
            observer.begin(f"training of {mva.name}", total=1)
            found[mva.name] = one = classifiers.train(mva, config, part.fileset, analysis)
            folder = output.mva_dir(mva.name)
            classifiers.save(one, folder)
            plots += _draw(one, config, folder)
            observer.advance()
            observer.end()
    return found, plots


def _draw(one: Trained, config: Config, folder: Path) -> list[Drawn]:
    look, evaluation = look_of(config), one.evaluation
    figures: list[Planned] = [
        (folder / "roc", partial(figures_of.roc, evaluation, look=look)),
        (folder / "score", partial(figures_of.score, evaluation, look=look)),
        (folder / "importance", partial(figures_of.importance, evaluation, look=look)),
        *(
            (folder / f"feature_{name}", partial(figures_of.feature, evaluation, name, look=look))
            for name in evaluation.features
        ),
    ]
    return list(drawn(figures, config.general))
