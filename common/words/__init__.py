"""Wording: faults, numbers and foreign texts, with secrets removed."""
