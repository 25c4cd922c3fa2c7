"""The tool calls of the vision-language model, and how they are read from its replies: strictly, or with repairs."""
