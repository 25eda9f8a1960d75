def check(work, local, duckdb, must, say): pass
