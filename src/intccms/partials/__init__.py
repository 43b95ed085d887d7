"""Results of finished chunks, kept between runs: atomic, checked, without pickles."""
