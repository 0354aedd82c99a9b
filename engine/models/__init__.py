"""The paper's networks: their specs (spec), layers by arithmetic (layout), the nets (build)."""
