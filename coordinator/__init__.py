"""The control plane: folds the journal of a run and decides what happens next."""
