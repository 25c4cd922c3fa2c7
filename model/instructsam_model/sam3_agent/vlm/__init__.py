"""The vision-language model: behind an OpenAI-compatible server, or from a folder."""
