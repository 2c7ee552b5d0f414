"""What every process of Penstock has: stop signals, forks, last words."""
