"""Federated averaging as a graph: every worker is a node that keeps its data to itself. See training.py."""
