"""An API as an OpenAPI 3.1 document, exact about what the edge does."""
