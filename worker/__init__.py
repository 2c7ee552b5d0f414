"""The data plane: takes batches of one step, runs the step on them, commits the results."""
