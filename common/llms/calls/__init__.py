"""One call of a model at an endpoint: transport, classes of answers, waiting for an endpoint that is away or busy."""
