"""A scripted vision-language model for SAM3-Agent that knows the tabletop and errs at a set rate."""
