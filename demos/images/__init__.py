"""Pictures of the night sky, and a node that fills a core, moved by one word: see graph.yaml."""
