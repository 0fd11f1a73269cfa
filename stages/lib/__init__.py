"""Rooms: the nouns that the stages share, one per file."""
