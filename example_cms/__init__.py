"""Search for a Z' decaying to a top quark pair in the whole of Run 2, with one muon."""
