"""An MCP server over the client: the service's operations as tools of the Model Context Protocol.

Needs the extra `mcp`. Only `richregime.mcp_server.server` imports the SDK.
"""
