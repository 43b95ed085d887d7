"""Running chunks on a Dask cluster through its public API."""
