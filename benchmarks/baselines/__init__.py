"""What the engine and the service are held against: written as their users would, for speed within reason."""
