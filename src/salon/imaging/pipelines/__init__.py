"""From a request to a picture: the loops that every model shares."""
