"""One module per benchmark: `measure(options)` yields its figures."""
