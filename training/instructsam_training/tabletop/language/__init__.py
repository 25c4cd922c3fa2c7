"""Instructions about a scene: relations, requests and their wordings."""
