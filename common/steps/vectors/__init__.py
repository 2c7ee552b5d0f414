"""Steps on vectors of texts."""
