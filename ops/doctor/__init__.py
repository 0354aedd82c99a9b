"""`richregime doctor`: checks a deployment and says what is wrong and what to do."""
