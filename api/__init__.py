"""The HTTP API: validates and stores submissions, returns results. It never runs an experiment."""
