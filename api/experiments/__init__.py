"""Operations on experiments: one function for each route."""
