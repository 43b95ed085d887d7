"""Search for a 2 TeV Z' decaying to a top quark pair in 2016 CMS open data, with one muon."""
