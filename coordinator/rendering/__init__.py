"""Files that start a pipeline elsewhere: for Docker Compose, for Kubernetes, for systemd."""
