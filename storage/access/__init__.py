"""API keys, logins, ownership of rows, quota usage, the audit trail."""
