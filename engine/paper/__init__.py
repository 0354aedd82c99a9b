"""What Li & Banerjee published, and whether our results carry it; imports no torch.

Kinds may read `table1`; only `comparison` and the judges know kinds.
"""
