"""Routes, a file a resource: parse, call one function, return."""
