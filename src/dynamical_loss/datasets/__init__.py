"""Datasets: training and validation inputs and labels, one NetCDF file each."""
