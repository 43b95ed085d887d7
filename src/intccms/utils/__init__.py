"""Where things are written; see :mod:`intccms.utils.output`."""
