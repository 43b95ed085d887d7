"""Files → NanoEvents of one entry range, one column at a time."""
