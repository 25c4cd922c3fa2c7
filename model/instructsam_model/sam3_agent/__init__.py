"""Back end `sam3_agent`: a vision-language model that calls SAM3 as a tool, round by round."""
