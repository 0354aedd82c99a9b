"""The gallery: the paper's figures and table computed by this project, and its claims."""
