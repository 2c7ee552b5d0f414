"""Typed operations on the broker, over the scripts in `common/scripts`. Nothing else in the project imports redis."""
