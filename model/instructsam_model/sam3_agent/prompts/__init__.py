"""Everything that the agent says to the vision-language model: two system prompts and the sentences between them."""
