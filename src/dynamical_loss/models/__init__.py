"""Networks: what each kind says of itself, and how the training engine sees it."""
