"""From the rows of leaves to parts, from parts to a dataset, from a dataset to the hub."""
