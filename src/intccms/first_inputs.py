"""Synthetic events for an example that has no files of its own here, so that it runs as shipped."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from intccms.execution.tasks import Observer
from intccms.new_analysis import EXAMPLES
from intccms.schema import Config, examples_folder
from intccms.storage import Output, check_writable, disk_errors

N_EVENTS = 120_000  # of all files together: seconds, and enough for a fit
MIN_PER_FILE = 2_000


def inputs_of_example(config: Config, observer: Observer) -> Path | None:
    """Find or make the events of an example, where ``general.base_dir`` names none.

    Parameters
    ----------
    config
        Any configuration; of others than the examples nothing is made, ever: a folder that is
        missing there is a mistake to be told.
    observer
        Is told of each file that is written.

    Returns
    -------
    Path or None
        For ``general.base_dir``: the sample of ``make demo``, or one below the output directory.
        None where the configuration finds files itself, or is nobody's example.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    home = examples_folder()
    if config.file is None or config.general.base_dir is not None:
        return None
    if not any(Path(config.file).is_relative_to(home / name) for name in EXAMPLES):
        return None
    chosen = [one for one in config.datasets.datasets if one.name in config.processes]
    names = [directory for one in chosen for directory in one.directories]
    if any(Path(name).exists() for name in names):
        return None
    own = Output(config.general).directory / "sample"
    for folder in (home / "outputs" / "demo" / "sample", own):
        if all((folder / name).is_dir() for name in names):
            return folder
    _make(own, config, observer, names)
    return own


def _make(folder: Path, config: Config, observer: Observer, names: list[str]) -> None:
    """Write beside the folder and put in what it lacks: another notebook may do the same."""
    from nanosample import write_sample

    observer.begin("writing a small synthetic sample", total=len(names), unit="files")
    check_writable(folder)
    with (
        disk_errors(folder, "make room, and run the same again: it begins anew"),
        TemporaryDirectory(dir=folder.parent, prefix=".sample-") as unfinished,
    ):
        write_sample(
            Path(unfinished),
            config,
            files_per_process=1,
            events_per_file=max(N_EVENTS // len(names), MIN_PER_FILE),
            is_lean=len(names) > N_EVENTS // MIN_PER_FILE,
            on_file=lambda *_: observer.advance(),
        )
        _take_over(Path(unfinished), folder, names)
    observer.end()


def _take_over(made: Path, folder: Path, names: list[str]) -> None:
    """Move each directory as a whole, after all that its events are read with."""
    whole = {made / name for name in names}
    others = [one for one in made.rglob("*") if one.is_file() and not whole & set(one.parents)]
    for one in (*others, *whole):
        target = folder / one.relative_to(made)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            one.rename(target)
        except OSError:
            if not target.exists():
                raise
