"""Programs around the node: demo, replay, benchmark, soak test and evaluation."""
