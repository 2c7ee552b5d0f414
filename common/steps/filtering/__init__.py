"""Steps that leave rows out."""
