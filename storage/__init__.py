"""The store: rows, files and messages that outlive a process; the only package with SQL."""
