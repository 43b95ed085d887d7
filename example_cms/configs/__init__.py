"""What the search selects, computes, corrects and draws; `configuration` puts it together."""
