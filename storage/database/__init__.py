"""The database: engines and sessions, tables, JSON columns, schema, cursors, ids."""
