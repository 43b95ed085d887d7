"""The inspected inputs: figures that answer to the mouse, tables and one page."""
