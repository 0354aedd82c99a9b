"""Who may do what: API keys, logins, owners, quotas in use, the audit trail."""
