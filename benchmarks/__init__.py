"""What the library costs, measured against queues written by hand and against its peers.

``python -m benchmarks --help`` says how to run it; docs/benchmarks.md says how to read it.
"""
