"""Running chunks so that nothing is lost: the chunk function, executors and the ledger."""
