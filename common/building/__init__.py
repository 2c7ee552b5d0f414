"""From a name in a spec to an object, and back: registry, build, dump, descriptors, signatures."""
