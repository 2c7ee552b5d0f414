"""A pipeline as data: `spec.yaml`, as it is read and written."""
