"""InstructSAM: trained parameters and initial weights."""
