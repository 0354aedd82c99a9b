"""What Li & Banerjee published, and how results compare with it.

Imports no torch and no kind: each kind judges its own results (`Kind.judge_path`).
"""
