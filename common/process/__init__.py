"""Basics of every Penstock process: stop signals, forks, last words."""
