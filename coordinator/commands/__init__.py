"""The commands of `pipeline-coordinator`, one file each."""
