"""Forms for a notebook: configuration editors and the explorer of results.

A form edits a draft; what it hands out is validated as a whole, as `load_config` does it.
"""

from intccms.widgets.cockpit import Cockpit, StopButton
from intccms.widgets.draft import Draft
from intccms.widgets.editor import ConfigEditor
from intccms.widgets.explorer import ResultExplorer

__all__ = ["Cockpit", "ConfigEditor", "Draft", "ResultExplorer", "StopButton"]
