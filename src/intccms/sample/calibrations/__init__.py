"""Correction files with the names and inputs of the real ones."""
