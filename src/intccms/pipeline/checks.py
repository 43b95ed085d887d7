"""What must hold before anything is written; nothing stays on disk when it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from matplotlib.cbook import is_math_text
from matplotlib.colors import is_color_like
from matplotlib.mathtext import MathTextParser

from intccms import facility
from intccms.analysis import runner
from intccms.analysis.runner import AnalysisResult
from intccms.datasets import DatasetManager, metadata
from intccms.datasets.metadata import Metadata
from intccms.engine.inputs import check_columns
from intccms.engine.processor import AnalysisProcessor
from intccms.errors import InputError
from intccms.execution.executors import Executor
from intccms.execution.tasks import Observer
from intccms.metrics.inspector.files import RecordStore
from intccms.schema import Config
from intccms.schema.resolved import leaves
from intccms.skimming.writing import only_skims, writes_skims
from intccms.storage import Output


def check_supported(config: Config) -> None:
    """Refuse a run that has nothing to do, and a fit that cannot be set up.

    Raises
    ------
    InputError
        With one line that names the setting or the file.
    """
    check_drawable(config)
    general = config.general
    if general.facility is not None:
        facility.check(general.facility)
    if only_skims(general) and not (writes_skims(general) or general.run_plots_only):
        raise InputError(
            "nothing to do: without the analysis a run on skims writes skims of them; "
            "see general.run_skimming"
        )
    has_own = config.statistics is not None and config.statistics.cabinetry_config is not None
    fits = general.run_statistics and not only_skims(general) and not general.run_plots_only
    if fits and has_own:
        from intccms.statistics import check_cabinetry_config

        check_cabinetry_config(config)


def check_drawable(config: Config) -> None:
    """Refuse labels, names and colours that Matplotlib cannot draw.

    Raises
    ------
    InputError
        With one line that names the key.
    """
    plotting = "plotting.process_"
    for place, text in leaves(config):
        if not isinstance(text, str):
            continue
        if place.startswith(f"{plotting}colors.") and not is_color_like(text):
            raise InputError(f"{place}: {text!r} is no colour; #907AD6 is one, and so is teal")
        is_shown = place.startswith((f"{plotting}labels.", "plotting.channel_labels."))
        if (is_shown or place.endswith((".label", ".name"))) and is_math_text(text):
            try:
                MathTextParser("path").parse(text)
            except ValueError as error:  # three lines of which the last says what it is
                reason = str(error).strip().splitlines()[-1]
                raise InputError(
                    f"{place}: {text!r} cannot be drawn: {reason}; "
                    "Matplotlib knows a part of LaTeX only, such as \\mathrm{…} for words"
                ) from error


def checked_inputs(
    config: Config,
    output: Output,
    workers: Callable[[], Executor],
    observer: Observer,
    earlier: tuple[Metadata, AnalysisResult] | None = None,
) -> tuple[AnalysisProcessor, Metadata]:
    """Find and count the input files; look at everything that the user named.

    Parameters
    ----------
    config, output
        What to look at, and where saved metadata are.
    workers
        Gives the executor that opens the files; not called if they need not be opened.
    observer
        Is told of each file.
    earlier
        What an earlier run in this process has found, as far as it holds.

    Raises
    ------
    InputError
        If something is wrong.
    """
    general = config.general
    fileset = DatasetManager(config).fileset(general.processes)
    if general.run_mva_training:
        from intccms import mva

        mva.check(config, fileset)
    processor = runner.make_processor(config, fileset)
    read = known = None
    if not general.run_metadata_generation:
        read = partial(metadata.load, output.metadata_dir, fileset)
    elif general.read_from_cache and not general.use_skimmed_input:
        known = dict(RecordStore(output.metadata_dir).counts(fileset))  # of `intccms inspect`
        known |= {(one.dataset, one.lfn): one for one in (earlier[0].files if earlier else ())}
    found = runner.count_files(
        processor, fileset, workers, observer,
        read=read, known=known, before=earlier and earlier[1],
    )  # fmt: skip
    if general.run_mva_training:
        from intccms.pipeline.inference import sampler_of

        sampler, part = sampler_of(processor, found)
        check_columns(sampler, part, workers)
    return processor, found


@contextmanager
def kept_clean(output: Output) -> Iterator[None]:
    """Check that results can be written; if the block fails, leave no directory behind.

    Parameters
    ----------
    output
        Where the results will go.

    Raises
    ------
    InputError
        If a directory cannot be made or written to.
    """
    wanted = (
        output.directory, output.metadata_dir, output.partials_dir, output.skimmed_dir
    )  # fmt: skip
    absent = {parent for path in wanted for parent in (path, *path.parents) if not _exists(parent)}
    try:
        output.prepare()
        yield
    except BaseException:
        for path in sorted(absent, key=lambda path: len(path.parts), reverse=True):
            with suppress(OSError):  # not made, or somebody else has put something there
                path.rmdir()
        raise


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return True
