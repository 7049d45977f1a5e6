"""What the pipeline makes: NetCDF files and sidecars, whole or not at all, that say where they came from."""
