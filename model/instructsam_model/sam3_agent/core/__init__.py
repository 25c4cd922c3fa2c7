"""The agent as a pure state machine: what it asks for next, from its state and what it was told. No I/O, no clock."""
