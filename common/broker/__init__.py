"""Typed operations on the broker, over the scripts in `scripts`. Nothing else in the project imports redis."""
