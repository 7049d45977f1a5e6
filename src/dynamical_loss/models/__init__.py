"""Networks: the settings of each kind, and the functions that the training engine calls."""
