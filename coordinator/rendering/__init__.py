"""Files that start a pipeline elsewhere: for Docker Compose, Kubernetes and systemd."""
