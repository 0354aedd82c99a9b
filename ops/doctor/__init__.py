"""`richregime doctor`: looks at a deployment, says what is wrong with it and what to do."""
