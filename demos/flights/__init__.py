"""A graph over all flights that left New York City in 2013: see graph.yaml."""
