"""The front desk: files forms, answers questions, never enters a room."""
