"""From a dict, a module or a name, with the settings of a command line, to a configuration."""

from intccms.schema.loading.location import examples_folder
from intccms.schema.loading.sources import load_config

__all__ = ["examples_folder", "load_config"]
