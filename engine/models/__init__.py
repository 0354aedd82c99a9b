"""The paper's networks: what can be asked for (spec), layer lists by arithmetic (layout), the nets (build)."""
