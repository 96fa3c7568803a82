"""How fast, and against what: `python -m benchmarks.NAME` prints a table and writes `benchmarks/results/*.json`."""
