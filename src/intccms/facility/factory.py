"""A user's own way to get a client: ``module:function``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

from distributed import Client
from distributed.deploy.cluster import Cluster

from intccms.errors import InputError, nearest
from intccms.facility.kinds import Facility

__all__ = ["of_factory"]


def of_factory(name: str) -> Facility:
    """Make a facility of a function.

    Parameters
    ----------
    name
        ``module:function``. It is called with the user's options, and with ``n_workers`` if it
        takes that; it returns a client, a cluster, or a context manager that gives one. What it
        returns is closed at the end.

    Raises
    ------
    InputError
        If there is no such function.
    """
    module_name, _, function_name = name.partition(":")
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise InputError(f"facility {name!r}: cannot import {module_name!r}: {error}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        known = [key for key, value in vars(module).items() if inspect.isroutine(value)]
        raise InputError(f"facility {name!r}: no such function; {nearest(function_name, known)}")
    return Facility(lambda n_workers, options: _opened(name, function, n_workers, options))


@contextmanager
def _opened(
    name: str, function: Callable[..., Any], n_workers: int | None, options: dict[str, Any]
) -> Iterator[Client]:
    parameters = inspect.signature(function).parameters
    if "n_workers" in parameters:
        options = {"n_workers": n_workers} | options
    with ExitStack() as stack:
        made = function(**options)
        if isinstance(made, Client) and isinstance(made.cluster, Cluster):
            stack.enter_context(made.cluster)  # a client leaves the cluster that it was given
        if hasattr(made, "__enter__"):
            made = stack.enter_context(made)
        if hasattr(made, "get_client"):
            made = stack.enter_context(made.get_client())
        if not isinstance(made, Client):
            raise InputError(f"facility {name!r} gave a {type(made).__name__}, not a Dask client")
        yield made
