"""How things are said: faults, numbers and texts from elsewhere, without what must not be shown."""
