"""The commands that send requests to a service; `richregime.cli` combines them.

They import the client when they are called, so that `richregime --help` starts fast.
"""
