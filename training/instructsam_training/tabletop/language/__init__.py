"""Instructions about a scene: relations of objects, queries and their wordings."""
