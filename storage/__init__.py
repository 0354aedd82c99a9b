"""The archive: everything that outlives a process. Rows, files and messages; the only home of SQL."""
