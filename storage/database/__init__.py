"""The database: engines, sessions, tables, JSON columns, schema, cursors, ids."""
