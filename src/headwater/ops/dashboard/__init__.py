"""The live dashboard: one page of an application's map, figures, traces and dead letters."""
