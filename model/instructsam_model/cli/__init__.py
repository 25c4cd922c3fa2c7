"""Commands: segment images, and a demo in the browser."""
