"""The front desk: files specs, answers questions, never enters a kind."""
