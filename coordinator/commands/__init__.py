"""The commands of `pipeline-coordinator`, a file for each."""
