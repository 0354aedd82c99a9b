"""Workers: claim queued runs, execute their kind's procedure and store the results."""
