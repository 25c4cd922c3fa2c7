"""Writers of simulated scenes as data sets."""
