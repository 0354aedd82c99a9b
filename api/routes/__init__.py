"""Routes, one file per resource: parse, call one function, return."""
