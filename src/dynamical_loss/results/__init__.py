"""Write and read the pipeline's results: complete NetCDF files and sidecars that record their provenance."""
