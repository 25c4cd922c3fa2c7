"""Back ends beside each other: memory, latency and modeled time in one run."""
