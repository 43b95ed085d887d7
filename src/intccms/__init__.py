"""From CMS NanoAOD to a fitted result: the map of the house, in the order of the journey.

=============== =================================================================================
`schema`        what the user asks for: the configuration (`load_config`)
`datasets`      which files belong to it and what is in them: entries, sums of weights, work items
`facility`      where it runs: Dask clients of laptops, clusters and coffea-casa
`usercode`      the user's own modules: what was loaded, and loading it again
`fingerprint`   what identifies a user's function, so that results can be kept
`execution`     running chunks so that nothing is lost: executors, retries, ledger
`skimming`      events to smaller files, and back
`reading`       files to columns of events
`engine`        events to sums to a result: user's functions, corrections, variations, keys
`analysis`      the runner: a whole analysis from a configuration
`histograms`    exact sums, the book of histograms, its storage
`mva`           training of classifiers
`statistics`    histograms to a fit, limits and datacards
`plots`         finished numbers to figures
`metrics`       how fast it was and what the inputs look like; live panel, report, tables
`widgets`       configuration editors and the result explorer
`preflight`     the checks before anything expensive
`pipeline`      the stages in their order
`batch`         notebooks as batch jobs, one or a grid
`notebook`      what the notebooks call; `cli` is its twin for the terminal
`storage`       atomic files at any place, and the layout of the results
=============== =================================================================================

`errors` and `redaction` are words that all of them share. Beside this package stand
`chunkcolumns`, the fast columns, and `nanosample`, which writes synthetic NanoAOD. Importing this
package changes nothing.
"""

from __future__ import annotations

import logging

from intccms.redaction import redacted

__all__ = ["__version__", "set_logging"]

__version__ = "0.1.0"


class _WithoutCredentials(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


def set_logging(level: int | str = "INFO") -> None:
    """Show the messages of this package on standard error, one line each.

    Parameters
    ----------
    level
        The least important messages to show, e.g. ``"DEBUG"``. Calling this again changes the
        level; no message is shown twice.
    """
    package = logging.getLogger(__name__)
    package.setLevel(level)
    name = f"{__name__}.set_logging"
    if any(handler.get_name() == name for handler in package.handlers):
        return
    handler = logging.StreamHandler()
    handler.set_name(name)
    handler.setFormatter(_WithoutCredentials("%(levelname)s %(name)s: %(message)s"))
    package.addHandler(handler)
    package.propagate = False
