"""The physics of one chunk: corrections, masks, selections, variations → sums. No files here."""
