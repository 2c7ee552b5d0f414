"""The fold: from entries of the journal to effects. Pure: no clock, no I/O, no random number."""
