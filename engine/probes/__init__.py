"""How far a net has moved from its start: parameters, features, tangent kernel, linear model."""
