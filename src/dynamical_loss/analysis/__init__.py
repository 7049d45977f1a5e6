"""What the records of a run say; plain arrays in, dataclasses or arrays out, and no file is read."""
