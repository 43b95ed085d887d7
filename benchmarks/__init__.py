"""What the kit costs, beside rivals that do the same; each module runs as ``python -m``."""
