"""From a spec to steps, and back: build, dump, descriptors, signatures."""
