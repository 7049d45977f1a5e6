"""Datasets: each is one NetCDF file with the inputs and labels of a training and a validation set."""
