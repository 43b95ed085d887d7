"""Where the promised name of the output manager stands."""
