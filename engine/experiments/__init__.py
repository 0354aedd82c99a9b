"""The rooms: one folder a kind of experiment. Rooms do not import one another."""
