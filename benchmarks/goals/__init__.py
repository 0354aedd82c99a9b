"""One module a goal: `measure(options)` yields its figures."""
