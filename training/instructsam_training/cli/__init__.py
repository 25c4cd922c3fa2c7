"""Commands: train, convert, publish, evaluate, and measure throughput."""
