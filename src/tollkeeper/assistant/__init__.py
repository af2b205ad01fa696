"""The assistant: a model that runs the gate with tools, and changes something only when its user has agreed."""
