"""The pages that describe an API to people, written from its OpenAPI document."""
