"""The images that the vision-language model sees: masks with their numbers, and zoom pairs."""
