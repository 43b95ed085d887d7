"""A measurement after the run: tables, one picture, one page, several side by side."""
