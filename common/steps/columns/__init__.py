"""Steps that work on columns and need no model."""
